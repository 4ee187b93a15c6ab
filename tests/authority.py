"""A certificate authority of the tests' own, made with openssl."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own, and what it signed."""

    folder: Path

    def path(self, name: str) -> str:
        """Return a file's path."""
        return str(self.folder / name)

    def text(self, name: str) -> str:
        """Return a file's text."""
        return (self.folder / name).read_text()

    def server(self, *, wants_client: bool = False) -> ssl.SSLContext:
        """Return the server's side."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.folder / "ca.pem")
        return context


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_authority(folder: Path) -> Authority:
    """Make an authority, a server's certificate for 127.0.0.1 and name.test, and a client's."""
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-batch")
    ca = ("-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2")
    openssl(folder, *new, "-x509", *ca, "-addext", "keyUsage=keyCertSign")
    (folder / "server.ext").write_text("subjectAltName=IP:127.0.0.1,DNS:name.test\n")
    (folder / "client.ext").write_text("extendedKeyUsage=clientAuth\n")
    for name in ("server", "client"):
        openssl(folder, *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ("-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "2", "-extfile", f"{name}.ext")
        openssl(folder, "x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", *signed)
    return Authority(folder)

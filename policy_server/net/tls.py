"""TLS as a caller wants it: who is trusted, who we are."""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from policy_server.model.errors import FetchError


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """``authorities`` are PEM texts, trusted instead of the usual ones unless ``system``.

    ``identities`` are pairs of certificate and key, PEM. ``verify`` False trusts everybody.
    """

    authorities: tuple[str, ...] = ()
    system: bool = False
    identities: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    verify: bool = True


USUAL = TlsOptions()
"""The authorities of this machine and those that came along."""


# PERF: reading all authorities takes some 20 ms, a request on loopback 1.
@lru_cache(maxsize=32)
def tls_context(options: TlsOptions) -> ssl.SSLContext:
    """Return the context for these options; FetchError when a certificate or key cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.system or not options.authorities:
        _trust_usual(context)
    for text in options.authorities:
        _trust(context, text)
    for certificate, key in options.identities:
        _identify(context, certificate, key)
    return context


def _trust_usual(context: ssl.SSLContext) -> None:
    # PERF: the library takes a tenth of a second, and most requests never get here.
    from requests.utils import DEFAULT_CA_BUNDLE_PATH  # noqa: PLC0415

    context.load_default_certs()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)


def _trust(context: ssl.SSLContext, text: str) -> None:
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise FetchError("the certificate authority that was given is not a PEM certificate.") from error


def _identify(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        with _readable(f"{certificate.strip()}\n{key.strip()}\n".encode()) as path:
            # An empty password, because a key that wants one would ask for it on the terminal.
            context.load_cert_chain(path, password="")
    except (ssl.SSLError, ValueError) as error:
        raise FetchError("the client certificate and its key cannot be used together.") from error


@contextmanager
def _readable(content: bytes) -> Iterator[str]:
    """Give a text a path, which is all that the library takes.

    SECURITY: in memory where the system can; else a file that only we may read, for a moment.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("identity")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "identity.pem"
        path.touch(mode=0o600)
        path.write_bytes(content)
        yield str(path)

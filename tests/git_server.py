"""Real Git repositories on real servers of this machine: git daemon, git http-backend, and SSH."""

import base64
import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

_ENVIRON = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Run Git and return what it says."""
    done = subprocess.run(
        ["git", *map(str, arguments)], cwd=cwd, env=_ENVIRON, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def need_git() -> None:
    """Skip, loudly, where there is no Git; fail in CI."""
    if shutil.which("git") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("git is needed for tests of the Git feed")


@dataclass
class Work:
    """A clone that somebody works in, and the bare repository it pushes to."""

    directory: Path
    bare: Path

    def write(self, where: str, rego: str | None = None, **files: str) -> None:
        """Write a policy directory; further files by stem."""
        directory = self.directory / where
        directory.mkdir(parents=True, exist_ok=True)
        group, name, _version = Path(where).parts[-3:]
        (directory / "policy.rego").write_text(rego or f"package {group}.{name}\n\nallow := true\n")
        for stem, content in files.items():
            (directory / f"{stem.replace('_', '-')}.json").write_text(content)

    def remove(self, where: str) -> None:
        """Remove a directory."""
        shutil.rmtree(self.directory / where)

    def push(self, *options: str, branch: str = "main") -> str:
        """Commit everything and push it; return the commit."""
        git("add", "-A", cwd=self.directory)
        git("commit", "-q", "--allow-empty", "-m", "change", cwd=self.directory)
        git("push", "-q", *options, "origin", f"HEAD:refs/heads/{branch}", cwd=self.directory)
        return git("rev-parse", "HEAD", cwd=self.directory)


def make_work(root: Path, name: str = "policies") -> Work:
    """Make an empty bare repository ``<name>.git`` under a directory, and a clone of it."""
    bare, directory = root / f"{name}.git", root / f"{name}-work"
    git("init", "-q", "--bare", "-b", "main", bare)
    git("config", "uploadpack.allowFilter", "true", cwd=bare)
    git("init", "-q", "-b", "main", directory)
    git("remote", "add", "origin", bare, cwd=directory)
    return Work(directory, bare)


class Daemon:
    """``git://`` for every repository under a directory."""

    def __init__(self, root: Path) -> None:
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._root = root

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={self.port}"]
        command += [f"--base-path={self._root}", "--export-all"]
        # A session of its own: the daemon is a child of `git`, and both are to end.
        self.process = subprocess.Popen(command, env=_ENVIRON, start_new_session=True, stderr=subprocess.DEVNULL)
        _wait_for(self.port, "git daemon")

    def stop(self) -> None:
        """Stop it; repeating does nothing."""
        if self.process is not None:
            os.killpg(self.process.pid, 15)
            self.process.wait(10)
            self.process = None

    def url(self, work: Work) -> str:
        """Return the address of a repository."""
        return f"git://127.0.0.1:{self.port}/{work.bare.name}"


@dataclass
class Web:
    """Smart HTTP for every repository under a directory; what it was asked is remembered."""

    root: Path
    users: dict[str, str] = field(default_factory=dict)
    redirect: str = ""
    plain: bool = False
    asked: list[str] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Start it on a free port."""
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.answer(self)

            do_POST = do_GET  # noqa: N815 - the library calls it

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True, args=(0.05,)).start()

    def stop(self) -> None:
        """Stop it."""
        assert self.server is not None
        self.server.shutdown()
        self.server.server_close()

    def url(self, work: Work) -> str:
        """Return the address of a repository."""
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_port}/{work.bare.name}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer as it is set up."""
        self.asked.append(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if self.redirect:
            self.say(handler, 302, {"Location": self.redirect + handler.path})
        elif self.plain:
            self.say(handler, 200, {"Content-Type": "text/html"}, b"<html>Welcome</html>")
        elif self.users and not self.knows(handler.headers.get("Authorization", "")):
            self.say(handler, 401, {"WWW-Authenticate": 'Basic realm="git"'})
        else:
            self.run(handler, body)

    def knows(self, authorization: str) -> bool:
        """Tell whether these credentials are right."""
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return bool(user) and self.users.get(user) == password

    def run(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Have Git answer."""
        parts = urlsplit(handler.path)
        environ = _ENVIRON | {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": handler.command,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(fields.pop("Status", "200")[:3])
        self.say(handler, status, fields, content)

    def say(self, handler: BaseHTTPRequestHandler, status: int, fields: dict[str, str], body: bytes = b"") -> None:
        """Send an answer."""
        handler.send_response(status)
        for name, value in fields.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


class Ssh:
    """Git behind Debian's SSH server, for one key."""

    def __init__(self, root: Path) -> None:
        self.port = _free_port()
        self.key, self.known_hosts = root / "key", root / "known_hosts"
        self._root = root
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make keys, start it and wait until it listens."""
        server = _sshd()
        for name in ("host", "key"):
            made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._root / name]
            subprocess.run(made, check=True, stdin=subprocess.DEVNULL)
        host = (self._root / "host.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {host}")
        config = self._root / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self._root / 'host'}\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self._root / 'key.pub'}\nStrictModes no\nPermitRootLogin prohibit-password\n"
            "PasswordAuthentication no\nAcceptEnv GIT_PROTOCOL\n"
        )
        command = [server, "-D", "-e", "-f", config]
        with (self._root / "sshd.log").open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, start_new_session=True)
        _wait_for(self.port, "sshd")

    def stop(self) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)

    def url(self, work: Work) -> str:
        """Return the address of a repository."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{work.bare}"


def _sshd() -> Path:
    server = Path("/usr/sbin/sshd")
    if os.geteuid() == 0:
        if not server.exists() and shutil.which("apt-get"):
            for step in (["update"], ["install", "-y", "--no-install-recommends", "openssh-server"]):
                environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
                subprocess.run(["apt-get", "-q", *step], env=environ, stdout=subprocess.DEVNULL, check=False)
        Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself in; made by the system's own service otherwise
    if not server.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no sshd; install the package openssh-server")
    return server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, what: str) -> None:
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"{what} did not start")

"""Real database servers for the tests: one of each kind a test run, shared by all its processes.

PostgreSQL is Debian's. MongoDB is the server that ``MONGODB_TEST_URI`` names,
else one from Maven Central that speaks its protocol and keeps everything in
memory. Where one cannot be had, the tests that need it fail in CI and are
skipped, with the reason, at home.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
_JARS: Final = ROOT / ".cache" / "mongo-server"
_POM: Final = Path(__file__).parent / "contract" / "mongo_server" / "pom.xml"
_RUNS: Final = Path(tempfile.gettempdir()) / f"policy-server-tests-{os.getuid()}"
_RUN: Final = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"alone-{os.getpid()}"


def postgresql_url(name: str | None = None) -> str:
    """Return the URL of an empty schema on the run's PostgreSQL server."""
    import psycopg  # noqa: PLC0415 - not needed by most tests

    port = _shared("postgresql", start_postgresql)
    schema = name or f"t{uuid.uuid4().hex}"
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", autocommit=True) as session:
        session.execute(f'CREATE SCHEMA "{schema}"')  # type: ignore[call-overload] # a name of our own making
    options = quote(f"-csearch_path={schema}")
    return f"postgresql://postgres:its-secret@127.0.0.1:{port}/postgres?options={options}"


def mongodb_url(name: str | None = None) -> str:
    """Return the URL of an empty database on the run's MongoDB server."""
    database = name or f"t{uuid.uuid4().hex}"
    named = os.environ.get("MONGODB_TEST_URI")
    if named:
        parts = urlsplit(named)
        return urlunsplit(parts._replace(path=f"/{database}"))
    return f"mongodb://127.0.0.1:{_shared('mongodb', start_mongodb)}/{database}"


def replica_url(name: str | None = None) -> str:
    """Return the URL of an empty database on a server with change streams.

    The one of Maven Central, which also fails on demand (``configureFailPoint``), whatever ``MONGODB_TEST_URI`` names.
    """
    port = _shared("replica", lambda place: start_mongodb(place, replica=True))
    return f"mongodb://127.0.0.1:{port}/{name or f't{uuid.uuid4().hex}'}"


def start_postgresql(place: Path, *, port: int = 0) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server on loopback; its files are made under ``place`` when they are not there."""
    programs = _postgresql_programs()
    who: dict[str, str | list[str]] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        who = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(place, "postgres", "postgres")
    data = place / "data"
    if not data.exists():
        made = subprocess.run(
            [programs / "initdb", "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", data],
            capture_output=True,
            check=False,
            cwd=place,
            **who,  # type: ignore[call-overload]
        )
        assert made.returncode == 0, made.stderr.decode()
    port = port or free_port()
    options = ["fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300"]
    with (place / "log").open("ab") as log:
        server = subprocess.Popen(
            [
                programs / "postgres",
                "-D",
                data,
                "-p",
                str(port),
                *(word for option in options for word in ("-c", option)),
            ],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            cwd=place,
            start_new_session=True,
            **who,  # type: ignore[call-overload]
        )
    _wait_until(lambda: _answers_postgresql(port), server, place / "log")
    return server, port


def start_mongodb(
    place: Path, *, port: int = 0, file: Path | None = None, replica: bool = False
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server from Maven Central on loopback, in memory unless it is given a file.

    A ``replica`` looks like a replica set of one, with an oplog and change streams.
    """
    if shutil.which("java") is None:
        missing("MongoDB", "neither MONGODB_TEST_URI nor a Java is there")
    _fetch_jars()
    command = ["java", "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{_JARS}/*"]
    command += [str(_POM.with_name("Start.java")), str(port)]
    command += [*(["replica"] if replica else []), *([str(file)] if file else [])]
    with (place / "log").open("ab") as log:
        server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, cwd=place, start_new_session=True
        )
    assert server.stdout is not None
    with server.stdout:
        said = server.stdout.readline()
    assert said.strip().isdigit(), (place / "log").read_text()
    return server, int(said)


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(server: subprocess.Popen[bytes]) -> None:
    """End a server that was started here, without ceremony."""
    server.send_signal(signal.SIGQUIT if b"postgres" in os.fsencode(server.args[0]) else signal.SIGKILL)  # type: ignore[index]
    server.wait(60)


def missing(what: str, why: str) -> None:
    """Fail in CI, skip at home."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} cannot be tested: {why}")
    pytest.skip(f"{what} IS NOT TESTED: {why}")


# ---- one server for all processes of a test run


def _shared(kind: str, start: Callable[[Path], tuple[subprocess.Popen[bytes], int]]) -> int:
    """Return the port of this run's server, started by whoever needs it first."""
    _RUNS.mkdir(mode=0o755, exist_ok=True)
    place = _RUNS / f"{_RUN}-{kind}"
    with _locked():
        _sweep()
        place.mkdir(exist_ok=True)
        users = place / "users"
        users.mkdir(exist_ok=True)
        if not (users / str(os.getpid())).exists():
            (users / str(os.getpid())).touch()
        if not (place / "port").exists():
            server, port = start(place)
            (place / "pid").write_text(str(server.pid))
            (place / "port").write_text(str(port))
            # Whoever leaves last stops it; this process may be another one.
            server.returncode = 0
        return int((place / "port").read_text())


def leave() -> None:
    """Say that this process needs no server any more; the last one stops them."""
    if not _RUNS.is_dir():
        return
    with _locked():
        for mine in _RUNS.glob(f"*/users/{os.getpid()}"):
            mine.unlink()
        _sweep()


def _sweep() -> None:
    """Stop the servers of runs whose processes have all gone, also of runs that were killed."""
    for place in _RUNS.glob("*-*"):
        if any(Path("/proc", user.name).exists() for user in (place / "users").glob("*")):
            continue
        if (place / "pid").exists():
            _end(int((place / "pid").read_text()), place)
        # The server's own processes may still write a file or two.
        for _ in range(50):
            shutil.rmtree(place, ignore_errors=True)
            if not place.exists():
                break
            time.sleep(0.05)


def _end(pid: int, place: Path) -> None:
    with suppress(OSError):
        command = Path("/proc", str(pid), "cmdline").read_bytes()
        # Only what was started here: a number may mean another process by now.
        if str(place).encode() not in command and str(_JARS).encode() not in command:
            return
        os.kill(pid, signal.SIGQUIT if b"postgres" in command.split(b"\0")[0] else signal.SIGKILL)
        while _runs(pid):
            time.sleep(0.02)


def _runs(pid: int) -> bool:
    """Tell whether a process goes on; one that has ended and waits for its parent does not."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def _locked() -> Iterator[None]:
    with (_RUNS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# ---- programs


def _postgresql_programs() -> Path:
    found = _installed_postgresql()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for step in (["update"], ["install", "-y", "--no-install-recommends", "postgresql"]):
            subprocess.run(
                ["apt-get", "-q", *step],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdout=subprocess.DEVNULL,
                check=False,
            )
        found = _installed_postgresql()
    if found is None:
        missing("PostgreSQL", "there is no /usr/lib/postgresql/*/bin; install the package postgresql")
    assert found is not None
    return found


def _installed_postgresql() -> Path | None:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    return programs[-1].parent if programs else None


def _answers_postgresql(port: int) -> bool:
    import psycopg  # noqa: PLC0415 - as above

    try:
        psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _fetch_jars() -> None:
    if any(_JARS.glob("mongo-java-server-h2*.jar")):
        return
    if shutil.which("mvn") is None:
        missing("MongoDB", "neither MONGODB_TEST_URI nor a Maven is there")
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    fetched = subprocess.run(
        ["mvn", "-B", "-q", "-f", _POM, goal, f"-DoutputDirectory={_JARS}"], capture_output=True, check=False
    )
    if fetched.returncode:
        missing("MongoDB", f"Maven cannot fetch the server: {fetched.stdout[-500:]!r}")


def _wait_until(ready: Callable[[], bool], server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if ready():
            return
        assert server.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())

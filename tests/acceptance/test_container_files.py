"""The image and the Compose file: what they say works, here, without Docker."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest
import requests
import yaml
from image import ROOT, Image, Stage, read_dockerfile

from policy_server.settings import load_settings
from policy_server.version import VERSION


@pytest.fixture(scope="module")
def run_stage() -> Stage:
    """Return the stage that becomes the image."""
    return read_dockerfile()["run"]


@pytest.fixture
def environ(image: Image, run_stage: Stage, tmp_path: Path) -> dict[str, str]:
    """Return the environment of the container: nothing of this machine, no Go, no Node, no compiler on PATH."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = str(image.inside("/opt/policy-server/bin"))
    ours = {
        "PATH": path,
        "HOME": str(tmp_path),
        "POLICY_STATE_DIR": str(tmp_path),
        "POLICY_CACHE_DIR": str(tmp_path / "cache"),
    }
    return run_stage.environ() | ours | {"POLICY_HOST": "127.0.0.1", "POLICY_PORT": str(port), "WEB_CONCURRENCY": "2"}


@pytest.fixture
def container(run_stage: Stage, environ: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start what ENTRYPOINT and CMD say, and wait until the health check is content."""
    command = json.loads(run_stage.values("ENTRYPOINT")[0]) + json.loads(run_stage.values("CMD")[0])
    program = str(Path(environ["PATH"]) / command[0])
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([program, *command[1:]], env=environ, cwd=tmp_path, stdout=log, stderr=log)
    until = time.monotonic() + 60
    while health(run_stage, environ) != 0:
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < until, (tmp_path / "log").read_text()
    yield process
    if process.poll() is None:
        process.kill()
        process.wait()


def health(stage: Stage, environ: dict[str, str]) -> int:
    """Run the health check of the image and return its exit code."""
    command = json.loads(stage.values("HEALTHCHECK")[0].partition("CMD")[2])
    return subprocess.run(
        [str(Path(environ["PATH"]) / command[0]), *command[1:]], env=environ, check=False, capture_output=True
    ).returncode


def test_the_image_answers_and_stops(
    container: subprocess.Popen[bytes], run_stage: Stage, environ: dict[str, str], tmp_path: Path
) -> None:
    """With nothing but its own files it answers a Pexip request; the stop signal ends it well."""
    url = f"http://127.0.0.1:{environ['POLICY_PORT']}/policy/v1/service/configuration"

    answer = requests.get(url, params={"local_alias": "my-vmr-kari"}, timeout=10).json()
    docs = requests.get(f"http://127.0.0.1:{environ['POLICY_PORT']}/docs/assets/swagger-ui-bundle.js", timeout=10)
    container.send_signal(signal.Signals[run_stage.values("STOPSIGNAL")[0]])

    assert answer["result"]["pin"] == "2931"
    assert docs.status_code == 200
    assert container.wait(30) == 0
    assert health(run_stage, environ) == 1
    assert not (tmp_path / "cache" / "toolkit").exists(), "an answer must not wait for the toolkit"
    assert all(line.startswith("{") for line in (tmp_path / "log").read_text().splitlines() if "gunicorn" in line)


def test_the_image_runs_as_nobody_special(run_stage: Stage) -> None:
    """User 10001 owns /data and nothing else; ports and volume are declared."""
    commands = " ".join(run_stage.values("RUN"))

    assert run_stage.values("USER") == ["10001:10001"]
    assert run_stage.values("VOLUME") == ["/data"]
    assert run_stage.values("EXPOSE") == ["8080"]
    assert "--uid 10001" in commands
    assert "--owner=10001 --group=10001 --mode=0700 /data" in commands
    assert not any(word in commands for word in ("curl", "gcc"))
    assert re.findall(r"apt-get install --yes --no-install-recommends ([^&]*?) +&&", commands) == ["openssh-client"]


@pytest.mark.skipif(os.geteuid() != 0, reason="accounts can only be made by root")
def test_the_accounts_of_the_image_can_be_made(run_stage: Stage, tmp_path: Path) -> None:
    """The run stage's commands work, on account files of their own."""
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).write_text("")
    [command] = [each for each in run_stage.values("RUN") if "useradd" in each]
    here = re.sub(r"\b(groupadd|useradd)\b", rf"\1 --prefix {tmp_path}", command).replace(" /data", f" {tmp_path}/data")
    here = here.replace(f"--home-dir {tmp_path}/data", "--home-dir /data")

    subprocess.run(["sh", "-e", "-c", here], check=True, capture_output=True)

    assert (tmp_path / "etc" / "passwd").read_text().startswith("policy:x:10001:10001:")
    assert ((tmp_path / "data").stat().st_uid, (tmp_path / "data").stat().st_mode & 0o777) == (10001, 0o700)


def test_the_image_says_what_it_is(run_stage: Stage) -> None:
    """OCI labels: title, version, licence."""
    labels = dict(pair.split("=", 1) for pair in shlex.split(run_stage.values("LABEL")[0]))

    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_settings_of_the_image_can_be_used(run_stage: Stage) -> None:
    """Every variable it sets is understood."""
    settings = load_settings(environ=run_stage.environ())

    assert (settings.bind, str(settings.state_dir), settings.log_format) == ("0.0.0.0:8080", "/data", "json")


def test_stages_copy_only_from_stages_that_exist() -> None:
    """--from names an earlier stage."""
    stages = read_dockerfile()

    copies = [value for stage in stages.values() for value in stage.values("COPY")]
    named = {match[1] for value in copies if (match := re.match(r"--from=(\w+)", value))}

    assert named == {"go", "build"}
    assert named < set(stages)


def interpolated(value: str, environ: dict[str, str]) -> str:
    """Fill in what Compose does, from the inside out: ${NAME}, ${NAME:-default}, ${NAME:+instead}."""

    def fill(match: re.Match[str]) -> str:
        given = environ.get(match["name"], "")
        return (match["other"] if given else "") if match["how"] == ":+" else given or match["other"] or ""

    while (after := re.sub(r"\$\{(?P<name>\w+)(?:(?P<how>:[-+])(?P<other>[^${}]*))?\}", fill, value)) != value:
        value = after
    assert "${" not in value
    return value


@pytest.fixture(scope="module")
def compose() -> dict[str, dict[str, dict[str, object]]]:
    """Return the Compose file."""
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_the_compose_file_fits_its_schema(compose: dict[str, object]) -> None:
    """Checked against the schema of the Compose specification, which set-up unpacks."""
    schema = json.loads((ROOT / ".cache" / "compose-spec.json").read_text(encoding="utf-8"))
    validator = jsonschema_rs.validator_for(schema)

    assert [str(error) for error in validator.iter_errors(compose)] == []
    assert not validator.is_valid({**compose, "servces": {}}), "the schema must be able to say no"


def test_the_composed_server_is_confined(compose: dict[str, dict[str, dict[str, object]]]) -> None:
    """Read-only root, no capabilities, one volume, reached from this machine only, told well before the kill."""
    service = compose["services"]["policy-server"]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["volumes"] == ["state:/data"]
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    assert service["stop_grace_period"] == "30s"
    assert load_settings(environ={}).graceful_timeout < 30


def test_the_composed_server_gets_settings_that_exist(compose: dict[str, dict[str, dict[str, dict[str, str]]]]) -> None:
    """Its variables are ours; unset ones arrive empty and count as none."""
    variables = compose["services"]["policy-server"]["environment"]

    settings = load_settings(environ={name: interpolated(value, {}) for name, value in variables.items()})

    assert (settings.workers, settings.pexip_credentials) == (2, ())
    assert settings.database.startswith("sqlite:")


def test_any_setting_passes_through(compose: dict[str, dict[str, dict[str, object]]]) -> None:
    """A file .env may be there; it need not."""
    assert compose["services"]["policy-server"]["env_file"] == [{"path": ".env", "required": False}]


def test_one_variable_is_the_password_on_both_sides(compose: dict[str, dict[str, dict[str, dict[str, str]]]]) -> None:
    """What PostgreSQL is made with is what the server shows; an address of one's own wins."""
    services, chosen = compose["services"], {"POSTGRES_PASSWORD": "a-b_1"}
    address = services["policy-server"]["environment"]["POLICY_STORAGE_URL"]

    password = interpolated(services["postgres"]["environment"]["POSTGRES_PASSWORD"], chosen)
    made = load_settings(environ={"POLICY_STORAGE_URL": interpolated(address, chosen)})
    own = interpolated(address, {**chosen, "POLICY_STORAGE_URL": "mongodb://mongo/policy"})

    assert made.database == f"postgresql://policy:{password}@postgres/policy"
    assert password == "a-b_1"
    assert load_settings(environ={"POLICY_STORAGE_URL": own}).database == "mongodb://mongo/policy"


def test_databases_are_there_only_when_asked_for(compose: dict[str, dict[str, dict[str, object]]]) -> None:
    """Each has a profile and a volume, and no port of this machine; the server waits for it if it is there."""
    for name, profile in (("postgres", "postgres"), ("mongo", "mongo")):
        service = compose["services"][name]
        assert service["profiles"] == [profile]
        assert "ports" not in service
        assert str(service["volumes"][0]).split(":")[0] in compose["volumes"]  # type: ignore[index]
        assert "test" in service["healthcheck"]  # type: ignore[operator]
        waits = compose["services"]["policy-server"]["depends_on"][name]  # type: ignore[index]
        assert waits == {"condition": "service_healthy", "required": False}


def test_the_image_has_all_optional_packages(image: Image) -> None:
    """They are optional only for who installs the wheel."""
    programs = image.inside("/opt/policy-server/bin") / "python"

    asked = subprocess.run(
        [programs, "-c", "import nats, opentelemetry.exporter.otlp.proto.http, opentelemetry.sdk, psycopg, pymongo"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (asked.returncode, asked.stderr) == (0, "")

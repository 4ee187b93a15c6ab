"""config show, config check."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_ran import Ran

from policy_server.settings import load_settings


def test_every_setting_is_shown_with_its_origin(command: Callable[..., Ran], tmp_path: Path) -> None:
    """Programs get name, value and origin of each setting."""
    file = tmp_path / "policy.toml"
    file.write_text("threads = 3\n")

    ran = command("config", "show", "--config", file, "--set", "port=81", "--format", "json")

    shown = json.loads(ran.out)
    assert shown["threads"] == {"value": "3", "from": f"{file}: threads"}
    assert shown["port"] == {"value": "81", "from": "--port"}
    assert shown["state_dir"] == {"value": str(tmp_path / "state"), "from": "POLICY_STATE_DIR"}


def test_only_what_was_changed_can_be_shown(command: Callable[..., Ran]) -> None:
    """--changed leaves the defaults out; columns are separated by tabs."""
    ran = command("config", "show", "--changed", "--set", "port=81")

    assert ran.out.splitlines()[0].split("\t")[:2] == ["port", "81"]
    assert len(ran.out.splitlines()) == 2


def test_secrets_are_covered_unless_asked_for(command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings can be pasted into a ticket."""
    monkeypatch.setenv("POLICY_PEXIP_CREDENTIALS", "pexip:s3cret")

    assert "s3cret" not in command("config", "show").out
    assert "pexip:s3cret" in command("config", "show", "--reveal").out


def test_a_configuration_can_be_checked_before_it_is_used(command: Callable[..., Ran], tmp_path: Path) -> None:
    """The check exits 3 and names each problem on its own line."""
    file = tmp_path / "policy.toml"
    file.write_text('port = "x"\nthread = 2\n')

    ran = command("config", "check", "--config", file)

    assert ran.code == 3
    assert len(ran.err.splitlines()) == 2


def test_warnings_are_told(command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables without effect are named."""
    monkeypatch.setenv("USE_NGROK", "true")

    ran = command("config", "check")

    assert (ran.code, ran.err.splitlines()[0][:35]) == (0, "warning: USE_NGROK has no effect: t")


def test_functions_are_checked_with_the_settings(command: Callable[..., Ran], tmp_path: Path) -> None:
    """What is wrong with their file is told as the rest is."""
    file = tmp_path / "functions.toml"
    file.write_text('[function."acme.f"]\nurl = "nowhere"\n')

    ran = command("config", "check", "--set", f"functions={file}")

    assert ran.code == 3
    assert "function 'acme.f': url must begin with http" in ran.err


def test_the_reference_shows_defaults_that_can_be_given(command: Callable[..., Ran]) -> None:
    """With the largest unit that leaves nothing over; small ones do not become zero."""
    rows = re.findall(
        r"(?m)^\| `(\w+)` \| [^|]+ \| a (?:size|length of time)[^|]+ \| `(.+?)` \|", command("config", "reference").out
    )
    shown = dict(rows)

    given = load_settings(environ={"HOME": "/"}, overrides=shown)

    assert (shown["decision_log_max_bytes"], shown["decision_log_keep"]) == ("32KiB", "7d")
    assert (shown["keepalive"], shown["worker_poll"], shown["cache_ttl"]) == ("75s", "0.25s", "0s")
    assert given.dump() == load_settings(environ={"HOME": "/"}).dump()

"""policies, seed, reset, db: on a real store, without a server."""

import getpass
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_ran import Ran

SERVICE = "bundled/pexip/service/1.0"


@pytest.fixture
def seeded(command: Callable[..., Ran]) -> Callable[..., Ran]:
    """Return the command line on a store that has the bundled policies."""
    assert command("seed").code == 0
    return command


def test_the_store_is_made_and_filled(command: Callable[..., Ran], tmp_path: Path) -> None:
    """Db upgrade makes the database; seed publishes what it does not have, once."""
    ran = command("db", "upgrade")

    assert ran == Ran(0, "", f"sqlite:///{tmp_path}/state/policies.db is up to date\n")
    assert command("seed") == Ran(0, "", "bundled policies: 6 published\n")
    assert command("seed") == Ran(0, "", "bundled policies: 6 unchanged\n")


@pytest.mark.parametrize("verb", ["lock", "unlock"])
def test_what_has_no_store_cannot_be_locked(command: Callable[..., Ran], tmp_path: Path, verb: str) -> None:
    """Nothing is said to be locked that is forgotten at once; nothing is made either."""
    ran = command("policies", verb, SERVICE)

    assert (ran.code, ran.out) == (5, "")
    assert f"no store in {tmp_path}/state yet" in ran.err
    assert not (tmp_path / "state").exists()


def test_policies_are_listed(seeded: Callable[..., Ran]) -> None:
    """One line each; programs get JSON."""
    lines = [line.split("\t") for line in seeded("policies", "list").out.splitlines()]
    documents = json.loads(seeded("policies", "list", "--name", "serv", "--format", "json").out)

    assert [line[0] for line in lines if line[1:5] == ["ready", "1", "v1", ""]] == [
        f"bundled/pexip/{name}/1.0"
        for name in ("avatar", "directory", "media_location", "participant", "registration", "service")
    ]
    assert [document["policyName"] for document in documents] == ["service"]


def test_everything_about_one_policy_is_shown(seeded: Callable[..., Ran]) -> None:
    """Source, data and where it came from."""
    shown = json.loads(seeded("policies", "show", SERVICE).out)

    assert (shown["package"], shown["author"], shown["locked"]) == ("pexip.service", "bundled", False)
    assert shown["rego"].startswith("# METADATA")


def test_a_policy_is_locked_and_unlocked(seeded: Callable[..., Ran]) -> None:
    """What is locked already is a conflict, exit 5."""
    assert seeded("policies", "lock", SERVICE) == Ran(0, "", f"{SERVICE} is locked\n")
    assert seeded("policies", "list", "--locked").out.startswith(SERVICE)
    assert seeded("policies", "lock", SERVICE) == Ran(5, "", "policy-server: policy is already locked\n")
    assert seeded("policies", "unlock", SERVICE) == Ran(0, "", f"{SERVICE} is unlocked\n")
    assert seeded("policies", "unlock", SERVICE).code == 5


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("bundled/pexip/none/1.0", "no such policy|not found|no policy"),
        ("service", "'service' is not repository/group/name/version"),
    ],
)
@pytest.mark.parametrize("action", ["show", "lock"])
def test_a_policy_that_is_not_there_exits_with_1(
    seeded: Callable[..., Ran], action: str, policy: str, message: str
) -> None:
    """The message says what is wrong with the name."""
    ran = seeded("policies", action, policy)

    assert (ran.code, ran.out) == (1, "")
    assert re.search(message, ran.err)


def test_a_reset_puts_the_sample_back(seeded: Callable[..., Ran]) -> None:
    """Without --yes it asks, and no answer is no."""
    assert seeded("reset").code == 1
    assert seeded("reset", "--yes") == Ran(0, "", "bundled policies: 6 unchanged\n")


def test_starting_over_forgets_locks(seeded: Callable[..., Ran]) -> None:
    """--all deletes every policy first."""
    seeded("policies", "lock", SERVICE)

    assert seeded("reset", "--all", "--yes") == Ran(0, "", "bundled policies: 6 published\n")
    deleted = json.loads(seeded("audit", "--action", "delete", "--format", "json").out)
    assert {each["actor"] for each in deleted} == {f"cli:{getpass.getuser()}"}
    assert seeded("policies", "list", "--locked").out == ""


def test_a_server_that_is_not_there_exits_with_4(command: Callable[..., Ran]) -> None:
    """The address is named, the reason is one line."""
    ran = command("policies", "list", "--server", "http://127.0.0.1:1")

    assert ran == Ran(4, "", "policy-server: http://127.0.0.1:1 cannot be reached: Connection refused.\n")

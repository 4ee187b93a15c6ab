"""policies put, delete, history, diff, rollback, and audit: on a real store, without a server."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_ran import Ran

POLICY = "mine/g/p/1.0"
REGO = "package g.p\n\nwho := data.who\n"
TEST = "package g.p_test\n\nimport data.g.p\n\ntest_who if p.who == 1\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with a policy, its data and a test."""
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "policy.rego").write_text(REGO)
    (directory / "policy_test.rego").write_text(TEST)
    (directory / "data.json").write_text('{"who": 1}')
    return directory


@pytest.fixture
def stocked(command: Callable[..., Ran], source: Path) -> Callable[..., Ran]:
    """The command line on a store with two revisions of a policy."""
    assert command("db", "upgrade").code == 0
    assert command("policies", "put", POLICY, source).code == 0
    (source / "data.json").write_text('{"who": 2}')
    assert command("policies", "put", POLICY, source).code == 0
    return command


def test_a_directory_is_published(stocked: Callable[..., Ran], source: Path) -> None:
    """With all its documents; the same again changes nothing."""
    again = stocked("policies", "put", POLICY, source)
    shown = json.loads(stocked("policies", "show", POLICY).out)

    assert again == Ran(0, "", f"{POLICY} is revision 2, as before\n")
    assert (shown["rego"], shown["data"], shown["author"][:4]) == (REGO, '{"who": 2}', "cli:")


def test_a_dry_run_tests_and_publishes_nothing(stocked: Callable[..., Ran], source: Path) -> None:
    """Exit 1 with the failed test; 0 when all pass."""
    failed = stocked("policies", "put", POLICY, source, "--dry-run")
    (source / "data.json").write_text('{"who": 1}')
    passed = stocked("policies", "put", POLICY, source, "--dry-run")

    assert (failed.code, failed.out) == (1, "policy_test.rego:5: test_who: fail\n")
    assert (passed.code, passed.err) == (0, f"1 of 1 Rego tests pass\n{POLICY} can be published\n")
    assert json.loads(stocked("policies", "show", POLICY).out)["revision"] == 2


def test_errors_name_their_place(stocked: Callable[..., Ran], source: Path) -> None:
    """File, line and column, as editors jump to; the policy stays as it was."""
    (source / "policy.rego").write_text("package g.p\n\na := nothing\n")

    ran = stocked("policies", "put", POLICY, source)

    assert ran.code == 1
    assert "policy.rego:3:6: " in ran.err
    assert json.loads(stocked("policies", "show", POLICY).out)["state"] == "ready"


def test_a_lost_update_is_a_conflict(stocked: Callable[..., Ran], source: Path) -> None:
    """Exit 5, with or without quotes around the tag."""
    for tag in ("1-x", '"1-x"'):
        assert stocked("policies", "delete", POLICY, "--yes", "--if-match", tag).code == 5
    (source / "data.json").write_text("{}")
    assert stocked("policies", "put", POLICY, source, "--if-match", "*").code == 0


def test_history_is_listed_compared_and_restored(stocked: Callable[..., Ran]) -> None:
    """Newest first; a diff is exit 1, no diff exit 0; what was is a new revision."""
    listed = [line.split("\t")[0] for line in stocked("policies", "history", POLICY).out.splitlines()]
    documents = json.loads(stocked("policies", "history", POLICY, "--format", "json").out)
    different = stocked("policies", "diff", POLICY, 1, 2)
    back = stocked("policies", "rollback", POLICY, 1)

    assert listed[-2:] == ["2 *", "1"]
    assert [each["origin"] for each in documents] == ["api", "api"]
    assert (different.code, different.out.splitlines()[-2:]) == (1, ['+  "who": 2', " }"])
    assert back == Ran(0, "", f"{POLICY} is revision 3, which is what revision 1 was\n")
    assert stocked("policies", "diff", POLICY, 1, 3) == Ran(0, "", "")


def test_deleting_asks_first(stocked: Callable[..., Ran]) -> None:
    """Without an answer nothing is deleted."""
    assert stocked("policies", "delete", POLICY).code != 0
    assert stocked("policies", "delete", POLICY, "--yes") == Ran(0, "", f"{POLICY} is deleted\n")
    assert stocked("policies", "show", POLICY).code == 1


def test_the_audit_names_the_user(stocked: Callable[..., Ran]) -> None:
    """Newest first, by whoever ran the command; filters and JSON."""
    stocked("policies", "lock", POLICY)

    lines = [line.split("\t") for line in stocked("audit", "--policy", POLICY).out.splitlines()]
    records = json.loads(stocked("audit", "--action", "publish", "--limit", 1, "--format", "json").out)

    assert [line[2] for line in lines][-3:] == ["lock", "publish", "publish"]
    assert (len(records), records[0]["actor"][:4], records[0]["origin"]) == (1, "cli:", "")


def test_a_bad_time_is_told(stocked: Callable[..., Ran]) -> None:
    """The server's own words."""
    ran = stocked("audit", "--since", "yesterday")

    assert (ran.code, "must be a time such as" in ran.err) == (1, True)

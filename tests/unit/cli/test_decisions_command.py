"""decisions: what was recorded, from a real store, without a server."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli_ran import Ran

from policy_server.decisions.masking import Masker
from policy_server.decisions.record import Keeping, Recorder
from policy_server.decisions.taking import Request, Slip
from policy_server.model.decision import Decision, Question
from policy_server.model.errors import PolicyLocked
from policy_server.model.policy import PolicyId
from policy_server.storage.opening import open_store

POLICY = PolicyId("mine", "g", "p", "1.0")


@pytest.fixture
def kept(command: Callable[..., Ran], tmp_path: Path) -> Iterator[None]:
    """A store with two decisions of the last minute."""
    assert command("db", "upgrade").code == 0
    recorder = Recorder(Masker(), Keeping(), {}, lambda _reason: None)
    question = Question(POLICY, b'{"pin": "918273"}', "g/p")
    slips = [
        Slip(question, decision=Decision("first", POLICY, 1, b"true", 1_234_000)),
        Slip(Question(POLICY, None, "g/p", id="second"), error=PolicyLocked()),
    ]
    for second, slip in enumerate(slips):
        at = datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=second)
        slip.at_ns = int(at.timestamp() * 1e9)
        slip.request = Request(handler="/policy/…/evaluation", status=200, requested_by="token:ci")
    store = open_store(f"sqlite:///{tmp_path}/state/policies.db")
    store.decisions.record([recorder.record(slip) for slip in slips])
    yield
    store.close()


def test_decisions_are_listed_newest_first(command: Callable[..., Ran], kept: None) -> None:
    """Whether or not this shell has the settings of the server that kept them."""
    second, first = (line.split("\t") for line in command("decisions", "list").out.splitlines())

    assert first == ["2026-03-01T12:00:00.000Z", "first", "evaluation", "g/p", "", "answered", "token:ci", "1.2"]
    assert second[5] == "failed (policy-locked)"


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (["--errors"], ["second"]),
        (["--policy", str(POLICY), "--until", "2026-03-01T12:00:01Z"], ["first"]),
        (["--requested-by", "nobody"], []),
        (["--outcome", "answered", "--path", "g/p", "--endpoint", "evaluation"], ["first"]),
        (["--limit", "1"], ["second"]),
    ],
)
def test_decisions_are_filtered(command: Callable[..., Ran], kept: None, filters: list[str], ids: list[str]) -> None:
    """As by the API."""
    found = json.loads(command("decisions", "list", *filters, "--format", "json").out)

    assert [each["decision_id"] for each in found] == ids


def test_a_decision_is_shown_whole(command: Callable[..., Ran], kept: None) -> None:
    """As JSON; an unknown one is a no, exit 1."""
    shown = json.loads(command("decisions", "show", "first").out)

    assert (shown["input"], shown["result"]) == ({"pin": "**********"}, True)
    assert command("decisions", "show", "none").code == 1

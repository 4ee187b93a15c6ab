"""simulate: requests as a Pexip node makes them, answered in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cli_ran import Ran

from policy_server.pexip.kinds import RequestKind
from policy_server.pexip.simulator import Preset, make_target, outcome, unknown


def test_the_sample_rule_book_answers(command: Callable[..., Ran], tmp_path: Path) -> None:
    """Without any state the bundled policies answer from memory, and nothing is written."""
    ran = command("simulate", "service", "local_alias=my-vmr-kari")

    assert ran.code == 0
    assert json.loads(ran.out)["result"]["pin"] == "2931"
    assert ran.err.splitlines()[0].startswith("GET http://127.0.0.1:8080/policy/v1/service/configuration?")
    assert ran.err.splitlines()[-1] == "Pexip connects to my-vmr-kari (conference)."
    assert not (tmp_path / "state").exists()


def test_the_sample_rule_book_answers_beside_other_files(command: Callable[..., Ran], tmp_path: Path) -> None:
    """A state directory without a store, as doctor leaves it, is none yet."""
    command("doctor")

    ran = command("simulate", "service", "local_alias=my-vmr-kari")

    assert json.loads(ran.out)["result"]["pin"] == "2931"
    assert not (tmp_path / "state" / "policies.db").exists()


def test_a_store_that_is_named_is_asked(
    command: Callable[..., Ran], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where there is no state directory; and what it lacks is said once."""
    store = f"storage_url=sqlite:///{tmp_path}/other.db"

    ran = command("simulate", "service", "local_alias=my-vmr-kari", "--set", store)

    assert '"status": "no opinion"' in ran.out
    assert caplog.text.count("There is no policy bundled/pexip/service/1.0") == 1


def test_programs_get_url_answer_and_time(command: Callable[..., Ran]) -> None:
    """One JSON document."""
    ran = command("simulate", "registration", "--alias", "kari@nowhere.test", "--format", "json")

    said = json.loads(ran.out)
    assert urlsplit(said["url"]).path == "/policy/v1/registrations/kari%40nowhere.test"
    assert (said["status"], said["content_type"]) == (200, "application/json")
    assert said["pexip"].startswith("refuses")
    assert said["seconds"] > 0


def test_a_picture_is_not_printed(command: Callable[..., Ran]) -> None:
    """An avatar is described: type and size."""
    ran = command("simulate", "avatar", "--alias", "nobody@example.com")

    assert (ran.code, ran.out) == (0, "")
    assert ran.err.splitlines()[-1] in {"Pexip shows this picture.", "Pexip draws a placeholder."}


def test_a_name_the_request_does_not_have_is_pointed_out(command: Callable[..., Ran]) -> None:
    """It is sent all the same: Pexip's versions differ."""
    ran = command("simulate", "service", "local_allias=x")

    assert ran.err.startswith("note: service requests are not known to carry local_allias\n")
    assert "local_allias=x" in ran.err


def test_a_pair_without_equals_is_refused(command: Callable[..., Ran]) -> None:
    """key=value is what is needed."""
    assert command("simulate", "service", "room").err == "policy-server: room is not key=value.\n"


@pytest.mark.parametrize("preset", Preset)
@pytest.mark.parametrize("kind", RequestKind)
def test_presets_send_what_such_a_request_carries(kind: RequestKind, preset: Preset) -> None:
    """No preset sends a parameter that the request does not have."""
    query = parse_qs(urlsplit(make_target(kind, preset, {})).query, keep_blank_values=True)

    assert unknown(kind, dict.fromkeys(query, "")) == []
    assert {"location", "node_ip", "version_id"} <= set(query)


def test_a_plus_in_an_alias_survives() -> None:
    """Telephone numbers arrive as they are."""
    target = make_target(RequestKind.SERVICE, Preset.SIP, {"local_alias": "+4722000000"})

    assert "local_alias=%2B4722000000" in target


def test_the_oldest_nodes_send_less() -> None:
    """A node of version 16 knows no call_tag and no idp_uuid."""
    query = parse_qs(urlsplit(make_target(RequestKind.SERVICE, Preset.LEGACY, {})).query, keep_blank_values=True)

    assert query["version_id"] == ["16"]
    assert not {"call_tag", "idp_uuid", "supports_direct_media"} & set(query)


@pytest.mark.parametrize(
    ("kind", "status", "body", "says"),
    [
        ("service", 404, {}, "looks the alias up in its own configuration"),
        ("service", 200, {"status": "failed"}, "looks the alias up in its own configuration"),
        ("service", 200, {"status": "success", "action": "continue"}, "looks the alias up in its own configuration"),
        ("service", 200, {"status": "success", "action": "reject"}, "refuses"),
        (
            "service",
            200,
            {"status": "success", "action": "reject", "result": {"name": "x", "service_type": "conference"}},
            "connects to x (conference)",
        ),
        (
            "service",
            200,
            {"status": "success", "action": "redirect", "result": {"new_alias": "sip:x"}},
            "sends the caller to sip:x",
        ),
        (
            "participant",
            200,
            {"status": "success", "action": "reject", "result": {"reject_reason": "no"}},
            "refuses: no",
        ),
        ("participant", 200, {"status": "success", "result": {"spotlight": 1}}, "changes spotlight"),
        ("participant", 200, {"status": "success", "result": {}}, "leaves the participant as it is"),
        ("media_location", 200, {"status": "success", "result": {"location": "Oslo"}}, "sends media through Oslo"),
        ("registration", 200, {"status": "success", "action": "reject", "result": {}}, "refuses"),
        ("registration", 404, {}, "checks its own device database"),
        ("directory", 200, {"status": "success", "result": [{}, {}]}, "lists 2 entries, and its own"),
        ("directory", 200, {"status": "success", "result": [], "ignore_local": True}, "lists 0 entries"),
        ("avatar", 404, {}, "draws a placeholder"),
    ],
)
def test_what_the_node_does_is_told(kind: str, status: int, body: object, says: str) -> None:
    """The same answer means what Pexip makes of it, not what it looks like."""
    assert outcome(RequestKind(kind), status, "application/json", json.dumps(body).encode()) == says

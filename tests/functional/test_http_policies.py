"""Listing, showing, locking and refreshing policies over HTTP."""

import pytest
from functional_server import Server
from pytest_httpserver import HTTPServer

from policy_server.model.errors import StoreUnavailable
from policy_server.model.policy import PolicyId
from policy_server.storage.memory import MemoryStore

IDS = ("a/g/Lock/1.0", "a/g/login/1.0", "a/h/other/2.0", "b/g/login/1.0")


@pytest.fixture
def stocked(server: Server) -> Server:
    """A server with four policies, one of them locked, one of them broken."""
    for policy in IDS[1:]:
        _, group, name, _ = policy.split("/")
        server.publish(policy, f"package {group}.{name}\n\na := 1\n", data='{"x": 1}')
    with pytest.raises(Exception, match=r"policy\.rego"):
        server.publish(IDS[0], "package g.Lock\n\na := \n")
    server.client.post(f"/policy/{IDS[3]}/lock")
    return server


def listed(server: Server, query: str = "") -> list[str]:
    """List the ids of policies."""
    found = server.client.get(f"/v1/policies?{query}").json["policies"]
    return ["/".join(each[key] for key in ("repository", "group", "policyName", "version")) for each in found]


def test_all_policies_are_listed_in_order(stocked: Server) -> None:
    """Without a limit there are no pages, as it always was."""
    answer = stocked.client.get("/v1/policies")

    assert answer.status == 200
    assert answer.json["next_cursor"] is None
    assert listed(stocked) == list(IDS)


def test_an_empty_list_is_a_list(server: Server) -> None:
    """No match is no error."""
    assert server.client.get("/v1/policies?policyName=none").json["policies"] == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("policyName=LO", [IDS[0], IDS[1], IDS[3]]),
        ("policyName=.*", []),
        ("locked=true", [IDS[3]]),
        ("locked=F", list(IDS[:3])),
        ("locked=", list(IDS)),
        ("repository=a", list(IDS[:3])),
        ("group=h&version=2.0", [IDS[2]]),
        ("repository=a&locked=1", []),
        ("unknown=1", list(IDS)),
    ],
)
def test_filters(stocked: Server, query: str, expected: list[str]) -> None:
    """Names by part and in any case, never as a pattern; everything else exactly."""
    assert listed(stocked, query) == expected


def test_texts_are_shown_when_asked_for(stocked: Server) -> None:
    """``rego``, ``data`` and ``dataConfig`` are absent, or present even when empty."""
    plain = stocked.client.get("/v1/policies?group=h").json["policies"][0]
    full = stocked.client.get("/v1/policies?group=h&rego=1&data=true&dataConfig=T").json["policies"][0]

    assert not {"rego", "data", "dataConfig"} & plain.keys()
    assert full["rego"] == "package h.other\n\na := 1\n"
    assert full["data"] == '{"x": 1}'
    assert full["dataConfig"] == ""


def test_what_each_entry_says(stocked: Server) -> None:
    """The policy service's keys, and revision, dialect, digest, state and error."""
    broken, good = stocked.client.get("/v1/policies?limit=2").json["policies"]

    assert isinstance(good["lastUpdate"], int)
    assert abs(good["lastUpdate"] - stocked.store.get(PolicyId.parse(IDS[1])).updated_at.timestamp()) < 1
    assert (good["locked"], good["state"], good["revision"], good["dialect"]) == (False, "ready", 1, "v1")
    assert len(good["digest"]) == 64
    assert (good["error"], good["refresh"]) == (None, None)
    assert (broken["state"], broken["revision"], broken["error"]["code"]) == ("failed", None, "compile-error")
    assert "policy.rego:4: " in broken["error"]["message"]
    assert broken["error"]["at"].endswith("Z")


def test_pages_go_through_everything_once(stocked: Server) -> None:
    """Each page says where the next one begins."""
    seen, cursor = [], ""
    for _ in range(4):
        page = stocked.client.get(f"/v1/policies?limit=1&cursor={cursor}").json
        seen += [each["policyName"] for each in page["policies"]]
        cursor = page["next_cursor"]

    assert seen == ["Lock", "login", "other", "login"]
    assert cursor is None


@pytest.mark.parametrize("name", ["locked", "rego", "data", "dataConfig"])
@pytest.mark.parametrize("value", ["yes", "2", "tRue", "%FF"])
def test_bad_booleans_are_refused(stocked: Server, name: str, value: str) -> None:
    """In the policy service's words."""
    answer = stocked.client.get(f"/v1/policies?{name}={value}")

    shown = value.replace("%FF", "\ufffd")
    assert (answer.status, answer.json["kind"]) == (400, 1)
    assert answer.json["message"] == f'invalid value "{shown}" for "{name}", must be a boolean'


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=%FF", "cursor=bnVsbA&limit=2", "limit=0", "limit=1001", "limit=x"]
)
def test_bad_cursors_and_limits_are_refused(stocked: Server, query: str) -> None:
    """A made-up cursor is the caller's mistake."""
    answer = stocked.client.get(f"/v1/policies?{query}")

    assert (answer.status, answer.json["kind"]) == (400, 1)


def test_the_problem_document_names_the_parameter(stocked: Server) -> None:
    """A client that asks for RFC 9457 learns which parameter it was."""
    answer = stocked.client.get("/v1/policies?locked=x", headers={"Accept": "application/problem+json"})

    assert answer.json["errors"][0]["parameter"] == "locked"
    assert answer.json["type"] == "/problems/invalid-parameter"


def test_one_policy_in_full(stocked: Server) -> None:
    """Source, data, entrypoints and digests of one policy."""
    shown = stocked.client.get(f"/v1/policies/{IDS[1]}").json
    broken = stocked.client.get(f"/v1/policies/{IDS[0]}").json
    missing = stocked.client.get("/v1/policies/a/g/nothing/1.0")

    assert (shown["package"], shown["entrypoints"], shown["author"]) == ("g.login", ["g/login"], "test")
    assert shown["rego"].startswith("package g.login")
    assert (broken["revision"], broken["entrypoints"], broken["error"]["code"]) == (None, [], "compile-error")
    assert (missing.status, missing.json["type"]) == (404, "/problems/policy-not-found")


class TestLocks:
    """POST and DELETE on …/lock."""

    URL = f"/policy/{IDS[1]}/lock"

    def test_locking_answers_nothing(self, stocked: Server) -> None:
        """200, empty, without a content type; a body is ignored."""
        locked = stocked.client.post(self.URL, b"whatever")
        unlocked = stocked.client.ask("DELETE", self.URL)

        for answer in (locked, unlocked):
            assert (answer.status, answer.body) == (200, b"")
            assert "content-type" not in answer.headers

    def test_twice_is_refused(self, stocked: Server) -> None:
        """403 kind 3, each with its own words."""
        early = stocked.client.ask("DELETE", self.URL)
        stocked.client.post(self.URL)
        twice = stocked.client.post(self.URL)

        assert (early.status, early.json["kind"], early.json["message"]) == (403, 3, "policy is unlocked")
        assert (twice.status, twice.json["kind"], twice.json["message"]) == (403, 3, "policy is already locked")

    def test_an_unknown_policy_is_not_found(self, stocked: Server) -> None:
        """The same words for every store."""
        answer = stocked.client.post("/policy/a/g/nothing/1.0/lock")

        assert (answer.status, answer.json["kind"], answer.json["message"]) == (404, 5, "policy not found")

    def test_it_cannot_be_read(self, stocked: Server) -> None:
        """GET is not a method of a lock."""
        answer = stocked.client.get(self.URL)

        assert (answer.status, answer.headers["allow"]) == (405, "DELETE, POST")


class TestStoreAway:
    """What a lost store looks like from outside."""

    @pytest.fixture
    def away(self, make_server) -> Server:
        """A server whose store cannot be reached any more."""

        class Lost(MemoryStore):
            gone = False

            def __getattribute__(self, name: str):
                known = ("lock", "unlock", "find", "get", "stamp", "ping", "refresh_states")
                if name in known and super().__getattribute__("gone"):

                    def fail(*args, **options):
                        raise StoreUnavailable

                    return fail
                return super().__getattribute__(name)

        store = Lost()
        server = make_server(store=store)
        server.publish("r/g/p/1.0", "package g.p\n\na := 1\n")
        server.client.post("/policy/r/g/p/1.0/evaluation")
        store.gone = True
        return server

    @pytest.mark.parametrize(
        ("method", "target", "message"),
        [
            ("POST", "/policy/r/g/p/1.0/lock", "error locking policy"),
            ("DELETE", "/policy/r/g/p/1.0/lock", "error unlocking policy"),
            ("GET", "/v1/policies", "error retrieving policies"),
            ("POST", "/policy/r/g/q/1.0/evaluation", "error evaluating policy"),
        ],
    )
    def test_what_needs_it_says_so(self, away: Server, method: str, target: str, message: str) -> None:
        """500 kind 0, in the words of each route."""
        answer = away.client.ask(method, target)

        assert (answer.status, answer.json["kind"], answer.json["message"]) == (500, 0, message)

    def test_loaded_policies_go_on_answering(self, away: Server) -> None:
        """A decision does not need the store."""
        assert away.client.post("/policy/r/g/p/1.0/evaluation").body == b'{"a":1}\n'

    def test_readiness_tells(self, away: Server) -> None:
        """Ready, because what is loaded answers, but degraded; a policy that is not loaded makes it unready."""
        answer = away.client.get("/readyz?verbose")
        needy = away.fresh(pexip_policies=(PolicyId("r", "g", "unloaded", "1.0"),)).get("/readyz")

        assert (answer.status, answer.json["status"]) == (200, "degraded")
        assert {each["name"]: each["state"] for each in answer.json["checks"]}["store"] == "failed"
        assert (needy.status, needy.json["status"]) == (503, "unready")


class TestRefresh:
    """POST …/refresh."""

    def test_data_is_fetched_now(self, make_server, httpserver: HTTPServer) -> None:
        """The answer is the state; the next evaluation sees the data."""
        httpserver.expect_request("/data").respond_with_json({"n": 7})
        server = make_server(networks=("127.0.0.0/8",))
        config = f'{{"url": "{httpserver.url_for("/data")}", "method": "GET", "period": "1h"}}'
        server.publish("r/g/p/1.0", "package g.p\n\na := data.n\n", data_config=config)

        answer = server.client.post("/policy/r/g/p/1.0/refresh")
        server.catalog.sync()

        assert answer.status == 200
        assert (answer.json["error"], answer.json["failures"], len(answer.json["digest"])) == (None, 0, 64)
        assert server.client.post("/policy/r/g/p/1.0/evaluation").body == b'{"a":7}\n'
        assert server.client.get("/v1/policies").json["policies"][0]["refresh"] == answer.json

    def test_a_failed_fetch_is_told_in_the_state(self, make_server) -> None:
        """A refused target is not an error of this route, and the old data stays."""
        server = make_server()
        config = '{"url": "http://127.0.0.1:9/data", "method": "GET", "period": "1h"}'
        server.publish("r/g/p/1.0", "package g.p\n\na := data.n\n", data='{"n": 1}', data_config=config)

        answer = server.client.post("/policy/r/g/p/1.0/refresh")

        assert answer.status == 200
        assert answer.json["error"]
        assert answer.json["failures"] == 1
        assert server.client.post("/policy/r/g/p/1.0/evaluation").body == b'{"a":1}\n'

    def test_nothing_to_refresh(self, stocked: Server) -> None:
        """404 kind 5 for a policy without a data-config, and for none at all."""
        for policy in (IDS[1], "a/g/nothing/1.0"):
            answer = stocked.client.post(f"/policy/{policy}/refresh")

            assert (answer.status, answer.json["kind"]) == (404, 5)

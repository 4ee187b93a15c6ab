"""Creating, replacing, checking, undoing and deleting policies over HTTP."""

import json
from collections.abc import Callable, Iterator

import pytest
from functional_server import Server

from policy_server.model.policy import PolicyId
from policy_server.storage.opening import open_store

ITEM = "/v1/policies/r/g/p/1.0"
ASK = "/policy/r/g/p/1.0/evaluation"
REGO = "package g.p\n\nwho := data.who\n"
TEST = "package g.p_test\n\nimport data.g.p\n\ntest_who if p.who == 1\n"


@pytest.fixture(params=["memory:", "sqlite"])
def real(request: pytest.FixtureRequest, tmp_path, make_server: Callable[..., Server]) -> Iterator[Server]:
    """A server on each kind of store that needs no other server."""
    store = open_store("memory:" if request.param == "memory:" else f"sqlite:///{tmp_path}/policies.db")
    yield make_server(store=store)
    store.close()


def put(server: Server, target: str = ITEM, headers=None, **parts: object):
    """Publish, and let this worker see it."""
    answer = server.client.ask("PUT", target, body=json.dumps(parts).encode(), headers=headers or {})
    server.catalog.sync()
    return answer


def test_a_policy_is_created_replaced_and_deleted(real: Server) -> None:
    """201, 200, 204; each revision is what answers, and after the last there is nothing."""
    made = put(real, rego=REGO, data={"who": 1})
    assert (made.status, made.json["revision"], made.json["changed"], made.json["author"]) == (
        201,
        1,
        True,
        "anonymous",
    )
    assert real.client.post(ASK).json == {"who": 1}

    replaced = put(real, rego=REGO, data='{"who": 12345678901234567890}')
    assert (replaced.status, replaced.json["revision"]) == (200, 2)
    assert real.client.post(ASK).body == b'{"who":12345678901234567890}\n'

    gone = real.client.ask("DELETE", ITEM)
    real.catalog.sync()
    assert (gone.status, gone.body) == (204, b"")
    assert real.client.post(ASK).status == 404
    assert real.client.ask("DELETE", ITEM).json["type"] == "/problems/policy-not-found"


def test_a_repeated_request_is_answered_like_the_first(real: Server) -> None:
    """Even when its If-Match or If-None-Match held only the first time."""
    first = put(real, rego=REGO, headers={"If-None-Match": "*"})
    again = put(real, rego=REGO, headers={"If-None-Match": "*"})
    later = put(real, rego=REGO, data={"who": 2}, headers={"If-Match": first.headers["etag"]})
    once_more = put(real, rego=REGO, data={"who": 2}, headers={"If-Match": first.headers["etag"]})

    assert [each.status for each in (first, again, later, once_more)] == [201, 200, 200, 200]
    assert [each.json["revision"] for each in (first, again, later, once_more)] == [1, 1, 2, 2]
    assert [each.json["changed"] for each in (again, once_more)] == [False, False]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "data", "rollback"])
def test_a_lost_update_is_refused(real: Server, method: str) -> None:
    """412 when somebody else was faster, and nothing is changed."""
    seen = put(real, rego=REGO, data={"who": 1}).headers["etag"]
    put(real, rego=REGO, data={"who": 2})
    stale = {"If-Match": f'W/"x", {seen}'}

    answer = {
        "PUT": lambda: put(real, rego=REGO, headers=stale),
        "DELETE": lambda: real.client.ask("DELETE", ITEM, headers=stale),
        "data": lambda: real.client.ask("PUT", f"{ITEM}/data", body=b'{"who": 3}', headers=stale),
        "rollback": lambda: real.client.post(f"{ITEM}/rollback", b'{"revision": 1}', headers=stale),
    }[method]()

    assert (answer.status, answer.json["type"]) == (412, "/problems/precondition-failed")
    assert real.client.post(ASK).json == {"who": 2}
    assert real.client.get(ITEM).json["revision"] == 2


def test_the_tag_of_a_policy_is_the_one_to_edit_with(real: Server) -> None:
    """GET of the policy and of its data, and PUT, name the same revision."""
    made = put(real, rego=REGO, data={"who": 1})
    tag = made.headers["etag"]

    assert real.client.get(ITEM).headers["etag"] == tag == real.client.get(f"{ITEM}/data").headers["etag"]
    assert put(real, rego=REGO, headers={"If-Match": tag}).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"If-Match": "*"}, 412), ({"If-Match": '"1-x"'}, 412), ({"If-Match": "1-x"}, 400), ({"If-None-Match": "*"}, 201)],
)
def test_conditions_on_what_is_not_there(server: Server, headers: dict[str, str], status: int) -> None:
    """``*`` wants something to be there; tags without quotes are no tags."""
    assert put(server, rego=REGO, headers=headers).status == status


def test_what_does_not_compile_leaves_no_trace_but_in_the_audit(real: Server) -> None:
    """422 with the place; neither a new policy nor a mark on an old one."""
    answer = put(real, rego="package g.p\n\na := \n")

    assert (answer.status, answer.json["type"]) == (422, "/problems/compile-error")
    assert (answer.json["errors"][0]["file"], answer.json["errors"][0]["line"]) == ("policy.rego", 4)
    assert real.client.get(ITEM).status == 404
    record = real.client.get("/v1/audit").json["records"][0]
    assert (record["action"], record["outcome"], record["subject"]) == ("publish", "compile-error", "r/g/p/1.0")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", ""),
        (b"[]", ""),
        (b"{}", "/rego"),
        (b'{"rego": 1}', "/rego"),
        (b'{"rego": "package g.p", "regoo": 1}', "/regoo"),
        (b'{"rego": "package g.p", "dialect": "v2"}', "/dialect"),
        (b'{"rego": "package g.p", "tests": [1]}', "/tests"),
    ],
)
def test_bodies_that_are_no_policy_are_refused(server: Server, body: bytes, pointer: str) -> None:
    """400 with a pointer to what is wrong."""
    answer = server.client.ask("PUT", ITEM, body=body)

    assert (answer.status, answer.json["type"]) == (400, "/problems/invalid-json")
    assert [each.get("pointer", "") for each in answer.json["errors"]] == ([pointer] if pointer else [])


@pytest.mark.parametrize("version", ["..", ".", "%00", "1%0A", "%20", "a%5Cb", "x" * 201])
def test_names_that_no_address_leads_to_are_refused(server: Server, version: str) -> None:
    """Clients and proxies take dot segments out, stores refuse NUL, and no bundle could carry such a policy."""
    answer = put(server, f"/v1/policies/r/g/p/{version}", rego=REGO)

    assert (answer.status, answer.json["type"]) == (400, "/problems/invalid-parameter")
    assert server.client.get("/v1/policies?repository=r").json["policies"] == []


def test_data_is_replaced_alone(real: Server) -> None:
    """The text is kept as it was sent; no compiler is needed; the rest stays."""
    put(real, rego=REGO, outputSchema={"type": "object"})
    assert real.client.get(f"{ITEM}/data").status == 404

    made = real.client.ask("PUT", f"{ITEM}/data", body=b'{ "who": "ada" }')
    real.catalog.sync()

    assert (made.status, made.json["revision"]) == (200, 2)
    assert real.client.get(f"{ITEM}/data").body == b'{ "who": "ada" }'
    assert real.client.post(ASK).json == {"who": "ada"}
    assert real.client.get(ITEM).json["output_schema"] == '{"type": "object"}'


@pytest.mark.parametrize(("body", "status"), [(b"[]", 422), (b'{"a": ', 422), (b"\xff", 400), (b"", 422)])
def test_data_that_is_no_object_is_refused(server: Server, body: bytes, status: int) -> None:
    """With its place, and the old data stays."""
    put(server, rego=REGO, data={"who": 1})

    assert server.client.ask("PUT", f"{ITEM}/data", body=body).status == status
    assert server.client.get(f"{ITEM}/data").json == {"who": 1}


def test_data_of_an_unknown_policy_is_not_found(server: Server) -> None:
    """404, not a new policy."""
    assert server.client.ask("PUT", f"{ITEM}/data", body=b"{}").status == 404


def test_scheduled_data_is_not_edited_here(server: Server) -> None:
    """The next refresh would undo it."""
    config = {"url": "https://h.test/x?token=secret", "method": "GET", "period": "1h"}
    put(server, rego=REGO, dataConfig=config)

    answer = server.client.ask("PUT", f"{ITEM}/data", body=b"{}")

    assert (answer.status, answer.json["type"]) == (409, "/problems/managed-elsewhere")
    assert b"secret" not in answer.body


def test_policies_of_a_feed_are_edited_where_they_come_from(make_server: Callable[..., Server]) -> None:
    """Every edit is a 409 that says where; reading, checking and locking work."""
    server = make_server(managed=lambda policy: "the folder /srv/p" if policy.repository == "r" else None)
    server.publish("r/g/p/1.0", REGO, data='{"who": 1}')

    edits = [
        put(server, rego=REGO),
        put(server, "/v1/policies/r/g/new/1.0", rego="package g.new\n\na := 1\n"),
        server.client.ask("DELETE", ITEM),
        server.client.ask("PUT", f"{ITEM}/data", body=b"{}"),
        server.client.post(f"{ITEM}/rollback", b'{"revision": 1}'),
    ]

    # Rolling back to what is active changes nothing, so nothing is refused.
    assert [each.status for each in edits] == [409, 409, 409, 409, 200]
    assert edits[0].json["detail"] == "r/g/p/1.0 comes from the folder /srv/p, and is edited there."
    assert put(server, "/v1/policies/other/g/p/1.0", rego=REGO).status == 201
    assert server.client.post(f"{ITEM}/check", json.dumps({"rego": REGO}).encode()).status == 200
    assert server.client.post("/policy/r/g/p/1.0/lock").status == 200


def test_a_check_publishes_nothing(real: Server) -> None:
    """It says what publishing would say, with the results of the tests."""
    body = json.dumps({"rego": REGO, "data": {"who": 1}, "tests": TEST}).encode()
    for answer in (real.client.post(f"{ITEM}/check", body), real.client.ask("PUT", f"{ITEM}?dry_run=true", body=body)):
        assert (answer.status, answer.json["ok"], answer.json["problems"]) == (200, True, [])
        assert (answer.json["tests"]["passed"], answer.json["tests"]["failed"]) == (1, 0)
        assert answer.json["entrypoints"] == ["g/p"]
    assert real.client.get(ITEM).status == 404
    assert real.client.get("/v1/audit").json["records"] == []
    assert put(real, rego=REGO, data={"who": 1}).json["digest"] == answer.json["digest"]


@pytest.mark.parametrize(
    ("parts", "file", "line"),
    [
        ({"rego": "package g.p\n\na := nothing\n"}, "policy.rego", 3),
        ({"rego": REGO, "tests": "package g.p_test\n\ntest_a if nothing\n"}, "policy_test.rego", 3),
        ({"rego": REGO, "data": "{\n1}"}, "data.json", 2),
        ({"rego": "package other\n\na := 1\n"}, "policy.rego", 1),
        ({"rego": REGO, "tests": {"policy.rego": "package x"}}, "policy.rego", 0),
    ],
)
def test_a_check_says_where_it_is_wrong(server: Server, parts: dict, file: str, line: int) -> None:
    """File, line and column of what publishing would refuse."""
    answer = server.client.post(f"{ITEM}/check", json.dumps(parts).encode())

    assert (answer.status, answer.json["ok"]) == (200, False)
    problem = answer.json["problems"][0]
    assert (problem["file"], problem.get("line", 0)) == (file, line)


def test_a_check_with_failing_tests_is_not_ok(server: Server) -> None:
    """The results name the test that failed."""
    body = json.dumps({"rego": REGO, "data": {"who": 2}, "tests": {"who_test.rego": TEST}}).encode()

    answer = server.client.post(f"{ITEM}/check", body)

    assert (answer.json["ok"], answer.json["problems"], answer.json["tests"]["failed"]) == (False, [], 1)
    result = answer.json["tests"]["results"][0]
    assert (result["name"], result["status"], result["file"]) == ("test_who", "fail", "who_test.rego")


def test_history_lists_compares_and_rolls_back(real: Server) -> None:
    """Newest first in pages; a diff of each part; what was comes back as a new revision, data included."""
    put(real, rego=REGO, data={"who": 1})
    real.client.ask("PUT", f"{ITEM}/data", body=b'{"who": 2}')
    put(real, rego=REGO + "\nmore := 1\n", data={"who": 3})

    page = real.client.get(f"{ITEM}/revisions?limit=2").json
    rest = real.client.get(f"{ITEM}/revisions?limit=2&cursor={page['next_cursor']}").json
    assert [(each["revision"], each["active"]) for each in page["revisions"]] == [(3, True), (2, False)]
    assert ([each["revision"] for each in rest["revisions"]], rest["next_cursor"]) == ([1], None)
    assert (page["revisions"][0]["origin"], page["revisions"][0]["author"]) == ("api", "anonymous")

    parts = {each["part"]: each["diff"] for each in real.client.get(f"{ITEM}/revisions/2/diff/3").json["parts"]}
    assert parts["policy.rego"].endswith("\n+more := 1\n")
    assert '-  "who": 2\n+  "who": 3\n' in parts["data.json"]
    assert real.client.get(f"{ITEM}/revisions/2").json["data"] == '{"who": 2}'

    back = real.client.post(f"{ITEM}/rollback", b'{"revision": 2}')
    real.catalog.sync()
    assert (back.status, back.json["revision"], real.client.post(ASK).json) == (200, 4, {"who": 2})
    assert real.client.get(f"{ITEM}/revisions/2/diff/4").json == {"from": 2, "to": 4, "parts": []}


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("GET", f"{ITEM}/revisions/9", b"", 404),
        ("GET", f"{ITEM}/revisions/x", b"", 400),
        ("GET", f"{ITEM}/revisions/1/diff/9", b"", 404),
        ("GET", "/v1/policies/no/g/p/1.0/revisions", b"", 404),
        ("GET", f"{ITEM}/revisions?cursor=x", b"", 400),
        ("POST", f"{ITEM}/rollback", b'{"revision": 9}', 404),
        ("POST", f"{ITEM}/rollback", b'{"revision": 99999999999999999999}', 404),
        ("POST", f"{ITEM}/rollback", b'{"revision": 4611686018427387904}', 404),
        ("POST", f"{ITEM}/rollback", b'{"revision": true}', 400),
    ],
)
def test_revisions_that_are_not_there(server: Server, method: str, target: str, body: bytes, status: int) -> None:
    """404, or 400 when it is no number; nothing changes."""
    put(server, rego=REGO)

    assert server.client.ask(method, target, body=body).status == status
    assert server.store.get(PolicyId.parse("r/g/p/1.0")).revision.number == 1

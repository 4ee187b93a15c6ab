"""Health, metrics, OpenAPI, Swagger UI, problem types, and what every answer has."""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from functional_server import Server
from openapi_spec_validator import OpenAPIV31SpecValidator

from policy_server.api.problems import PAGES
from policy_server.api.routes import ROUTES
from policy_server.model.policy import PolicyId
from policy_server.model.status import State, Status

DOCS = Path(__file__).resolve().parents[2] / "docs"
SERVICE = PolicyId("test", "pexip", "service", "1.0")
GOOD = 'package pexip.service\n\ndecision := {"action": "continue"}\n'


def test_liveness_needs_nothing(server: Server) -> None:
    """Both shapes."""
    assert server.client.get("/livez").json == {"status": "live"}
    assert server.client.get("/liveness").json.keys() == {"service", "status", "version"}


@pytest.mark.parametrize("path", ["/readyz", "/health", "/readiness"])
def test_ready_means_that_pexips_policies_can_answer(make_server: Callable[..., Server], path: str) -> None:
    """Unready until the mapped policy is there, ready from then on."""
    server = make_server(pexip_policies=(SERVICE,))

    early = server.client.get(path)
    server.publish(str(SERVICE), GOOD)
    late = server.client.get(path)

    assert (early.status, late.status) == (503, 200)
    assert (early.json["status"], late.json["status"]) in {("unready", "ready"), ("down", "up")}


def test_verbose_shows_every_check(make_server: Callable[..., Server]) -> None:
    """Name, state, whether it matters, and why."""
    toolkit = Status(State.STARTING, "not here", datetime.now(UTC))
    server = make_server(pexip_policies=(SERVICE, SERVICE), subsystems={"toolkit": lambda: toolkit})
    server.publish(str(SERVICE), GOOD)

    answer = server.client.get("/readyz?verbose")

    checks = {each["name"]: each for each in answer.json["checks"]}
    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert list(checks) == ["store", "catalog", f"policy {SERVICE}", "toolkit"]
    assert (checks["toolkit"]["state"], checks["toolkit"]["required"]) == ("starting", False)
    assert "checks" not in server.client.get("/readyz").json


def test_a_stale_or_locked_policy_degrades(make_server: Callable[..., Server]) -> None:
    """The last good revision answers, so the server is ready, but it says so."""
    server = make_server(pexip_policies=(SERVICE,))
    server.publish(str(SERVICE), GOOD)
    with pytest.raises(Exception, match=r"policy\.rego"):
        server.publish(str(SERVICE), GOOD + "broken")
    stale = server.client.get("/readyz").json["status"]
    server.publish(str(SERVICE), GOOD)
    ready = server.client.get("/readyz").json["status"]
    server.client.post(f"/policy/{SERVICE}/lock")

    assert (stale, ready) == ("degraded", "ready")
    assert server.client.get("/readyz").json["status"] == "degraded"


def test_a_policy_that_cannot_answer_pexip_is_told(make_server: Callable[..., Server]) -> None:
    """Without the rule decision every request gets the fallback; a policy that never compiled answers nothing."""
    server = make_server(pexip_policies=(SERVICE,))
    with pytest.raises(Exception, match=r"policy\.rego"):
        server.publish(str(SERVICE), GOOD + "broken")
    unusable = server.client.get("/readyz")
    server.publish(str(SERVICE), "package pexip.service\n\nallow := true\n")

    assert unusable.status == 503
    assert server.client.get("/readyz").json["status"] == "degraded"


def test_a_catalog_that_has_not_started_is_not_ready(make_server: Callable[..., Server]) -> None:
    """A worker that has not read the store cannot decide."""
    server = make_server()
    starting = Status(State.STARTING, "nothing is loaded yet", datetime.now(UTC))
    server.parts = replace(server.parts, catalog_status=lambda: starting)

    assert server.fresh().get("/readyz").status == 503


def test_metrics_count_requests_and_decisions(server: Server) -> None:
    """The handler is the address's pattern, so that labels stay few."""
    server.publish("r/g/p/1.0", "package g.p\n\na := 1\n")
    server.publish(str(SERVICE), GOOD)
    server.client.post("/policy/r/g/p/1.0/evaluation")
    server.client.post("/policy/r/g/x/1.0/evaluation")
    server.client.get("/nowhere/else")
    server.client.get("/x/policy/v1/service/configuration?local_alias=a")
    server.client.ask("BREW", "/livez")

    text = server.client.get("/metrics").body.decode()

    handler = 'handler="/policy/{repository}/{group}/{policy}/{version}/evaluation"'
    assert f'policy_http_requests_total{{code="200",{handler},method="POST"}} 1.0' in text
    assert f'policy_http_requests_total{{code="404",{handler},method="POST"}} 1.0' in text
    assert 'policy_http_requests_total{code="404",handler="unmatched",method="GET"} 1.0' in text
    assert 'policy_http_requests_total{code="405",handler="/livez",method="other"} 1.0' in text
    assert 'policy_http_request_duration_seconds_bucket{handler="/livez",le="5.0"}' in text
    assert 'policy_decisions_total{endpoint="evaluation",outcome="ok",source="policy"} 1.0' in text
    assert 'policy_decisions_total{endpoint="evaluation",outcome="policy-not-found",source="policy"} 1.0' in text
    assert 'policy_decision_duration_seconds_count{endpoint="service"} 1.0' in text


def test_metrics_can_be_elsewhere(server: Server) -> None:
    """With a listener of their own they are not on this one."""
    client = server.fresh(serve_metrics=False)

    assert client.get("/metrics").status == 404
    assert "/metrics" not in client.get("/openapi.json").json["paths"]


def test_the_openapi_document_is_valid_and_complete(server: Server) -> None:
    """OpenAPI 3.1, with every address of the route table and every shape."""
    answer = server.client.get("/openapi.json")

    document = answer.json
    OpenAPIV31SpecValidator(document).validate()
    described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    assert described == {(re.sub(r"{(\w+):\w+}", r"{\1}", route.path), route.method) for route in ROUTES}
    assert {"PolicyView", "PolicyList", "ServiceError", "ProblemDocument"} <= document["components"]["schemas"].keys()
    operations = [each["operationId"] for item in document["paths"].values() for each in item.values()]
    assert len(set(operations)) == len(operations)


def test_every_address_of_the_document_answers(server: Server) -> None:
    """Nothing is documented that is not there."""
    for route in ROUTES:
        answer = server.client.ask(route.method, re.sub(r"{\w+}", "x", route.path))

        assert answer.status != 405, route
        assert b"404 page not found" not in answer.body, route


def test_swagger_ui_is_served_from_here(server: Server) -> None:
    """Page, script, style sheet and start script, under a strict content security policy."""
    page = server.client.get("/docs")
    files = re.findall(rb'(?:src|href)="(docs/assets/[^"]+)"', page.body)

    assert page.status == 200
    assert "unsafe-inline" not in page.headers["content-security-policy"]
    assert b"http" not in page.body
    assert b"<script>" not in page.body
    assert len(files) == 4
    for file in files:
        answer = server.client.get("/" + file.decode())
        assert (answer.status, len(answer.body) > 100) == (200, True)


def test_swagger_ui_is_also_where_the_policy_service_has_it(server: Server) -> None:
    """The page with its files beside it, and the same document."""
    client = server.client
    page = client.get("/swagger-ui/")
    files = re.findall(rb'(?:src|href)="([^"]+)"', page.body)

    assert (page.status, len(files)) == (200, 5)
    assert b"openapi.json" in files
    for file in files:
        answer = client.get("/swagger-ui/" + file.decode())
        assert (answer.status, len(answer.body) > 100) == (200, True)
    assert client.get("/swagger-ui/openapi.json").body == client.get("/openapi.json").body
    assert client.get("/swagger-ui/..%2F..%2Fparts.py").status == 404


@pytest.mark.parametrize("name", ["../../parts.py", "..%2F..%2Fparts.py", "index.html", "swagger-ui.js", "%00"])
def test_no_other_file_is_handed_out(server: Server, name: str) -> None:
    """Only the named files, never a path."""
    assert server.client.get(f"/docs/assets/{name}").status == 404


def test_missing_assets_are_a_clear_problem(server: Server, tmp_path: Path) -> None:
    """503 and what to do about it."""
    client = server.fresh(assets=tmp_path)

    for path in ("/docs", "/docs/assets/swagger-ui.css"):
        answer = client.get(path)
        assert (answer.status, answer.json["type"]) == (503, "/problems/assets-missing")
        assert "scripts/setup" in answer.json["detail"]


def test_every_type_of_problem_has_a_page(server: Server) -> None:
    """The list, each entry, and nothing else."""
    pages = server.client.get("/problems").json

    assert [page["type"] for page in pages] == [f"/problems/{slug}" for slug in PAGES]
    for page in pages:
        assert server.client.get(page["type"]).json == page
    assert server.client.get("/problems/none").status == 404


def test_the_guides_name_every_type_and_every_route() -> None:
    """docs/problems.md and docs/http.md say what there is."""
    problems = re.findall(r"^\| `([a-z-]+)` \|", (DOCS / "problems.md").read_text(), re.MULTILINE)
    routes = re.findall(r"^\| `([A-Z]+) (/[^`]*)` \|", (DOCS / "http.md").read_text(), re.MULTILINE)

    assert problems == list(PAGES)
    assert sorted(routes) == sorted((route.method, re.sub(r"{(\w+):\w+}", r"{\1}", route.path)) for route in ROUTES)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/policyx", "/docs/", "/problems/x/y", "/%FF", "//"])
def test_unknown_addresses_are_problems(server: Server, path: str) -> None:
    """RFC 9457, with the address and the request's id."""
    answer = server.client.get(path)

    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert (answer.json["type"], answer.json["status"]) == ("/problems/not-found", 404)
    assert answer.json["request_id"] == answer.headers["x-request-id"]


def test_other_methods_on_our_own_addresses_are_problems(server: Server) -> None:
    """405 with the methods that work."""
    answer = server.client.post("/livez")

    assert (answer.status, answer.headers["allow"], answer.json["type"]) == (
        405,
        "GET",
        "/problems/method-not-allowed",
    )


def test_every_answer_has_an_id_and_cannot_be_sniffed(server: Server) -> None:
    """The caller's id is kept when it is harmless."""
    ours = server.client.get("/livez")
    theirs = server.client.get("/livez", headers={"X-Request-ID": "abc.1"})
    bad = server.client.get("/livez", headers={"X-Request-ID": "a\x01\xff"})

    assert theirs.headers["x-request-id"] == "abc.1"
    assert len({ours.headers["x-request-id"], bad.headers["x-request-id"], "abc.1"}) == 3
    assert ours.headers["x-content-type-options"] == "nosniff"


def test_one_line_is_logged_for_each_request(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Without the query, without Pexip's path, and not for probes."""
    with caplog.at_level(logging.INFO, "policy_server.access"):
        server.client.get("/hidden1/policy/v1/registrations/hidden2?pin=hidden3")
        server.client.get("/v1/policies?policyName=hidden4", headers={"X-Request-ID": "r-1"})
        server.client.get("/livez")

    lines = [record.__dict__ for record in caplog.records if record.name == "policy_server.access"]
    assert [(line["path"], line["status"]) for line in lines] == [
        ("/policy/v1/registrations/{alias}", 404),
        ("/v1/policies", 200),
    ]
    assert lines[1]["request_id"] == "r-1"
    assert "hidden" not in json.dumps(lines, default=str)


def test_an_unexpected_error_is_a_500_that_says_nothing(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets an id, the log gets the reason."""
    server.store.find = None  # type: ignore[method-assign]

    answer = server.client.get("/v1/policies")
    told = server.client.get("/v1/policies", headers={"Accept": "application/problem+json"})

    assert (answer.status, answer.json["kind"]) == (500, 7)
    assert (told.status, told.json["type"]) == (500, "/problems/internal")
    assert b"NoneType" not in answer.body + told.body
    assert "NoneType" in caplog.text

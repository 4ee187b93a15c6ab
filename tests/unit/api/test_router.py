"""Finding addresses, Pexip's behind any prefix."""

import falcon
import pytest
from falcon.testing import create_environ
from gunicorn.util import unquote_to_wsgi_str

from policy_server.api.router import DOUBLED, MethodMap, Router


def answer(_req: falcon.Request, _resp: falcon.Response, **_params: object) -> None:
    """Stand for a responder."""


@pytest.fixture
def router() -> Router:
    """A router with Pexip's addresses and one of the policy service's."""
    made = Router()
    for tail in ("service/configuration", "participant/avatar/{alias}", "registrations", "registrations/{alias}"):
        made.add(f"/policy/v1/{tail}", object(), MethodMap({"GET": answer}), pexip=True)
    service = "/policy/{repository}/{group}/{policy}/{version}/evaluation"
    made.add(service, object(), MethodMap({"GET": answer}), pexip=False)
    return made


def find(router: Router, target: str) -> tuple[str, dict[str, str]] | None:
    """Find what gunicorn would hand over for this request line."""
    path = target.partition("?")[0]
    environ = {**create_environ(), "PATH_INFO": unquote_to_wsgi_str(path), "RAW_URI": target}
    req = falcon.Request(environ)
    found = router.find(req.path, req)
    return None if found is None else (found[3], found[2])


@pytest.mark.parametrize("mount", ["", "/pexip", "/cdr/policy/s3cret", "/policy/v1x", "/", "/a%20b"])
def test_pexip_may_ask_behind_any_prefix(router: Router, mount: str) -> None:
    """The operator's own prefix is found whatever it looks like."""
    expected = {"mount": mount.replace("%20", " ")}

    assert find(router, f"{mount}/policy/v1/service/configuration?a=b") == (
        "/policy/v1/service/configuration",
        expected,
    )


@pytest.mark.parametrize(
    ("sent", "alias"),
    [
        ("sip%3Abob%40example.com", "sip:bob@example.com"),
        ("a%2Fb", "a/b"),
        ("a/b", "a/b"),
        ("+47", "+47"),
        ("a%20b;tag=1", "a b;tag=1"),
        ("%C3%A9", "é"),
        ("\xc3\xa9", "é"),
        ("%FF", "\ufffd"),
        ("\xff", "\ufffd"),
        ("%2Fpolicy%2Fv1%2Fregistrations%2Fx", "/policy/v1/registrations/x"),
        ("100%25", "100%"),
        ("%zz", "%zz"),
        ("", ""),
    ],
)
def test_an_alias_takes_the_rest_of_the_path_decoded_once(router: Router, sent: str, alias: str) -> None:
    """Slashes, plus signs, other alphabets and broken bytes all arrive."""
    found = find(router, f"/x/policy/v1/participant/avatar/{sent}")

    assert found == ("/policy/v1/participant/avatar/{alias}", {"alias": alias, "mount": "/x"})


def test_a_trailing_slash_after_registrations_is_a_directory_search(router: Router) -> None:
    """An empty alias is no alias."""
    assert find(router, "/policy/v1/registrations/") == ("/policy/v1/registrations", {"mount": ""})


def test_an_absolute_request_line_is_understood(router: Router) -> None:
    """A proxy's form of request line leads to the same place."""
    found = find(router, "http://policy.example.com/x/policy/v1/service/configuration")

    assert found == ("/policy/v1/service/configuration", {"mount": "/x"})


def test_without_the_raw_address_the_decoded_one_is_used(router: Router) -> None:
    """A server that does not tell the raw address works too, and nothing is decoded twice."""
    req = falcon.Request({**create_environ(), "PATH_INFO": "/policy/v1/participant/avatar/a%2Fb"})
    del req.env["RAW_URI"]

    found = router.find(req.path, req)

    assert found is not None
    assert found[2] == {"alias": "a%2Fb", "mount": ""}


def test_needless_encoding_by_a_proxy_is_understood(router: Router) -> None:
    """``%70olicy`` is policy."""
    assert find(router, "/%70olicy/v1/service/configuration") == ("/policy/v1/service/configuration", {"mount": ""})


@pytest.mark.parametrize("tail", ["service/configuration", "participant/avatar/x", "registrations"])
def test_a_doubled_prefix_is_recognised(router: Router, tail: str, caplog: pytest.LogCaptureFixture) -> None:
    """A profile whose URL ends in /policy/v1 is answered 404, and the log says why."""
    found = find(router, f"/secret/policy/v1/policy/v1/{tail}")

    assert found is not None
    assert found[0] == DOUBLED
    assert "must not end in /policy/v1" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "target", ["/policy/v1/service/configuration/", "/policy/v1/", "/policy/v1/nothing", "/policy/v2/registrations"]
)
def test_other_addresses_are_not_pexips(router: Router, target: str) -> None:
    """Nothing is guessed."""
    assert find(router, target) is None


def test_a_repository_may_be_called_v1(router: Router) -> None:
    """The policy service's addresses still work where Pexip's do not begin the same."""
    found = find(router, "/policy/v1/g/p/1.0/evaluation")

    assert found is not None
    assert found[1] == {"repository": "v1", "group": "g", "policy": "p", "version": "1.0"}


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "PROPFIND", "BREW"])
def test_other_methods_are_refused(method: str) -> None:
    """Methods nobody heard of are no exception."""
    methods = MethodMap({"GET": answer})

    with pytest.raises(falcon.HTTPMethodNotAllowed):
        methods[method](None, None)

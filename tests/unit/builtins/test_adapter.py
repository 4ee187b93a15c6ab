"""An operator's own functions: questions to HTTP servers, described in a file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from extension_calls import Extended, new_call
from neighbours_server import Answer, Neighbours

from policy_server.builtins.declare import ANY, OnFailure
from policy_server.model.errors import BuiltinFailed, EvaluationTimeout, SettingsError

Make = Callable[..., Extended]


@pytest.fixture
def site() -> Iterator[Neighbours]:
    """A server that answers whatever it is asked."""
    server = Neighbours()
    server.fail(200, {"data": [{"listed": True, "level": 3}], "a/b": {"~": "odd"}})
    yield server
    server.close()


@pytest.fixture
def own(site: Neighbours, tmp_path: Path) -> Make:
    """Return a function from TOML to an installation; URL stands for the server's address."""

    def make(toml: str, **options: Any) -> Extended:
        file = tmp_path / "functions.toml"
        file.write_text(toml.replace("URL", site.url), encoding="utf-8")
        return Extended(file=file, **options)

    return make


WHITELISTING = """
[function."ocm.getWhitelisting"]
args = { did = "string", level = "number" }
result = "boolean"
url = "URL/v1/whitelisting/{did}?level={level}"
headers = { Accept = "application/json", X-Did = "did {did}", Authorization = "Bearer {env:TOKEN}" }
response = "/data/0/listed"
"""


def test_a_function_asks_and_picks_from_the_answer(own: Make, site: Neighbours) -> None:
    """Arguments stand in path, query and headers; a secret comes from the environment."""
    ask = own(WHITELISTING, variables={"TOKEN": "s3cret {did}", "OTHER": "no"})

    assert ask("ocm.getWhitelisting", "did:web:a/b", 2) is True
    (got,) = site.requests
    assert (got.method, got.path) == ("GET", "/v1/whitelisting/did%3Aweb%3Aa%2Fb?level=2")
    assert got.headers["x-did"] == "did did:web:a/b"
    assert got.headers["authorization"] == "Bearer s3cret {did}"


def test_a_function_is_declared_with_its_types(own: Make) -> None:
    """The compiler checks calls of it like any other."""
    made = own(WHITELISTING, variables={"TOKEN": "x"}).builtins["ocm.getWhitelisting"]

    assert made.args == ({"type": "string"}, {"type": "number"})
    assert made.result == {"type": "boolean"}
    assert made.nondeterministic


def test_no_argument_names_a_secret(own: Make, site: Neighbours) -> None:
    """What an argument says is text, whatever it looks like."""
    ask = own(WHITELISTING, variables={"TOKEN": "s3cret"})

    ask("ocm.getWhitelisting", "{env:TOKEN}", 2)

    assert site.requests[0].headers["x-did"] == "did {env:TOKEN}"


BODY = """
[function."acme.check"]
args = { user = "object", name = "string", n = "number" }
url = "URL/check"
method = "POST"
body = { who = "{user}", text = "Dear {name}, {n}", list = ["{n}", 1, true], fixed = "{not a place}" }
"""


def test_a_body_is_made_of_arguments(own: Make, site: Neighbours) -> None:
    """A text that is one place becomes the argument itself, with its type."""
    own(BODY)("acme.check", {"id": [1, None]}, "Ada", 2)

    assert site.requests[0].headers["content-type"] == "application/json"
    assert site.requests[0].json == {
        "who": {"id": [1, None]},
        "text": "Dear Ada, 2",
        "list": [2, 1, True],
        "fixed": "{not a place}",
    }


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [("", {"data": [{"listed": True, "level": 3}], "a/b": {"~": "odd"}}), ("/data/0/level", 3), ("/a~1b/~0", "odd")],
)
def test_a_pointer_picks_from_the_answer(pointer: str, expected: object, own: Make) -> None:
    """RFC 6901."""
    assert own(f'[function."a.f"]\nurl = "URL/"\nresponse = "{pointer}"\n')("a.f") == expected


@pytest.mark.parametrize("pointer", ["/nothing", "/data/1", "/data/00", "/data/-1", "/data/x", "/data/0/level/deep"])
def test_a_pointer_that_leads_nowhere_is_an_error_or_undefined(pointer: str, own: Make) -> None:
    """As the file says."""
    toml = f'[function."a.f"]\nurl = "URL/"\nresponse = "{pointer}"\n'

    with pytest.raises(BuiltinFailed, match="has nothing at the pointer"):
        own(toml)("a.f")

    assert own(f'{toml}missing = "undefined"\n')("a.f") is None


def test_an_answer_of_another_type_is_an_error(own: Make) -> None:
    """The compiler was promised one."""
    with pytest.raises(BuiltinFailed, match="did not answer string"):
        own('[function."a.f"]\nurl = "URL/"\nresult = "string"\n')("a.f")


@pytest.mark.parametrize("value", ["..", ".", "", " "])
def test_no_argument_climbs_out_of_its_segment(value: str, own: Make, site: Neighbours) -> None:
    """Nor empties it, which often means all of them."""
    with pytest.raises(BuiltinFailed, match="empty, or no name"):
        own('[function."a.f"]\nargs = { x = "string" }\nurl = "URL/users/{x}"\n')("a.f", value)

    assert site.requests == []


def test_an_argument_may_be_empty_in_a_query(own: Make, site: Neighbours) -> None:
    """There it changes nothing."""
    own('[function."a.f"]\nargs = { x = "string", n = "number" }\nurl = "URL/?x={x}&n={n}"\n')("a.f", "", 1.5)

    assert site.requests[0].path == "/?x=&n=1.5"


def test_an_argument_cannot_break_out_of_a_header(own: Make, site: Neighbours) -> None:
    """A line break would begin another one."""
    ask = own('[function."a.f"]\nargs = { x = "string" }\nurl = "URL/"\nheaders = { X-Is = "{x}" }\n')

    with pytest.raises(BuiltinFailed, match="cannot carry"):
        ask("a.f", "a\r\nX-Evil: 1")

    assert site.requests == []


def test_only_statuses_of_the_file_are_good(own: Make, site: Neighbours) -> None:
    """Usually 200 and 201."""
    site.fail(404, {"error": "unknown"})

    with pytest.raises(BuiltinFailed, match=r"server of a\.f answered 404"):
        own('[function."a.f"]\nurl = "URL/"\n')("a.f")

    assert own('[function."a.f"]\nurl = "URL/"\nok = [200, 404]\n')("a.f") == {"error": "unknown"}


def test_a_server_that_keeps_silent_takes_the_time_of_the_file(own: Make, site: Neighbours) -> None:
    """Or what the evaluation has left."""
    site.hang()
    toml = '[function."a.f"]\nurl = "URL/"\ntimeout = "100ms"\n'

    with pytest.raises(BuiltinFailed, match=r"not done within|no answer for"):
        own(toml)("a.f")
    with pytest.raises(EvaluationTimeout):
        own(toml.replace("100ms", "1h"))("a.f", call=new_call(seconds=0.05))


def test_a_function_asks_once_an_evaluation_unless_told_otherwise(own: Make, site: Neighbours) -> None:
    """`memo = false` is for answers that change while a policy runs."""
    for toml, times in (("", 1), ("memo = false\n", 2)):
        ask, call = own(f'[function."a.f"]\nurl = "URL/"\n{toml}'), new_call()
        site.requests.clear()

        ask("a.f", call=call)
        ask("a.f", call=call)

        assert len(site.requests) == times


def test_answers_may_be_kept_across_evaluations(own: Make, site: Neighbours) -> None:
    """For as long as the file says, for the same arguments."""
    ask = own('[function."a.f"]\nargs = { x = "string" }\nurl = "URL/{x}"\ncache = "1m"\n')

    for x, now in (("a", 0.0), ("a", 59.0), ("b", 59.0), ("a", 60.0)):
        ask("a.f", x, call=new_call(now=now))

    assert [each.path for each in site.requests] == ["/a", "/b", "/a"]


def test_failures_are_not_kept(own: Make, site: Neighbours) -> None:
    """The next evaluation asks again."""
    ask = own('[function."a.f"]\nurl = "URL/"\ncache = "1m"\n')
    answers = iter([Answer(500), Answer(200, {"good": True})])
    site.answer = lambda _got: next(answers)

    with pytest.raises(BuiltinFailed, match="answered 500"):
        ask("a.f")

    assert ask("a.f") == {"good": True}


def test_a_failure_is_what_the_file_says(own: Make, site: Neighbours) -> None:
    """Before what the setting says for all."""
    site.fail(503)
    toml = '[function."a.f"]\nurl = "URL/"\nresult = "string"\n'

    ask = own(f'{toml}errors = "value"\n')

    assert ask.builtins["a.f"].result == ANY
    assert ask("a.f")["error"] == {"code": "status", "message": "the server of a.f answered 503", "status": 503}
    assert own(toml, on_failure=(("a.*", OnFailure.UNDEFINED),))("a.f") is None


def test_our_token_goes_only_where_the_file_says(own: Make, site: Neighbours) -> None:
    """`bearer = true`."""
    own('[function."a.f"]\nurl = "URL/"\n', bearer=lambda: "Bearer abc")("a.f")
    own('[function."a.f"]\nurl = "URL/"\nbearer = true\n', bearer=lambda: "Bearer abc")("a.f")

    assert [each.headers["authorization"] for each in site.requests] == [None, "Bearer abc"]


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[function", "is not TOML"),
        ("[functions.x]\n", "unknown field `functions`"),
        ('[function."a.f"]\n', "missing required field `url`"),
        ('[function."a.f"]\nurl = "URL/"\nurll = "x"\n', "unknown field `urll`"),
        ('[function."a.f"]\nurl = 3\n', "Expected `str`"),
        ('[function."a.f"]\nurl = "URL/"\nmethod = "TRACE"\n', "Invalid enum value 'TRACE'"),
        ('[function."a.f"]\nurl = "URL/"\nok = []\n', "length >= 1"),
        ('[function.f]\nurl = "URL/"\n', "the name needs a dot"),
        ('[function."a.b-c"]\nurl = "URL/"\n', "the name needs a dot"),
        ('[function."data.f"]\nurl = "URL/"\n', "begin with data. are not free"),
        ('[function."a.f"]\nurl = "ftp://x/"\n', "must begin with http"),
        ('[function."a.f"]\nurl = "/path"\n', "must begin with http"),
        ('[function."a.f"]\nargs = { x = "string" }\nurl = "https://{x}/"\n', "must begin with http"),
        ('[function."a.f"]\nargs = { x = "string" }\nurl = "https://a.{x}:80/"\n', "must begin with http"),
        ('[function."a.f"]\nurl = "https://me:pw@x/"\n', "must not have a user"),
        ('[function."a.f"]\nurl = "https://x/{y"\n', "a brace that is no"),
        ('[function."a.f"]\nurl = "https://x/{env:HOME}"\n', "a brace that is no"),
        ('[function."a.f"]\nurl = "https://x/#y"\n', "a fragment"),
        ('[function."a.f"]\nurl = "https://x:99999/"\n', "cannot be read"),
        ('[function."a.f"]\nurl = "URL/{x}"\n', "{x} is none of its arguments"),
        ('[function."a.f"]\nurl = "URL/"\nmethod = "POST"\nbody = { a = ["{x}"] }\n', "{x} is none of its arguments"),
        ('[function."a.f"]\nurl = "URL/"\nbody = 1\n', "a GET request has no body"),
        ('[function."a.f"]\nargs = { x = "object" }\nurl = "URL/{x}"\n', "must be a string, number or boolean"),
        ('[function."a.f"]\nargs = { x = "text" }\nurl = "URL/"\n', "Invalid enum value 'text'"),
        ('[function."a.f"]\nargs = { x-y = "string" }\nurl = "URL/"\n', "no name of an argument"),
        ('[function."a.f"]\nurl = "URL/"\nheaders = { Host = "x" }\n', "the header 'Host' cannot be set"),
        ('[function."a.f"]\nurl = "URL/"\nheaders = { "a b" = "x" }\n', "the header 'a b' cannot be set"),
        ('[function."a.f"]\nurl = "URL/"\nheaders = { A = "x\\ny" }\n', "characters that a header cannot carry"),
        ('[function."a.f"]\nurl = "URL/"\nheaders = { A = "{env:NOPE}" }\n', "variable NOPE, which is not set"),
        ('[function."a.f"]\nurl = "URL/"\nresponse = "a"\n', "a JSON pointer"),
        ('[function."a.f"]\nurl = "URL/"\nresponse = "/a~2"\n', "a JSON pointer"),
        ('[function."a.f"]\nurl = "URL/"\ntimeout = "soon"\n', "timeout must be a length of time"),
        ('[function."a.f"]\nurl = "URL/"\ncache = -1\n', "cache must be a length of time"),
        ('[function."a.f"]\nurl = "URL/"\nmethod = "PUT"\ncache = 1\n', "only the answers of GET requests are kept"),
        ('[function."storage.get"]\nurl = "URL/"\n', "two functions called storage.get"),
        ('[function."time.now_ns"]\nurl = "URL/"\n', "two functions called time.now_ns"),
        ('[function."http.send"]\nurl = "URL/"\n', "two functions called http.send"),
        ('[function."json.patch"]\nurl = "URL/"\n', "two functions called json.patch"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(toml: str, message: str, own: Make) -> None:
    """At the start, before anybody calls anything."""
    with pytest.raises(SettingsError) as caught:
        own(toml)

    assert message in caught.value.message


def test_all_problems_of_a_file_are_told_at_once(own: Make) -> None:
    """Each with the function it is in."""
    with pytest.raises(SettingsError) as caught:
        own('[function."a.f"]\nurl = "x"\ncache = -1\n[function.g]\nurl = "URL/"\n')

    assert len(caught.value.problems) == 3
    assert "function 'a.f': url must begin" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(SettingsError, match=r"nothing\.toml cannot be read: No such file"):
        Extended(file=tmp_path / "nothing.toml")


def test_secrets_of_a_file_do_not_show(own: Make) -> None:
    """Neither in the function nor in its failures."""
    ask = own(WHITELISTING, variables={"TOKEN": "s3cret"})

    assert "s3cret" not in repr(ask.builtins["ocm.getWhitelisting"].function.__dict__)

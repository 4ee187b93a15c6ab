"""``http.send``: what is remembered, within an evaluation and across evaluations."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from urllib.parse import parse_qsl, urlsplit

import pytest
from asked_sites import LOOPBACK, Asked, Got, Site, new_call
from werkzeug import Response

NOW = 1_700_000_000.0
FORCED = {"force_cache": True, "force_cache_duration_seconds": 300}


def dated(body: str = '{"x": 1}', status: int = 200, *, date: float = NOW, **headers: str) -> Response:
    """Return a JSON answer of a certain time."""
    reply = Response(body, status, content_type="application/json")
    reply.headers["Date"] = formatdate(date, usegmt=True)
    for name, value in headers.items():
        reply.headers[name.replace("_", "-")] = value
    return reply


def serve(site: Site, answer: Callable[[Got, int], Response]) -> list[Got]:
    """Answer with a function of the request and how many came before; return the list they are put on."""
    site.answer = answer
    return site.seen


@pytest.mark.parametrize(
    ("first", "second", "requests"),
    [
        ({}, {}, 1),
        ({"method": "get"}, {"method": "post"}, 2),
        ({"force_json_decode": True}, {}, 2),
        ({"headers": {"h1": "1"}}, {"headers": {"h1": "2"}}, 2),
        ({"headers": {"h1": "1", "h2": "2"}}, {"headers": {"h2": "2", "h1": "1"}}, 1),
        ({"body": 1}, {"body": 2}, 2),
        (
            {"headers": {"h1": "1", "h2": "2"}, "cache_ignored_headers": ["h2"]},
            {"headers": {"h1": "1", "h2": "3"}, "cache_ignored_headers": ["h2"]},
            1,
        ),
        ({"headers": {"h1": "1"}}, {"headers": {"h1": "1", "h2": "2"}, "cache_ignored_headers": ["h2"]}, 1),
        (
            {"headers": {"h1": "1", "h2": "2", "h3": "3"}, "cache_ignored_headers": ["h2"]},
            {"headers": {"h1": "1", "h2": "9"}, "cache_ignored_headers": ["h2"]},
            2,
        ),
    ],
)
def test_equal_requests_of_an_evaluation_are_sent_once(
    http: Asked, site: Site, first: dict[str, object], second: dict[str, object], requests: int
) -> None:
    """What counts is the request as a value, without the headers that it says to ignore."""
    seen = serve(site, lambda _request, _count: dated())
    call = new_call(now=NOW)

    for keys in (first, second, first, second):
        http(site.url, call=call, **keys)

    assert len(seen) == requests


@pytest.mark.parametrize(
    ("status", "requests"),
    [(code, 1) for code in (200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501)]
    + [(code, 2) for code in (201, 302, 307, 400, 401, 403, 500, 503)],
)
def test_only_some_statuses_are_remembered(http: Asked, site: Site, status: int, requests: int) -> None:
    """As in OPA, within an evaluation and across, forced or not."""
    seen = serve(site, lambda _request, _count: dated("", status))
    call = new_call(now=NOW)
    for _ in range(2):
        assert http(site.url, call=call)["status_code"] == status
    assert len(seen) == requests

    seen.clear()
    for _ in range(2):
        assert http(site.url, call=new_call(now=NOW), **FORCED)["status_code"] == status
    assert len(seen) == requests


def test_failures_are_remembered_within_an_evaluation(http: Asked) -> None:
    """A server that cannot be reached is asked once, and every place hears the same."""
    call = new_call()

    for _ in range(3):
        assert http("http://127.0.0.1:1/", call=call) is None

    assert len(call.answers) == 1
    assert len(set(call.errors)) == 1


@pytest.mark.parametrize(
    ("headers", "requests"),
    [
        ({"Cache-Control": "max-age=60"}, 1),
        ({"Cache-Control": "public, max-age=99999999999"}, 1),
        ({"Cache-Control": "MAX-AGE=60"}, 1),
        ({"Cache-Control": "max-age=5"}, 3),
        ({"Cache-Control": "max-age=60, no-store"}, 3),
        ({"Cache-Control": 'max-age="60"'}, 3),
        ({"Cache-Control": "max-age=-1"}, 3),
        ({"Expires": formatdate(NOW + 60, usegmt=True)}, 1),
        ({"Expires": formatdate(NOW - 60, usegmt=True)}, 3),
        ({"Expires": "0"}, 3),
        ({"Expires": formatdate(NOW + 60, usegmt=True), "Cache-Control": "max-age=0"}, 3),
        ({}, 3),
    ],
)
def test_across_evaluations_the_answer_says_how_long(
    http: Asked, site: Site, headers: dict[str, str], requests: int
) -> None:
    """With ``cache``, max-age counts from the answer's date, else Expires; no-store is respected."""
    seen = serve(site, lambda _request, _count: dated(**headers))

    for at in (NOW, NOW + 10, NOW + 20):
        assert http(site.url, call=new_call(now=at), cache=True)["body"] == {"x": 1}

    assert len(seen) == requests


def test_without_cache_nothing_is_kept_across_evaluations(http: Asked, site: Site) -> None:
    """An answer may say what it likes; only the request asks to keep it."""
    seen = serve(site, lambda _request, _count: dated(Cache_Control="max-age=60"))

    for _ in range(2):
        http(site.url, call=new_call(now=NOW))

    assert len(seen) == 2


def test_force_cache_counts_whatever_the_answer_says(http: Asked, site: Site) -> None:
    """The request's own time counts from when it was sent, even against no-store."""
    seen = serve(site, lambda _request, count: dated(str(count), Cache_Control="no-store"))

    bodies = [http(site.url, call=new_call(now=NOW + at), **FORCED)["body"] for at in (0, 299, 301)]

    assert bodies == [0, 0, 1]
    assert len(seen) == 2


@pytest.mark.parametrize("validator", [("ETag", '"v1"', "If-None-Match"), ("Last-Modified", "x", "If-Modified-Since")])
def test_a_stale_answer_is_asked_for_again(http: Asked, site: Site, validator: tuple[str, str, str]) -> None:
    """304 means it is still right: the body stays, headers are renewed, and it is fresh again."""
    name, value, asked = validator

    def answer(request: Got, count: int) -> Response:
        date = NOW + 100 * count
        if request.headers.get(asked) == value:
            return dated("", 304, date=date, Cache_Control="max-age=60", X_Count=str(count), **{name: value})
        return dated('{"v": 1}', date=date, Cache_Control="max-age=60", X_Count=str(count), **{name: value})

    seen = serve(site, answer)
    found = [http(site.url, call=new_call(now=NOW + at), cache=True, headers={"X-Mine": "1"}) for at in (0, 100, 130)]

    assert [(each["status_code"], each["body"], each["headers"]["x-count"]) for each in found] == [
        (200, {"v": 1}, ["0"]),
        (200, {"v": 1}, ["1"]),
        (200, {"v": 1}, ["1"]),
    ]
    assert [each.headers.get(asked) for each in seen] == [None, value]
    assert seen[1].headers["X-Mine"] == "1"


def test_a_changed_answer_replaces_the_stale_one(http: Asked, site: Site) -> None:
    """200 on asking again is the new truth."""
    seen = serve(
        site,
        lambda _request, count: dated(
            str(count), date=NOW + 100 * count, Cache_Control="max-age=60", ETag=f'"{count}"'
        ),
    )

    bodies = [http(site.url, call=new_call(now=NOW + at), cache=True)["body"] for at in (0, 100, 130, 200)]

    assert bodies == [0, 1, 1, 2]
    assert len(seen) == 3


def test_any_other_status_on_asking_again_is_sent_anew(http: Asked, site: Site) -> None:
    """As in OPA, a server that fails to compare is asked plainly."""

    def answer(request: Got, count: int) -> Response:
        if "If-None-Match" in request.headers:
            return Response("", 412)
        return dated(str(count), Cache_Control="max-age=1", ETag='"a"')

    seen = serve(site, answer)
    bodies = [http(site.url, call=new_call(now=NOW + at), cache=True)["body"] for at in (0, 100)]

    assert bodies == [0, 2]
    assert len(seen) == 3


def test_an_unknown_caching_mode_keeps_nothing(http: Asked, site: Site) -> None:
    """As in OPA, the answer comes all the same."""
    seen = serve(site, lambda _request, _count: dated())

    for mode in ("nonsense", "nonsense", "deserialized", "deserialized", "serialized"):
        http(site.url, call=new_call(now=NOW), caching_mode=mode, **FORCED)

    assert len(seen) == 4


def test_the_cache_is_bounded(site: Site) -> None:
    """What was not used for longest makes room; what does not fit at all is not kept."""
    serve(site, lambda request, _count: dated(json.dumps("x" * int(_query(request)["size"]))))
    small = Asked(replace(LOOPBACK, cache_bytes=10_000))

    def asked(size: int, tag: int) -> int:
        before = len(site.seen)
        small(f"{site.url}?size={size}&tag={tag}", call=new_call(now=NOW), **FORCED)
        return len(site.seen) - before

    assert [asked(4000, 1), asked(4000, 2), asked(4000, 1)] == [1, 1, 0]
    assert [asked(4000, 3), asked(4000, 1), asked(4000, 2)] == [1, 0, 1]
    assert [asked(20_000, 4), asked(20_000, 4)] == [1, 1]


def test_many_threads_share_what_is_kept(http: Asked, site: Site) -> None:
    """Answers belong to their requests, however many evaluations ask at a time."""
    serve(site, lambda request, _count: dated(json.dumps(_query(request)["n"]), ETag='"a"'))
    wrong: list[object] = []

    def work() -> None:
        for number in range(20):
            url = f"{site.url}?n={number % 5}"
            found = http(url, call=new_call(now=NOW), cache=True)
            if found is None or found["body"] != str(number % 5):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert wrong == []


def _query(request: Got) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(request.path).query))

"""What data-config.json may say."""

import json

import pytest

from policy_server.model.errors import InvalidSource
from policy_server.model.refresh import DataConfig
from policy_server.publishing.config import config_digest, parse_config, read_config

GOOD = {"url": "https://h/p?x=1", "method": "GET", "period": "10h"}


def config(**changes: object) -> str:
    """Write a configuration with changes."""
    return json.dumps({**GOOD, **changes})


def test_a_full_configuration_is_read() -> None:
    """All four keys arrive, the period in seconds."""
    text = config(method="POST", body={"any": ["json"]}, period="1h30m")

    assert parse_config(text) == DataConfig("https://h/p?x=1", "POST", 5400.0, {"any": ["json"]})


def test_keys_are_read_in_any_case() -> None:
    """Existing files write Url, METHOD and period."""
    text = '{"URL": "https://h/", "Method": "get", "PERIOD": "1m"}'

    assert parse_config(text) == DataConfig("https://h/", "GET", 60.0)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("h.test/p", "https://h.test/p"),
        ("h.test:8080/p", "https://h.test:8080/p"),
        ("//h.test/p", "https://h.test/p"),
        (" http://h.test ", "http://h.test"),
        ("HTTPS://h.test", "HTTPS://h.test"),
        ("http://[::1]:80/", "http://[::1]:80/"),
    ],
)
def test_a_url_without_scheme_means_https(url: str, meant: str) -> None:
    """A host alone is enough."""
    assert parse_config(config(url=url)).url == meant


@pytest.mark.parametrize("period", [60_000_000_000, 6e10, "60s", "1m", "60000ms"])
def test_a_number_counts_nanoseconds(period: object) -> None:
    """As in Go, a plain number is nanoseconds."""
    assert parse_config(config(period=period)).period == 60.0


@pytest.mark.parametrize("period", ["1ns", "999ms", 3600])
def test_a_very_short_period_becomes_one_second(period: object) -> None:
    """Nobody hammers a data source by mistake, and it is said."""
    made, warnings = read_config(config(period=period))

    assert made.period == 1.0
    assert [str(warning) for warning in warnings] == [
        "data-config.json: the period is shorter than 1 s, which is used instead"
    ]


def test_the_body_is_for_post_only() -> None:
    """A body with GET is not sent, and that is said."""
    made, warnings = read_config(config(body={"a": 1}))

    assert made.body is None
    assert "only with the method POST" in warnings[0].message


def test_unknown_keys_are_warned_about() -> None:
    """A typing mistake does not go unnoticed."""
    _, warnings = read_config(config(headers={"X": "1"}))

    assert [warning.message for warning in warnings] == ["the key 'headers' is not known and is ignored"]


def test_a_key_in_two_spellings_is_warned_about() -> None:
    """The last one counts."""
    made, warnings = read_config('{"url": "a.test", "URL": "b.test", "method": "GET", "period": "1m"}')

    assert made.url == "https://b.test"
    assert "more than one spelling" in warnings[0].message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": ""}, "'url' is missing"),
        ({"url": 5}, "'url' is missing"),
        ({"url": "ftp://h/"}, "must begin with http"),
        ({"url": "file:///etc/passwd"}, "must begin with http"),
        ({"url": "https://"}, "not a valid URL"),
        ({"url": "https://h:99999/"}, "not a valid URL"),
        ({"url": "https://h/a b"}, "not a valid URL"),
        ({"url": "https://h\n/"}, "not a valid URL"),
        ({"method": "PUT"}, "'method' must be GET or POST"),
        ({"method": None}, "'method' must be GET or POST"),
        ({"period": "soon"}, "'period' cannot be read"),
        ({"period": "0s"}, "longer than nothing"),
        ({"period": "-5m"}, "longer than nothing"),
        ({"period": True}, "longer than nothing"),
        ({"period": None}, "longer than nothing"),
        ({"period": 1e30}, "longer than nothing"),
    ],
)
def test_wrong_values_are_named(changes: dict[str, object], message: str) -> None:
    """Each mistake has its own sentence."""
    with pytest.raises(InvalidSource, match=message):
        parse_config(config(**changes))


def test_all_mistakes_are_told_at_once() -> None:
    """An author does not mend one to meet the next."""
    with pytest.raises(InvalidSource) as caught:
        parse_config("{}")

    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("text", ["[]", "null", "{", '{"url": NaN}', ""])
def test_it_must_be_a_json_object(text: str) -> None:
    """Anything else is refused with the file's name."""
    with pytest.raises(InvalidSource, match=r"^data-config\.json"):
        parse_config(text)


def test_passwords_are_not_repeated() -> None:
    """A URL that cannot be used may still hold a secret."""
    with pytest.raises(InvalidSource) as caught:
        parse_config(config(url="https://user:hunter2@:99999/"))

    assert "hunter2" not in str(caught.value)


def test_the_digest_tells_meaning_not_spelling() -> None:
    """Another order of keys is the same configuration, another period is not."""
    one = parse_config('{"url": "h.test", "method": "get", "period": "60s"}')
    same = parse_config('{"PERIOD": "1m", "url": "https://h.test", "method": "GET"}')
    other = parse_config('{"url": "h.test", "method": "get", "period": "61s"}')

    assert config_digest(one) == config_digest(same)
    assert config_digest(one) != config_digest(other)

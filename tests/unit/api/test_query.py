"""Reading query parameters."""

import falcon
import pytest
from falcon.testing import create_environ

from policy_server.api import query
from policy_server.model.errors import InvalidParameter


def request(text: str) -> falcon.Request:
    """Make a request with this query."""
    return falcon.Request(create_environ(query_string=text))


@pytest.mark.parametrize("word", ["1", "t", "T", "TRUE", "true", "True"])
def test_words_for_true(word: str) -> None:
    """The policy service's words for true."""
    assert query.boolean(request(f"locked={word}"), "locked") is True


@pytest.mark.parametrize("word", ["0", "f", "F", "FALSE", "false", "False"])
def test_words_for_false(word: str) -> None:
    """The policy service's words for false."""
    assert query.boolean(request(f"locked={word}"), "locked") is False


@pytest.mark.parametrize("text", ["", "locked=", "other=1"])
def test_absent_and_empty_are_the_same(text: str) -> None:
    """An empty value counts as absent."""
    assert query.boolean(request(text), "locked") is None
    assert query.text(request(text), "locked") is None
    assert query.integer(request(text), "locked", least=1, most=2) is None


@pytest.mark.parametrize("word", ["yes", "tRUE", "2", "null", "%FF"])
def test_other_words_are_refused_by_name(word: str) -> None:
    """The message is the policy service's."""
    req = request(f"locked={word}")

    with pytest.raises(InvalidParameter) as caught:
        query.boolean(req, "locked")
    assert caught.value.message == f'invalid value "{req.params["locked"]}" for "locked", must be a boolean'
    assert caught.value.problems[0].parameter == "locked"


def test_the_first_of_repeated_values_counts() -> None:
    """A key that comes twice has the value that came first."""
    assert query.text(request("a=1&a=2"), "a") == "1"


@pytest.mark.parametrize("word", ["0", "11", "-1", "x", "1.0", "9999999999999", "\u0661"])
def test_numbers_outside_the_range_are_refused(word: str) -> None:
    """Only whole numbers in the range are accepted."""
    with pytest.raises(InvalidParameter):
        query.integer(request(f"limit={word}"), "limit", least=1, most=10)


def test_a_number_in_the_range_is_read() -> None:
    """Both ends belong to the range."""
    assert [query.integer(request(f"limit={n}"), "limit", least=1, most=10) for n in (1, 10)] == [1, 10]

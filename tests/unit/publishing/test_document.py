"""JSON is read strictly, and mistakes are located."""

import pytest

from policy_server.model.errors import InvalidSource
from policy_server.publishing.document import explain, invalid, read_document, read_object


def test_a_mistake_has_line_and_column() -> None:
    """Editors can jump to it."""
    with pytest.raises(InvalidSource) as caught:
        read_document('{\n  "a": 1,\n  "b" 2\n}', file="data.json")

    problem = caught.value.problems[0]
    assert (problem.file, problem.line, problem.column) == ("data.json", 3, 7)


@pytest.mark.parametrize(
    "text",
    ["", " ", "{'a': 1}", "{} {}", "[1,]", "NaN", "[Infinity]", "-Infinity", '"\x01"', "01", "\ufeff{}", '"\ud800"'],
)
def test_what_is_not_json_is_refused(text: str) -> None:
    """Python's own extensions are not JSON."""
    with pytest.raises(InvalidSource):
        read_document(text, file="data.json")


def test_deep_nesting_is_refused() -> None:
    """A hundred thousand brackets are an error, not a crash."""
    with pytest.raises(InvalidSource, match="nested too deeply"):
        read_document("[" * 100_000 + "]" * 100_000, file="data.json")


def test_endless_numbers_are_refused() -> None:
    """A number of ten thousand digits is an error, not a minute of work."""
    with pytest.raises(InvalidSource, match="not valid JSON"):
        read_document("1" * 10_000, file="data.json")


def test_a_key_twice_is_warned_about() -> None:
    """The last value counts, as in OPA."""
    document = read_document('{"a": {"b": 1, "b": 2, "b": 3}, "c": 1}', file="data.json")

    assert document.value == {"a": {"b": 3}, "c": 1}
    assert [warning.message for warning in document.warnings] == [
        "the key 'b' is there more than once in one object; the last one counts"
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("[]", "an array"), ("null", "null"), ("true", "a boolean"), ("1", "a number"), ('"a"', "a string")],
)
def test_other_values_are_no_objects(text: str, kind: str) -> None:
    """The message says what it is instead."""
    with pytest.raises(InvalidSource, match=f"must be a JSON object, not {kind}"):
        read_object(text, file="data.json")


def test_large_integers_stay_exact() -> None:
    """Numbers beyond a float's precision are not rounded."""
    assert read_document("[9007199254740993]", file="x").value == [9007199254740993]


def test_a_listing_shows_every_problem_on_its_line() -> None:
    """Up to twenty, then a count."""
    with pytest.raises(InvalidSource) as caught:
        read_document("{", file="data.json")
    many = invalid(*caught.value.problems * 25)

    lines = explain(many.message, many.problems).splitlines()

    assert len(lines) == 21
    assert lines[-1] == "and 5 more"
    assert explain("plain", ()) == "plain"

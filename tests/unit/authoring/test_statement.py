"""What is typed into a session."""

import pytest

from policy_server.authoring.statement import Kind, is_open, read


@pytest.mark.parametrize(
    "text", ["allow if {", "x := [1,", 'f("a}"', "x :=", "a if", "p contains x if\n", "x := `raw {", "{[()]} |"]
)
def test_a_statement_goes_on(text: str) -> None:
    """A bracket or a raw string is open, or an operator waits for its other side."""
    assert is_open(text)


@pytest.mark.parametrize("text", ["x := 1", 'x := "{["', "f(1) # {", "x := `raw {`", "a }", "", "input.a == 1"])
def test_a_statement_is_complete(text: str) -> None:
    """Brackets in strings and comments do not count."""
    assert not is_open(text)


@pytest.mark.parametrize(
    ("text", "kind", "name", "rest"),
    [
        ("", Kind.NOTHING, "", ""),
        ("# note", Kind.NOTHING, "", ""),
        ("quit", Kind.COMMAND, "quit", ""),
        (":explain full", Kind.COMMAND, "explain", "full"),
        ("package a.b", Kind.PACKAGE, "", "a.b"),
        ("import data.x as y", Kind.IMPORT, "", "data.x as y"),
        ("input = {1: 2}", Kind.SETTING, "input", "{1: 2}"),
        ('data := {"a": 1}', Kind.SETTING, "data", '{"a": 1}'),
        ('input = ["a;b" | x; y]', Kind.SETTING, "input", '["a;b" | x; y]'),
        ("input = x; y", Kind.RULE, "", "input = x; y"),
        ("input == 1", Kind.QUERY, "", "input == 1"),
        ("x := 1", Kind.RULE, "", "x := 1"),
        ("default allow := false", Kind.RULE, "", "default allow := false"),
        ("f(a) := a + 1", Kind.RULE, "", "f(a) := a + 1"),
        ("p contains 1", Kind.RULE, "", "p contains 1"),
        ("p[x] { x := 1 }", Kind.RULE, "", "p[x] { x := 1 }"),
        ("count([1]) == 1", Kind.QUERY, "", "count([1]) == 1"),
        ("data.a.b", Kind.QUERY, "", "data.a.b"),
        ("some x in [1]", Kind.QUERY, "", "some x in [1]"),
        ('"text"', Kind.QUERY, "", '"text"'),
    ],
)
def test_statements_are_told_apart(text: str, kind: Kind, name: str, rest: str) -> None:
    """Commands, settings, rules and expressions."""
    found = read(text)

    assert (found.kind, found.name, found.text) == (kind, name, rest)

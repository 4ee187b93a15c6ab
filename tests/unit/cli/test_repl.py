"""repl: a conversation, through standard input."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_ran import Ran

DOOR = 'package demo.door\n\nallow if input.user in data.friends\n\nwho := external.http.header("X-User")\n'


@pytest.fixture
def say(command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Return a function that says lines to a session."""

    def call(text: str, *arguments: object) -> Ran:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return command("repl", *arguments)

    return call


@pytest.fixture
def door(tmp_path: Path) -> Path:
    """Return a directory with a policy and its data."""
    (tmp_path / "policy.rego").write_text(DOOR)
    (tmp_path / "data.json").write_text('{"friends": ["kari"]}')
    return tmp_path


def test_expressions_are_answered(say: Callable[..., Ran]) -> None:
    """One value as it is; variables with their names above."""
    ran = say("1 + 1\nx := 2; y := x * 3\n[x | some x in {3, 1}]\ninput.nothing\n")

    assert ran == Ran(0, "2\nx\ty\n2\t6\n[\n  1,\n  3\n]\nundefined\n", "")


def test_rules_are_remembered(say: Callable[..., Ran]) -> None:
    """A rule may take several lines; a constant is replaced by the next of its name."""
    ran = say("limit := 1\nlimit := 3\nok if {\n  x := 2\n  x < limit\n}\nok\nf(a) := a + limit\nf(2)\n")

    assert ran == Ran(0, "true\n5\n", "")


def test_a_function_is_replaced_by_the_next_of_its_name(say: Callable[..., Ran]) -> None:
    """Also with other arguments, as in OPA."""
    ran = say('f(a) := a + 1\nf(")") := 2\nf([x, y]) := x + y\nf([2, 3])\n')

    assert ran == Ran(0, "5\n", "")


def test_an_expression_about_the_input_sets_nothing(say: Callable[..., Ran]) -> None:
    """Of several expressions the first is a comparison."""
    ran = say("input = 1\ninput = 2; true\ninput\n")

    assert ran == Ran(0, "undefined\n1\n", "")


def test_loaded_policies_are_asked(say: Callable[..., Ran], door: Path) -> None:
    """With their data; input and data can be set."""
    ran = say(
        'input = {"user": "kari"}\ndata.demo.door.allow\ndata = {"friends": []}\ndata.demo.door.allow\n'
        "package demo.door\nallow\nwho\n",
        door,
    )

    assert ran == Ran(0, 'true\nundefined\nundefined\n""\n', "")


def test_input_may_be_given_at_the_start(say: Callable[..., Ran], door: Path) -> None:
    """Imports shorten what follows; quit ends it."""
    ran = say("import data.demo.door as d\nd.allow\nquit\n1\n", door, "--input", '{"user": "kari"}')

    assert ran == Ran(0, "true\n", "")


def test_prints_and_traces_go_to_standard_error(say: Callable[..., Ran]) -> None:
    """The trace is OPA's, from :explain to :explain off."""
    ran = say('ok if print("seen", 1)\nok\n:explain full\n1 == 1\n:explain off\n1 == 1\n')

    assert ran.out == "true\ntrue\ntrue\n"
    assert ran.err.startswith("seen 1\n")
    assert ran.err.count("Eval equal(1, 1, _)") == 1


def test_mistakes_are_told_and_change_nothing(say: Callable[..., Ran]) -> None:
    """The session goes on; through a pipe it exits with 1."""
    ran = say("x := 1\nx := nosuch(1)\nx\nnothing\n:what\n:explain all\ninput = data.none\n1 +\n")

    assert (ran.code, ran.out) == (1, "1\n")
    assert "undefined function nosuch" in ran.err
    assert ran.err.count("var nothing is unsafe") == 1
    assert ":what is no command" in ran.err
    assert ":explain all is no command" in ran.err
    assert "data.none is undefined" in ran.err


def test_what_was_defined_is_shown_and_forgotten(say: Callable[..., Ran]) -> None:
    """:show and :unset."""
    ran = say("x := 1\nallow if x == 1\ninput = 5\n:show\n:unset allow\n:unset input\n:show\n:unset allow\n")

    first, _, rest = ran.out.partition("input = 5\n")
    assert "x := 1" in first
    assert "allow if x == 1" in first
    assert "x := 1" in rest
    assert "allow" not in rest
    assert "Nothing was defined that is called allow." in ran.err


def test_help_is_there(say: Callable[..., Ran]) -> None:
    """It names the commands."""
    ran = say("help\n")

    assert all(word in ran.out for word in ("input =", ":explain", ":unset", "quit"))


def test_rego_of_the_older_dialect_is_spoken(say: Callable[..., Ran], tmp_path: Path) -> None:
    """When it is asked for."""
    assert say("p[x] { x = 1 }\np[y]\n", "--dialect", "v0") == Ran(0, "y\tp[y]\n1\t1\n", "")


def test_policies_that_do_not_compile_are_told_at_the_start(say: Callable[..., Ran], door: Path) -> None:
    """With file and line."""
    (door / "policy.rego").write_text("package demo.door\n\nallow if nosuch(1)\n")

    ran = say("1\n", door)

    assert (ran.code, ran.out) == (1, "")
    assert f"{door}/policy.rego:3:10: " in ran.err

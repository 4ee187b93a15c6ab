"""What policies print."""

from collections.abc import Callable

import pytest

from policy_server.builtins.call import MAX_LINE, MAX_PRINTED, Call
from policy_server.builtins.declare import builtin
from policy_server.builtins.registry import Registry
from policy_server.engine.policy import Policy
from policy_server.model.policy import Dialect
from policy_server.toolkit.toolkit import Toolkit


def printed(text: str) -> list[str]:
    """Return the lines that one call of print makes."""
    call = Call({}, 0, 1e12)
    assert Registry.discover().functions({0: "internal.print"})[0](call, [text.encode()]) == b"true"
    return call.printed


@pytest.mark.parametrize(
    ("operands", "lines"),
    [
        ('[{"user"}, {"alice"}]', ["user alice"]),
        ('[{"x"}, set()]', ["x <undefined>"]),
        ("[{1}, {true}, {null}, {1.50}]", ["1 true null 1.50"]),
        ('[{["b", {"z": {3, 1}, "a": "q\\"\\n"}]}]', ['["b", {"a": "q\\"\\n", "z": {1, 3}}]']),
        ("[{set()}, {{}}, {[]}]", ["set() {} []"]),
        ('[{1, 2}, {"a", "b"}]', ["1 a", "1 b", "2 a", "2 b"]),
        ('["plain", 1]', ["plain 1"]),
        ("[]", [""]),
        ('[{"größe 😀"}, {["é\\u200b"]}]', ['größe 😀 ["é\\u200b"]']),
    ],
)
def test_lines_are_as_opa_prints_them(operands: str, lines: list[str]) -> None:
    """Texts bare, other values as Rego, a line for each combination, and what is undefined is told."""
    assert printed(operands) == lines


@pytest.mark.parametrize(
    "value",
    ['"plain"', '["b", {"a": "\\"\\n\\u0007\\u007f"}]', "{3, 1}", '{"k": {null, true}}', '["\\u200b", "é"]', "1e3"],
)
def test_values_look_as_in_opas_interpreter(toolkit: Toolkit, value: str) -> None:
    """The same print statement there writes the same line."""
    module = f"package t\n\nx if print({value})\n"
    answer = toolkit.eval("data.t.x", {"t.rego": module}, dialect=Dialect.V1)

    assert isinstance(answer, dict)
    assert [line["message"] for line in answer["print"]] == printed(f"[{{{value}}}]")


def test_what_is_kept_is_bounded() -> None:
    """Neither many lines, nor many combinations, nor long ones fill the memory."""
    many = "{" + ", ".join(map(str, range(1000))) + "}"
    call = Call({}, 0, 1e12)
    write = Registry.discover().functions({0: "internal.print"})[0]

    write(call, [f"[{many}, {many}, {many}]".encode()])
    write(call, [b'[{"one more"}]'])

    assert len(call.printed) == MAX_PRINTED
    assert len(printed('[{"' + "x" * 100_000 + '"}]')[0]) == MAX_LINE


def test_a_caller_gets_the_lines(compile_rego: Callable[..., bytes]) -> None:
    """The evaluation that was asked tells what it printed, and no other."""

    @builtin("test.say", args=("string",), result="boolean")
    def say(call: Call, text: str) -> bool:
        call.print(text)
        return True

    wasm = compile_rego("package t.p\n\nx if test.say(input.text)\n", (dict(say.declaration()),))
    policy = Policy.load(wasm, registry=Registry.discover(made=[say]))
    lines: list[str] = []

    for text in ("one", "two"):
        policy.evaluate({"text": text}, printed=lines if text == "one" else None)
        policy.evaluate_json(b'{"text": "three"}', printed=lines if text == "two" else None)
    policy.close()

    assert lines == ["one", "three"]


def test_notes_are_true_and_kept(toolkit: Toolkit) -> None:
    """A trace note never changes a decision, and stands beside what was printed."""
    built = toolkit.make({"p.rego": 'package t.p\n\nx if trace("here")\n'}, ["t/p"], dialect=Dialect.V1)

    assert built.builtins == ("trace",)
    call = Call({}, 0, 0.0)
    assert Registry.discover().functions({0: "trace"})[0](call, [b'"here"']) == b"true"
    assert call.printed == ["note: here"]

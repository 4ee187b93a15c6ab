"""Regular expressions: RE2 here, RE2 in WebAssembly and Go's library answer the same."""

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_server.builtins.call import Call
from policy_server.builtins.registry import Registry
from policy_server.engine.policy import Policy
from policy_server.model.errors import BuiltinFailed
from policy_server.toolkit.toolkit import Toolkit

ATOMS = [*"abks1@.^$|,-{}()[]\\ \x00"]
ATOMS += [r"\.", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", "[a-z]", "[^a-c]", "[[:alpha:]]", "[0-9_-]", r"\b", r"\B"]
ATOMS += [r"\A", r"\z", "(a|b)", "(ab)?", "()", r"\Qa.b\E", r"[\]a]", r"\/", "(?i)", "(?s)", "(?m)", "(?U)", "(?i:K)"]
ATOMS += ["(?P<n>a)", "(?<n>a)", r"\x41", r"\0", r"\pL", r"\PL", r"\C", r"\_", "é", "[é-ü]", "**", "+?", "a{2,1}"]
SUFFIXES = ["", "", "", "*", "+", "?", "{2}", "{1,3}", "{0,}", "*?", "+?", "??", "{1001}"]
PATTERNS = st.lists(st.tuples(st.sampled_from(ATOMS), st.sampled_from(SUFFIXES)), max_size=6).map(
    lambda parts: "".join(atom + suffix for atom, suffix in parts)
)
VALUES = ["", "a", "ab", "aab", "AB", "1", "a1", "a.b", "a\n", "\nb", "é", "日本", "K", "ſ", "\u212a", "x@y.z", "\x00"]


def _call() -> Call:
    return Call({}, 0, time.monotonic() + 10)


def _opa(toolkit: Toolkit, pattern: str, value: str) -> bytes | None:
    try:
        return toolkit.builtin(
            "regex.match", [json.dumps(pattern).encode(), json.dumps(value).encode()], now_ns=0, seed=0
        )
    except BuiltinFailed:
        return None


@settings(max_examples=400, deadline=None)
@given(PATTERNS, st.sampled_from(VALUES) | st.text(max_size=8).filter(lambda text: text.isprintable()))
def test_a_match_is_a_match_for_opa(registry: Registry, toolkit: Toolkit, pattern: str, value: str) -> None:
    """Whoever answers, the answer is that of OPA's own function."""
    answer = registry.functions({0: "exact.regex.match"})[0](
        _call(), [json.dumps(pattern).encode(), json.dumps(value, ensure_ascii=False).encode()]
    )

    assert _opa(toolkit, pattern, value) == answer


def test_patterns_that_are_known_early_match_the_same(load_policy: Callable[..., Policy], toolkit: Toolkit) -> None:
    """WebAssembly matches plain constant patterns itself, and only so many that it never has to forget one."""
    patterns = [f"^{atom}{suffix}x?{index}?" for index, atom in enumerate(ATOMS[:60]) for suffix in SUFFIXES[2:9:3]]
    texts = [pattern for pattern in patterns if _opa(toolkit, pattern, "") is not None]
    rules = "\n".join(
        f"r{index} := [regex.match({json.dumps(pattern)}, value) | some value in input]"
        for index, pattern in enumerate(texts)
    )

    answer = load_policy(f"package t.p\n\n{rules}\n", deadline=10.0).evaluate(VALUES)

    for index, pattern in enumerate(texts):
        expected = [_opa(toolkit, pattern, value) == b"true" for value in VALUES]
        assert answer[f"r{index}"] == expected, pattern  # type: ignore[index,call-overload]


@pytest.mark.parametrize(("pattern", "expected"), [("^a+$", b"true"), ("(?i)^A", b"true"), (r"\d", b"false")])
def test_usual_patterns_need_no_toolkit(pattern: str, expected: bytes) -> None:
    """Rules with regular expressions work where OPA's toolkit is missing; an unusual one is undefined there."""
    function = Registry.discover().functions({0: "exact.regex.match"})[0]

    assert function(_call(), [json.dumps(pattern).encode(), b'"aa"']) == expected
    failing = _call()
    assert function(failing, [rb'"\\pL"', b'"aa"']) is None
    assert "takes OPA's toolkit" in failing.errors[0]

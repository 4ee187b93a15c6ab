"""Random arguments for every function: a module and OPA's own code answer the same."""

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_server.builtins.opa import NAMES, NATIVE
from policy_server.builtins.registry import Registry
from policy_server.engine.policy import Policy
from policy_server.model.errors import BuiltinFailed, EvaluationTimeout, MemoryExceeded, PolicyServerError
from policy_server.model.policy import Dialect
from policy_server.model.values import JsonObject
from policy_server.toolkit.toolkit import Toolkit
from policy_server.wasm.text import to_json

NOW: Final = 1_700_000_000_123_456_789
CALLS: Final = 40
"""How many calls are compared for each drawn example."""

# OPA answers these at random, or not the same twice.
RANDOM: Final = frozenset(
    ["rand.intn", "uuid.rfc4122", "opa.runtime", "io.jwt.encode_sign", "io.jwt.encode_sign_raw", "internal.test_case"]
)
LIMITS: Final = (EvaluationTimeout, MemoryExceeded)

TEXTS: Final = [
    *[
        "",
        "a",
        "abc",
        "aXbXc",
        " x ",
        "é",
        "日本",
        "ß",
        "İ",
        "ǅ",
        "\u00a0x\u2003",
        "a.b.c",
        "a/b",
        "aaa",
        "aa",
        "x" * 300,
    ],
    *[
        "1",
        "-1",
        "1.5",
        "007",
        ".5",
        "1e3",
        "0x10",
        "1_000",
        "+5",
        "1e400",
        "inf",
        "true",
        "null",
        "1Gi",
        "10M",
        "1.5Ki",
    ],
    *["{}", "[1,]", '{"a":1}', "[1 2]", "01", "1.", '"\\ud800"', '"<>&"', "- a\n- b: [c]\n", "a: &x 1\nb: *x\n"],
    *["YWJj", "YWJj!!", "YWI", "YWI=", "_-8", "6162", "zz", "%41+b", "a=b&c=%20;d", "http://u:p@h:1/p?q#f", "/a/../b"],
    *[
        "10.0.0.0/8",
        "10.1.2.3",
        "::ffff:10.0.0.1/128",
        "::ffff:10.0.0.0/104",
        "2001:db8::/32",
        "10.0.0.1/33",
        "fe80::1%e",
    ],
    *["a*", "*.example.com", "x.example.com", "{a,b}c", "[a-c]", "(a)(b)?", "(", "\\d+", "^a$", "(?i)ABC", "(a+)+$"],
    *[
        "1.2.3",
        "v1.0.0-rc.1+b",
        "1h30m",
        "3d",
        "2006-01-02",
        "RFC3339",
        "2024-02-29T12:00:00Z",
        "Europe/Oslo",
        "%v %d %s",
    ],
    *[
        "\u0000",
        "a\u0000b",
        "\n",
        "\t",
        "'\"",
        "{{.a}}",
        "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
        "{ a { b } }",
        "type A { b: Int }",
    ],
    *["550e8400-e29b-41d4-a716-446655440000", "package a\nx := 1", '{"type": "object"}'],
]
NUMBERS: Final = [
    *["0", "1", "-1", "2", "3", "7", "10", "-7", "0.5", "-0.5", "1.5", "2.5", "-2.5", "0.1", "1e3", "1.0", "36", "16"],
    *["1e20", "1e22", "1e-7", "1e100", "123456789012345678", "9223372036854775807", "9223372036854775808"],
    *["-9223372036854775808", "-9223372036854775809", "4294967296", "2147483648", "-2147483649", "1700000000123456789"],
    "100000000000000000000000000000000000000",
]


class Arguments:
    """Draws Rego values, as text, mostly of the declared types."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def text(self, kind: JsonObject, depth: int = 0) -> str:
        """Return a value of this type in OPA's capability notation, and now and then one of another."""
        name = str(kind.get("type"))
        if self._random.random() < 0.06 or name not in {
            "string",
            "number",
            "boolean",
            "null",
            "array",
            "set",
            "object",
        }:
            return self._any(kind, depth)
        if name in {"array", "set"}:
            return self._collection(kind, name, depth)
        if name == "object":
            return self._object(kind, depth)
        return self._scalar(name)

    def _any(self, kind: JsonObject, depth: int) -> str:
        of = cast("list[JsonObject] | None", kind.get("of")) if kind.get("type") == "any" else None
        if of and self._random.random() < 0.9:
            return self.text(self._random.choice(of), depth)
        names = ["string", "number", "boolean", "null"] + (["array", "set", "object"] if depth < 3 else [])
        return self.text({"type": self._random.choice(names)}, depth + 1)

    def _scalar(self, name: str) -> str:
        if name == "string":
            letters = "".join(self._random.choice('abXé日 .*{}[]()\\/<&"1%:') for _ in range(self._random.randrange(8)))
            return json.dumps(self._random.choice([*TEXTS, letters]), ensure_ascii=False)
        if name == "number":
            near = str(self._random.randrange(-60, 60))
            return self._random.choice([*NUMBERS, near, near, f"{near}.{self._random.randrange(1000)}"])
        return self._random.choice(["true", "false"]) if name == "boolean" else "null"

    def _collection(self, kind: JsonObject, name: str, depth: int) -> str:
        if kind.get("static"):
            parts = [self.text(each, depth + 1) for each in cast("list[JsonObject]", kind["static"])]
        else:
            of = cast("JsonObject", kind.get("dynamic") or kind.get("of") or {"type": "any"})
            parts = [self.text(of, depth + 1) for _ in range(self._random.randrange(5))]
        if name == "array":
            return f"[{', '.join(parts)}]"
        return f"{{{', '.join(parts)}}}" if parts else "set()"

    def _object(self, kind: JsonObject, depth: int) -> str:
        dynamic = cast("JsonObject", kind.get("dynamic") or {})
        value = cast("JsonObject", dynamic.get("value") or {"type": "any"})
        pairs = {
            json.dumps(self._random.choice(TEXTS), ensure_ascii=False): self.text(value, depth + 1) for _ in range(3)
        }
        for each in cast("list[JsonObject]", kind.get("static") or []):
            pairs[json.dumps(each["key"])] = self.text(cast("JsonObject", each["value"]), depth + 1)
        chosen = list(pairs.items())[: self._random.randrange(4)] if not kind.get("static") else list(pairs.items())
        return f"{{{', '.join(f'{key}: {text}' for key, text in chosen)}}}"


@pytest.fixture(scope="module")
def declared(toolkit: Toolkit) -> Mapping[str, JsonObject]:
    """Return OPA's declarations of the functions that are compared, by name."""
    able = cast("dict[str, list[JsonObject]]", toolkit.capabilities())["builtins"]
    wanted = (NAMES | NATIVE) - RANDOM
    return {str(each["name"]): each for each in able if each["name"] in wanted}


@pytest.fixture(scope="module")
def policies(toolkit: Toolkit, registry: Registry, declared: Mapping[str, JsonObject]) -> Mapping[str, Policy]:
    """Return for each function a policy with an entrypoint ``t/<number>`` that calls it with the input's members."""
    found: dict[str, Policy] = {}
    for dialect in (Dialect.V1, Dialect.V0):
        names = [name for name, each in declared.items() if bool(each.get("deprecated")) == (dialect is Dialect.V0)]
        lines = [f"r{index} := [x | x := {name}({_args(declared[name])})]" for index, name in enumerate(names)]
        text = "package t\n\nimport future.keywords\n\n" + "\n".join(lines)
        wasm = toolkit.build({"t.rego": text}, [f"t/r{index}" for index in range(len(names))], dialect=dialect)
        policy = Policy.load(wasm, registry=registry, deadline=2.0, clock=lambda: NOW)
        found.update(dict.fromkeys(names, policy))
    return found


def _types(declaration: JsonObject) -> Sequence[JsonObject]:
    return cast("dict[str, list[JsonObject]]", declaration["decl"]).get("args") or []


def _args(declaration: JsonObject) -> str:
    return ", ".join(f"input[{index}]" for index in range(len(_types(declaration))))


def _opa(toolkit: Toolkit, name: str, args: Sequence[str]) -> bytes | str:
    try:
        found = toolkit.builtin(name, [each.encode() for each in args], now_ns=NOW, seed=1, deadline=2.0)
    except BuiltinFailed:
        return b"[]"
    except LIMITS:
        return "limit"
    return b"[]" if found is None else to_json(b"[" + found + b"]")


def _ours(policy: Policy, rule: str, args: Sequence[str]) -> bytes | str | None:
    try:
        # What JSON cannot say, such as sets, goes in as Rego text.
        return policy.evaluate_json(f"[{', '.join(args)}]".encode(), entrypoint=rule, trusted=True)
    except LIMITS:
        return "limit"
    except PolicyServerError as error:
        return f"{type(error).__name__}: {error}"


def _disagreements(
    toolkit: Toolkit, policies: Mapping[str, Policy], declared: Mapping[str, JsonObject], name: str, seed: int
) -> list[str]:
    draw = Arguments(Random(seed))
    deprecated = bool(declared[name].get("deprecated"))
    same = [each for each, about in declared.items() if bool(about.get("deprecated")) == deprecated]
    rule = f"t/r{same.index(name)}"
    found = []
    for _ in range(CALLS):
        args = [draw.text(kind) for kind in _types(declared[name])]
        if not _bearable(name, args):
            continue
        theirs, ours = _opa(toolkit, name, args), _ours(policies[name], rule, args)
        if theirs != ours and "limit" not in {theirs, ours}:
            found.append(f"{name}({', '.join(args)}):\n  ours   {ours!r}\n  theirs {theirs!r}")
    return found


def _bearable(name: str, args: Sequence[str]) -> bool:
    """Leave out calls that only show that memory and time have limits."""
    if name in {"numbers.range", "numbers.range_step", "bits.lsh", "net.cidr_expand"}:
        return all(len(each) < 6 and "e" not in each for each in args) and "/8" not in "".join(args)
    return True


@pytest.mark.parametrize("name", sorted((NAMES | NATIVE) - RANDOM))
def test_a_function_answers_like_opa(
    name: str, toolkit: Toolkit, policies: Mapping[str, Policy], declared: Mapping[str, JsonObject], effort: int
) -> None:
    """Also for arguments of wrong types, odd numbers, and hostile texts."""

    @settings(max_examples=3 * effort, deadline=None, suppress_health_check=list(HealthCheck), derandomize=effort == 1)
    @given(st.integers(0, 2**48))
    def agree(seed: int) -> None:
        found = _disagreements(toolkit, policies, declared, name, seed)
        assert not found, found[0]

    agree()

"""Random arguments for every function: a module and OPA's own code answer the same."""

import zlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, cast

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from policy_server.builtins.opa import NAMES, NATIVE
from policy_server.builtins.registry import Registry
from policy_server.engine.policy import Policy
from policy_server.model.errors import BuiltinFailed, EvaluationTimeout, MemoryExceeded, PolicyServerError
from policy_server.model.policy import Dialect
from policy_server.model.values import JsonObject
from policy_server.toolkit.toolkit import Toolkit
from policy_server.wasm.text import to_json

from .rego_arguments import Arguments

NOW: Final = 1_700_000_000_123_456_789
CALLS: Final = 40
"""How many calls are compared for each drawn example."""

SEED: Final = 20_261_127

CERTAIN: Final = frozenset(
    [
        *["equal", "neq", "lt", "lte", "gt", "gte", "internal.member_2", "internal.member_3", "type_name"],
        *["is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string"],
    ]
)
"""Functions that the WebAssembly always answers by itself."""

# Signatures differ each time, whatever the seed; the others are no functions of their arguments.
UNSTEADY: Final = frozenset(["opa.runtime", "io.jwt.encode_sign", "io.jwt.encode_sign_raw", "internal.test_case"])
SEEDED: Final = frozenset(["rand.intn", "uuid.rfc4122"])
COMPARED: Final = (NAMES | NATIVE | CERTAIN) - UNSTEADY
SORTING: Final = frozenset(["sort", "min", "max", "sum", "product", "count", "union", "intersection"])
"""Functions that get long collections often, because they answer those in another way."""

LIMITS: Final = (EvaluationTimeout, MemoryExceeded)


@pytest.fixture(scope="module")
def declared(toolkit: Toolkit) -> Mapping[str, JsonObject]:
    """Return OPA's declarations of the functions that are compared, by name."""
    able = cast("dict[str, list[JsonObject]]", toolkit.capabilities())["builtins"]
    return {str(each["name"]): each for each in able if each["name"] in COMPARED}


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
    if name == "rand.intn":
        # OPA takes the size of the number.
        args = (args[0], args[1].removeprefix("-"))
    try:
        found = toolkit.builtin(name, [each.encode() for each in args], now_ns=NOW, seed=SEED, deadline=2.0)
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


def _disagreement(
    toolkit: Toolkit, policies: Mapping[str, Policy], declared: Mapping[str, JsonObject], name: str, random: Random
) -> str | None:
    draw = Arguments(random, long=0.3 if name in SORTING else 0.02)
    deprecated = bool(declared[name].get("deprecated"))
    same = [each for each, about in declared.items() if bool(about.get("deprecated")) == deprecated]
    rule = f"t/r{same.index(name)}"
    for _ in range(random.choice([1, 5, CALLS, CALLS, CALLS])):
        args = [draw.text(kind) for kind in _types(declared[name])]
        if not _bearable(name, args):
            continue
        theirs, ours = _opa(toolkit, name, args), _ours(policies[name], rule, args)
        if theirs != ours and "limit" not in {theirs, ours}:
            return f"{name}({', '.join(args)}):\n  ours   {ours!r}\n  theirs {theirs!r}"
    return None


def _bearable(name: str, args: Sequence[str]) -> bool:
    """Leave out calls that only show that memory and time have limits."""
    if name in {"numbers.range", "numbers.range_step", "bits.lsh", "net.cidr_expand"}:
        return all(len(each) < 6 and "e" not in each for each in args) and "/8" not in "".join(args)
    if name in SEEDED:
        # The answer depends on how the arguments are spelled, and modules spell these in their own way.
        return all(each.isascii() and not set("{}[]\\").intersection(each) for each in args)
    return True


class _Fixed:
    """The same seed for each evaluation, and for OPA."""

    def getrandbits(self, _: int) -> int:
        return SEED


@pytest.fixture(autouse=True)
def fixed_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let random functions be asked with the seed that OPA is asked with."""
    monkeypatch.setattr("policy_server.builtins.call._random", _Fixed())


@pytest.mark.parametrize("name", sorted(COMPARED))
def test_a_function_answers_like_opa(
    name: str, toolkit: Toolkit, policies: Mapping[str, Policy], declared: Mapping[str, JsonObject], effort: int
) -> None:
    """Also for arguments of wrong types, odd numbers, and hostile texts."""

    @settings(max_examples=3 * effort, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.randoms(use_true_random=False))
    def agree(random: Random) -> None:
        found = _disagreement(toolkit, policies, declared, name, random)
        assert found is None, found

    # The usual run draws the same each time, longer ones something new.
    (seed(zlib.crc32(name.encode()))(agree) if effort == 1 else agree)()

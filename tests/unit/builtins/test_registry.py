"""The registry: who answers which function."""

import json
from collections.abc import Callable
from typing import cast

import pytest

from policy_server.builtins.call import Call
from policy_server.builtins.opa import NAMES, NETWORK
from policy_server.builtins.registry import Registry
from policy_server.model.errors import BuiltinFailed, EvaluationTimeout, UnknownBuiltin
from policy_server.model.policy import Dialect
from policy_server.model.values import UNDEFINED, Json
from policy_server.toolkit.toolkit import Toolkit

HEADER = {
    "name": "external.http.header",
    "decl": {"type": "function", "args": [{"type": "string"}], "result": {"type": "string"}},
}

_LISTED = """
add_vc_proof add_vp_proof cache.get cache.set did.resolve did_to_url keys.get keys.getAll ocm.getLoginProofInvitation
ocm.getLoginProofResult ocm.getRawProofResult ocm.sendPresentationRequest proof.verify storage.delete storage.get
storage.set task.create tasklist.create url_to_did verification_method verification_methods
signer.add_vc_proof signer.add_vp_proof signer.verification_method sd_jwt.decode sd_jwt.verify
train.resolve train.validate
"""
EXTENSIONS = frozenset(_LISTED.split())
"""The functions of the policy service and ours, but for headers, which need nothing."""

NEVER = {"eq", "assign", "print", "rego.metadata.chain", "rego.metadata.rule", "internal.print", "internal.test_case"}
"""Names that a compiler resolves, or that no policy can spell."""


def _call(**options: bool) -> Call:
    return Call({"X-Key": "value"}, 42, 1e12, **options)


def _ask(function: Callable[..., object], *args: bytes, call: Call | None = None) -> bytes | None:
    answer = Registry.discover({"test.f": function}).functions({0: "test.f"})[0]  # type: ignore[dict-item]
    return answer(call or _call(), args)


def test_builtins_are_found_in_their_files() -> None:
    """Whatever a module of the room declares is there."""
    assert {
        "external.http.header",
        "internal.print",
        "opa.runtime",
        "regex.match",
        "time.now_ns",
        "trace",
        *EXTENSIONS,
    } == Registry.discover().names()


def test_only_what_opa_lacks_is_declared() -> None:
    """The compiler gets entries for our functions; those OPA knows would be there twice."""
    found = Registry.discover().declarations()

    assert HEADER in found
    assert {each["name"] for each in found} == {"external.http.header", *EXTENSIONS}


def test_an_embedding_program_may_bring_what_needs_a_server() -> None:
    """Its functions come before ours of the same name."""
    found = Registry.discover({"storage.get": lambda key: {"key": key}}).functions({0: "storage.get"})

    assert found[0](_call(), [b'"k"']) == b'{"key":"k"}'


def test_every_builtin_says_what_it_is() -> None:
    """Determinism and blocking are told, for listings."""
    found = {each.name: (each.nondeterministic, each.blocking) for each in Registry.discover().builtins()}

    assert found["time.now_ns"] == (True, False)
    assert found["external.http.header"] == (False, False)
    assert list(found) == sorted(found)


def test_what_needs_a_network_is_unavailable(toolkit: Toolkit) -> None:
    """Functions that neither we nor the toolkit can answer are named, for a compiler to refuse."""
    registry = Registry.discover().bind(toolkit)

    assert {"http.send", "net.lookup_ip_addr"} == registry.unavailable()
    assert not registry.unavailable() & registry.names()
    with pytest.raises(UnknownBuiltin, match=r"http\.send"):
        registry.functions({0: "http.send"})


def test_an_unknown_function_fails_at_load(toolkit: Toolkit) -> None:
    """A module that calls what nobody answers is refused by name, not at its first evaluation."""
    with pytest.raises(UnknownBuiltin, match=r"acme\.one, acme\.two, which this server does not have\.$"):
        Registry.discover().bind(toolkit).functions({0: "acme.two", 1: "acme.one", 2: "sprintf"})


def test_without_the_toolkit_opas_functions_are_missing() -> None:
    """The error says how to get the toolkit."""
    with pytest.raises(UnknownBuiltin, match=r"sprintf.*scripts/setup"):
        Registry.discover().functions({0: "sprintf"})


def test_the_list_of_opas_functions_is_true(toolkit: Toolkit) -> None:
    """Every function of OPA is native in WebAssembly, on our list, declared here, or known to need a network."""
    able = cast("dict[str, list[dict[str, str]]]", toolkit.capabilities())
    opa = {each["name"] for each in able["builtins"]}
    here = {each.name for each in Registry.discover().builtins() if each.known_to_opa}

    assert opa >= NAMES | NETWORK
    assert here <= opa
    assert not NAMES & here
    for name in ("sprintf", "time.format", "io.jwt.decode", "yaml.unmarshal", "crypto.sha256"):
        assert name in NAMES


FAST = "# METADATA\n# custom:\n#   semantics: fast"
"""What makes OPA's WebAssembly answer what it can by itself."""


def test_every_listed_function_is_left_to_the_host(toolkit: Toolkit) -> None:
    """OPA's compiler leaves the listed functions to the host, and no other one."""
    able = cast("dict[str, list[dict[str, Json]]]", toolkit.capabilities())
    rules = {dialect: [FAST, "package t.p", ""] for dialect in (Dialect.V1, Dialect.V0)}
    for each in able["builtins"]:
        decl = cast("dict[str, list[Json]]", each["decl"])
        if each.get("infix") or each.get("relation") or str(each["name"]) in NEVER:
            continue
        args = ", ".join(f"input.a{index}" for index in range(len(decl.get("args") or [])))
        dialect = Dialect.V0 if each.get("deprecated") else Dialect.V1
        rules[dialect].append(f"r{len(rules[dialect])} := {each['name']}({args})")

    left = {
        name
        for dialect, lines in rules.items()
        for name in toolkit.make({"p.rego": "\n".join(lines)}, ["t/p"], dialect=dialect).builtins
    }

    ours = {each.name for each in Registry.discover().builtins() if each.known_to_opa}
    regular = {"exact.regex.match", "exact.re_match"}  # see policy_server/builtins/regex.py
    assert (NAMES | NETWORK | ours | regular) - NEVER - {"regex.match"} == left


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (lambda a, b: [a, b], (b'"x"', b"{2, 1}"), ["x", [1, 2]]),
        (lambda a: a, (b'{"k": {1: null}}',), {"k": {"1": None}}),
        (lambda a: a + 1, (b"123456789012345678901234567890",), 123456789012345678901234567891),
        (lambda: None, (), None),
        (lambda a: a, (b'"\xff"',), "\ufffd"),
    ],
)
def test_plain_functions_take_and_answer_json(
    function: Callable[..., Json], args: tuple[bytes, ...], expected: Json
) -> None:
    """An embedding program's function sees values, sets as sorted lists, and integers exactly."""
    assert expected == json.loads(_ask(function, *args) or b"")


def test_undefined_is_no_answer() -> None:
    """A function may have none."""
    assert _ask(lambda: UNDEFINED) is None


def test_a_failure_is_undefined_and_recorded() -> None:
    """The policy goes on, and the caller can see why the value was missing."""

    def fail() -> Json:
        raise BuiltinFailed("not today")

    call = _call()

    assert _ask(fail, call=call) is None
    assert call.errors == ["test.f: not today"]


def test_a_failure_is_raised_where_strict() -> None:
    """Strict callers want no answer rather than a wrong one."""

    def fail() -> Json:
        raise BuiltinFailed("not today")

    with pytest.raises(BuiltinFailed, match=r"test\.f: not today"):
        _ask(fail, call=_call(strict=True))


@pytest.mark.parametrize("function", [lambda: 1 // 0, lambda: {1, 2}, object, lambda _extra: 1])
def test_a_bug_in_a_function_is_an_error(function: Callable[..., object]) -> None:
    """What a function did not mean to raise, or answered without JSON, is never taken for undefined."""
    with pytest.raises(BuiltinFailed, match=r"test\.f raised"):
        _ask(function)


def test_our_own_errors_pass_unchanged() -> None:
    """A function that runs out of time says so."""

    def late() -> Json:
        raise EvaluationTimeout

    with pytest.raises(EvaluationTimeout):
        _ask(late)


def test_operands_are_checked() -> None:
    """A wrong type is OPA's builtin error: undefined, with the reason."""
    call = _call()
    header = Registry.discover().functions({0: "external.http.header"})[0]

    assert header(call, [b"1"]) is None
    assert header(call, [b"true"]) is None
    assert call.errors[:1] == ["external.http.header: operand 1 must be string but got number"]


def test_errors_do_not_pile_up() -> None:
    """A loop of failures is told a hundred times, not a million."""
    call = _call()
    for _ in range(1000):
        call.fail(BuiltinFailed("again"))

    assert len(call.errors) == 100


def test_extra_functions_come_first(toolkit: Toolkit) -> None:
    """An embedding program may answer in place of the product."""
    registry = Registry.discover({"sprintf": lambda *_: "mine", "external.http.header": lambda _: "mine"}).bind(toolkit)

    for name in ("sprintf", "external.http.header"):
        assert registry.functions({0: name})[0](_call(), [b'"a"']) == b'"mine"'


def test_the_interpreter_gets_the_same_functions(toolkit: Toolkit) -> None:
    """Tests and traces in OPA's interpreter call the host like the compiled policy does."""
    registry = Registry.discover()
    found = toolkit.eval(
        'x := external.http.header("x-key")',
        {},
        dialect=Dialect.V1,
        builtins=registry.declarations(),
        host=registry.host(_call()),
    )

    assert cast("dict[str, list[dict[str, Json]]]", found)["result"][0]["bindings"] == {"x": "value"}
    with pytest.raises(BuiltinFailed):
        registry.host(_call())("acme.unknown", b"[]")


@pytest.mark.parametrize("answer", [float("nan"), [float("inf")], {"a": [None, float("-inf")]}])
def test_what_is_no_number_is_no_answer(answer: Json) -> None:
    """JSON has neither infinity nor what is no number; null would be a wrong answer."""
    with pytest.raises(BuiltinFailed, match="raised ValueError"):
        _ask(lambda: answer)

"""Switches for functions with a network: for an installation, for a policy, for an embedding program."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from asked_sites import LOOPBACK, Site, new_call
from werkzeug import Response

from policy_server import embed
from policy_server.builtins.network import Network, allowed_for, settled_registry
from policy_server.builtins.opa import NETWORK
from policy_server.builtins.registry import Registry
from policy_server.compiler.compiler import RegoCompiler
from policy_server.engine.policy import Policy
from policy_server.model.errors import BuiltinFailed, CompileError, EvaluationTimeout, UnknownBuiltin
from policy_server.model.policy import Dialect, PolicyId, PolicySource
from policy_server.settings import load_settings
from policy_server.toolkit.toolkit import Toolkit

REGO = """package t.p

response := http.send({"method": "get", "url": input.url, "force_json_decode": true})

body := response.body

twice := http.send({"method": "get", "url": input.url, "force_json_decode": true}).status

default reason := "unknown"

reason := http.send({"method": "get", "url": input.url, "raise_error": false}).error.message
"""


def settled(toolkit: Toolkit, **environ: str) -> Registry:
    """Return the functions with these variables set."""
    settings = load_settings(environ={"HOME": "/home/kari", **environ})
    return settled_registry(settings.network, settings.runtime_variables, toolkit)


def test_a_policy_asks_a_server(
    load_policy: Callable[..., Policy], network_registry: Callable[..., Registry], site: Site
) -> None:
    """From Rego through WebAssembly to the server and back; the same request is sent once."""
    site.answer = lambda _request, count: _reply(count)
    policy = load_policy(REGO, registry=network_registry(LOOPBACK))

    found = policy.evaluate({"url": site.url})

    assert isinstance(found, dict)
    assert (found["body"], found["twice"]) == ({"count": 0, "set": [1.5, "😀"]}, "200 OK")
    assert found["reason"] == "unknown"
    assert len(site.seen) == 2  # raise_error makes it another request


def test_the_interpreter_asks_the_same(
    toolkit: Toolkit, load_policy: Callable[..., Policy], network_registry: Callable[..., Registry], site: Site
) -> None:
    """Tests and traces see what the compiled policy sees, sets included."""
    site.answer = lambda _request, _count: _reply(7)
    registry = network_registry(LOOPBACK)
    rego = REGO + '\naddresses := net.lookup_ip_addr("127.0.0.1") & {"127.0.0.1"}\n'

    compiled = load_policy(rego, registry=registry).evaluate({"url": site.url})
    answer = toolkit.eval(
        "data.t.p",
        {"p.rego": rego},
        input={"url": site.url},
        dialect=Dialect.V1,
        builtins=registry.declarations(),
        host=registry.host(new_call()),
    )

    assert isinstance(answer, dict)
    assert answer["errors"] == []
    assert answer["result"][0]["expressions"][0]["value"] == compiled
    assert compiled["addresses"] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"a": 1, "b": [1], "a": {"c": 2}}', {"a": {"c": 2}, "b": [1]}),
        ('["\\ud83d\\ude00", "\\ud840\\udc00", "\\ud800"]', ["😀", "\U00020000", "\ufffd"]),
        (" \n[1e3, -0.5, 12345678901234567890]\t ", [1000, -0.5, 12345678901234567890]),
        ('{"": {"": null}}', {"": {"": None}}),
        ("[" * 500 + "]" * 500, json.loads("[" * 500 + "]" * 500)),
        ("[1] [2]", [1]),
    ],
)
def test_bodies_mean_the_same_in_both(
    toolkit: Toolkit,
    load_policy: Callable[..., Policy],
    network_registry: Callable[..., Registry],
    site: Site,
    body: str,
    expected: object,
) -> None:
    """Whatever a server writes, WebAssembly and the interpreter read the same value."""
    site.answer = lambda _request, _count: Response(body)
    registry = network_registry(LOOPBACK)

    compiled = load_policy(REGO, registry=registry).evaluate({"url": site.url}, entrypoint="t/p")
    answer = toolkit.eval(
        "data.t.p.body", {"p.rego": REGO}, input={"url": site.url}, dialect=Dialect.V1, host=registry.host(new_call())
    )

    assert isinstance(compiled, dict)
    assert compiled["body"] == expected
    assert isinstance(answer, dict)
    assert answer["result"][0]["expressions"][0]["value"] == expected


@pytest.mark.parametrize("mode", ["allowed", "on"])
def test_loopback_is_refused_by_default(toolkit: Toolkit, site: Site, mode: str) -> None:
    """Without lists nothing is reached; with every public host allowed, still nothing inside."""
    send = settled(toolkit, POLICY_HTTP_SEND=mode).functions({0: "http.send"})[0]
    call = new_call()

    assert send(call, [json.dumps({"method": "get", "url": site.url}).encode()]) is None
    assert ("POLICY_HTTP_SEND_HOSTS" if mode == "allowed" else "POLICY_ALLOWED_NETWORKS") in call.errors[0]
    assert site.seen == []


@pytest.mark.parametrize(
    ("environ", "reached"),
    [
        ({"POLICY_HTTP_SEND_HOSTS": "127.0.0.1"}, False),
        ({"POLICY_ALLOWED_NETWORKS": "127.0.0.1/32"}, False),
        ({"POLICY_HTTP_SEND_HOSTS": "127.0.0.1", "POLICY_ALLOWED_NETWORKS": "127.0.0.1/32"}, True),
        ({"POLICY_HTTP_SEND_HOSTS": "127.0.0.0/8", "POLICY_ALLOWED_NETWORKS": "127.0.0.1/32"}, True),
        ({"POLICY_HTTP_SEND": "on", "POLICY_ALLOWED_NETWORKS": "127.0.0.1/32"}, True),
        ({"POLICY_HTTP_SEND": "off", "POLICY_HTTP_SEND_HOSTS": "127.0.0.1"}, False),
    ],
)
def test_a_private_host_takes_both_lists(toolkit: Toolkit, site: Site, environ: dict[str, str], reached: bool) -> None:
    """One says whom policies may name, the other which inside may be met."""
    send = settled(toolkit, **environ).functions({0: "http.send"})[0]

    found = send(new_call(), [json.dumps({"method": "get", "url": site.url}).encode()])

    assert (found is not None) is reached
    assert bool(site.seen) is reached


def test_switched_off_it_neither_compiles_nor_answers(toolkit: Toolkit) -> None:
    """New policies are refused with the place; published ones go on, and hear why there is no answer."""
    registry = settled(toolkit, POLICY_HTTP_SEND="off")
    compiler = RegoCompiler(toolkit, registry.declarations(), registry.unavailable())
    source = PolicySource(PolicyId("test", "t", "p", "1.0"), REGO)

    with pytest.raises(CompileError, match=r"http\.send") as caught:
        compiler.compile(source)
    assert caught.value.problems[0].line == 3
    with pytest.raises(BuiltinFailed, match="switched off"):
        registry.functions({0: "http.send"})[0](new_call(strict=True), [b"{}"])


def test_switched_on_it_compiles(toolkit: Toolkit) -> None:
    """Whatever the lists say: they may be changed later."""
    registry = settled(toolkit)
    compiler = RegoCompiler(toolkit, registry.declarations(), registry.unavailable())

    compiled = compiler.compile(PolicySource(PolicyId("test", "t", "p", "1.0"), REGO))

    assert compiled.manifest.builtins == ("http.send",)
    assert registry.unavailable() == frozenset()


@pytest.mark.parametrize(
    ("patterns", "policy", "allowed"),
    [
        (["*"], "a/b/c/1.0", True),
        ([], "a/b/c/1.0", False),
        (["a/*"], "a/b/c/1.0", True),
        (["a/*"], "ab/b/c/1.0", False),
        (["a/b/c/*", "x/*"], "x/b/c/1.0", True),
        (["!a/*"], "a/b/c/1.0", False),
        (["!a/*"], "b/b/c/1.0", True),
        (["*", "!a/b/*"], "a/b/c/1.0", False),
        (["!a/b/*", "*"], "a/c/c/1.0", True),
        (["*/1.0"], "a/b/c/1.0", True),
    ],
)
def test_patterns_say_which_policies_may(patterns: list[str], policy: str, allowed: bool) -> None:
    """One that fits is needed, and none with ! may fit."""
    assert allowed_for(policy, patterns) is allowed


def test_a_policy_that_may_not_hears_why(toolkit: Toolkit, site: Site) -> None:
    """The same functions, refusing."""
    quiet = settled(toolkit, POLICY_HTTP_SEND_HOSTS="127.0.0.1", POLICY_ALLOWED_NETWORKS="127.0.0.1/32").without(
        NETWORK, "not for this policy"
    )
    call = new_call()

    for name in NETWORK:
        assert quiet.functions({0: name})[0](call, [b'"127.0.0.1"']) is None
    assert quiet.functions({0: "sprintf"})[0](call, [b'"%d"', b"[1]"]) == b'"1"'
    assert sorted(call.errors) == ["http.send: not for this policy", "net.lookup_ip_addr: not for this policy"]


def test_an_embedding_program_says_what_may_be_reached(
    compile_rego: Callable[..., bytes], site: Site, toolkit_file: Path
) -> None:
    """Without a network the module does not load; with one it asks."""
    site.answer = lambda _request, count: _reply(count)
    wasm = compile_rego(REGO)

    with pytest.raises(UnknownBuiltin, match=r"http\.send"):
        embed.load(wasm)
    policy = embed.load(
        wasm, network=embed.Network(hosts=["127.0.0.1"], networks=["127.0.0.1/32"]), toolkit=toolkit_file
    )
    found = policy.evaluate({"url": site.url})
    policy.close()

    assert isinstance(found, dict)
    assert found["twice"] == "200 OK"


def test_secrets_of_a_network_are_not_shown() -> None:
    """Values of variables are keys."""
    assert "hunter2" not in repr(Network(tls_env={"KEY": "hunter2"}))


def _reply(count: int) -> Response:
    return Response(json.dumps({"count": count, "set": [1.5, "😀"]}), content_type="text/plain")


def test_an_evaluation_ends_while_it_waits(
    load_policy: Callable[..., Policy], network_registry: Callable[..., Registry], site: Site
) -> None:
    """A server that does not answer costs the evaluation its deadline, and the next one is right."""
    release = threading.Event()

    def answer(_request: object, count: int) -> Response:
        if count == 0:
            release.wait(10)
        return _reply(count)

    site.answer = answer
    policy = load_policy(REGO, registry=network_registry(LOOPBACK))

    with pytest.raises(EvaluationTimeout):
        policy.evaluate({"url": site.url}, deadline=0.2)
    release.set()

    found = policy.evaluate({"url": site.url}, deadline=20)
    assert isinstance(found, dict)
    assert found["twice"] == "200 OK"


def test_evaluations_wait_side_by_side(
    load_policy: Callable[..., Policy], network_registry: Callable[..., Registry], site: Site
) -> None:
    """Whoever waits for a server keeps nobody else from asking: all are at the server at the same time."""
    together = threading.Barrier(4)

    def answer(_request: object, count: int) -> Response:
        if count < 4:
            together.wait(20)
        return _reply(count)

    site.answer = answer
    policy = load_policy(REGO, registry=network_registry(LOOPBACK))
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(policy.evaluate({"url": site.url}, deadline=30))) for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert [isinstance(each, dict) and each["twice"] for each in found] == ["200 OK"] * 4
    assert not together.broken

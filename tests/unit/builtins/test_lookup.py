"""``net.lookup_ip_addr``."""

import threading
from collections.abc import Callable

import pytest
from asked_sites import Asked, new_call

from policy_server.builtins.call import Call
from policy_server.builtins.lookup import lookup
from policy_server.builtins.network import Network
from policy_server.engine.policy import Policy
from policy_server.model.errors import BuiltinFailed, EvaluationTimeout
from policy_server.net.guard import NetworkGuard
from policy_server.net.targets import Targets


def ask(name: str, addresses: list[str], *, call: Call | None = None, listed: str = "*") -> frozenset[str]:
    """Look a name up that has these addresses."""
    guard = NetworkGuard(["10.0.0.0/8"], resolve=lambda *_: addresses, targets=Targets([listed], origin="LIST"))
    return lookup(guard)(call or new_call(), name)


def test_a_name_is_the_set_of_its_addresses() -> None:
    """In Go's spelling, each once."""
    assert ask("a.test", ["10.0.0.1", "2606:2800:0::1", "10.0.0.1"]) == {"10.0.0.1", "2606:2800::1"}


def test_the_answer_is_a_set_in_rego() -> None:
    """Sorted, as value text."""
    http = Asked(Network(hosts=("localhost",), networks=("127.0.0.0/8", "::1/128")))

    assert http.lookup("localhost") in {b'{"127.0.0.1"}', b'{"127.0.0.1","::1"}', b'{"::1"}'}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("169.254.169.254", "169.254.169.254"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_addresses_are_answered_as_they_are(given: str, expected: str) -> None:
    """Nobody is asked, so there is nothing to guard."""
    assert ask(given, [], listed="nothing.test") == {expected}


@pytest.mark.parametrize(
    ("name", "addresses", "message"),
    [
        ("a.test", ["127.0.0.1"], "loopback"),
        ("a.test", ["10.0.0.1", "169.254.169.254"], "metadata"),
        ("a.test", [], "has no address"),
        ("", [], "empty"),
    ],
)
def test_what_is_not_allowed_or_not_there_is_an_error(name: str, addresses: list[str], message: str) -> None:
    """The same guard as for requests; undefined, with the reason."""
    with pytest.raises(BuiltinFailed, match=message):
        ask(name, addresses)


def test_names_that_are_not_listed_are_refused() -> None:
    """The same list as for requests."""
    with pytest.raises(BuiltinFailed, match="LIST does not list it"):
        ask("other.test", ["10.0.0.1"], listed="a.test")


def test_a_look_up_ends_with_the_evaluation() -> None:
    """As in OPA, running out of time aborts."""
    release = threading.Event()
    guard = NetworkGuard(resolve=lambda *_: [str(release.wait(10))])

    with pytest.raises(EvaluationTimeout):
        lookup(guard)(new_call(seconds=0.05), "slow.test")
    with pytest.raises(EvaluationTimeout):
        lookup(guard)(new_call(seconds=-1), "slow.test")
    release.set()


def test_a_policy_sees_one_truth_and_a_set(
    load_policy: Callable[..., Policy], network_registry: Callable[..., object]
) -> None:
    """Within an evaluation the same name has the same addresses, and set operations work on them."""
    rego = """package t.p

found := net.lookup_ip_addr("localhost")

loopback if "127.0.0.1" in found | net.lookup_ip_addr("127.0.0.1")

same if found == net.lookup_ip_addr("localhost")
"""
    registry = network_registry(Network(hosts=("localhost",), networks=("127.0.0.0/8", "::1/128")))

    answer = load_policy(rego, registry=registry).evaluate()

    assert isinstance(answer, dict)
    assert (answer["loopback"], answer["same"]) == (True, True)
    assert set(answer["found"]) <= {"127.0.0.1", "::1"}

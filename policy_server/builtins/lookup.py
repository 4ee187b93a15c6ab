"""``net.lookup_ip_addr``: names to addresses, behind the guard."""

from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from policy_server.builtins.call import Call
from policy_server.model.errors import BuiltinFailed, EvaluationTimeout, FetchError, TargetRefused


class Resolver(Protocol):
    """Names to allowed addresses; ``net.guard.NetworkGuard``."""

    def addresses(self, host: str, port: int, *, timeout: float) -> Sequence[str]:
        """Return the addresses of a host; TargetRefused, FetchError."""
        ...


def lookup(resolver: Resolver) -> Callable[[Call, str], frozenset[str]]:
    """Return the function behind ``net.lookup_ip_addr``.

    It answers addresses as they are, asks the resolver for names, and raises
    BuiltinFailed for a name that has none or may not be asked for, EvaluationTimeout
    when the evaluation's time is over (as in OPA, source: v1/topdown/net.go).
    """

    def answer(call: Call, name: str) -> frozenset[str]:
        literal = _literal(name)
        if literal is not None:
            return frozenset([literal])
        remaining = call.remaining()
        if remaining <= 0:
            raise EvaluationTimeout
        if not name:
            raise BuiltinFailed("the name is empty")
        try:
            return frozenset(_literal(each) or each for each in resolver.addresses(name, 0, timeout=remaining))
        except (TargetRefused, FetchError) as error:
            if call.remaining() <= 0:
                raise EvaluationTimeout(f"net.lookup_ip_addr: {error.message}") from error
            raise BuiltinFailed(error.message) from error

    return answer


def _literal(text: str) -> str | None:
    """Return an address the way Go writes it, None for a name."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)

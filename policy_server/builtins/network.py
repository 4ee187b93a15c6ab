"""The functions that need a network, as far as they are switched on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NoReturn

from policy_server.builtins.call import Call
from policy_server.builtins.declare import ANY, Builtin, builtin
from policy_server.builtins.http_send import HttpSend
from policy_server.builtins.http_tls import Credentials
from policy_server.builtins.lookup import lookup
from policy_server.builtins.opa import OpaFunctions
from policy_server.builtins.registry import Registry, refusing
from policy_server.builtins.runtime import runtime_with
from policy_server.model.values import JsonObject
from policy_server.net.caching import AnswerCache
from policy_server.net.guard import NetworkGuard
from policy_server.net.targets import Targets
from policy_server.toolkit.toolkit import Toolkit

_STRINGS: Final[JsonObject] = {"type": "set", "of": {"type": "string"}}
_REQUEST: Final[JsonObject] = {"type": "object", "dynamic": {"key": {"type": "string"}, "value": ANY}}
_ANSWER: Final[JsonObject] = {"type": "object", "dynamic": {"key": ANY, "value": ANY}}


@dataclass(frozen=True, slots=True)
class Network:
    """What policies may reach with ``http.send`` and ``net.lookup_ip_addr``.

    ``hosts`` are names, ``*.example.com``, addresses and networks; ``*`` is every host.
    ``networks`` are private networks, addresses and host names that may be reached all
    the same: without them nothing leads to loopback, private or metadata addresses.
    ``max_bytes`` limits an answer's body; ``cache_bytes`` is set aside for answers that
    are kept across evaluations. ``tls_files`` are files and directories that the
    ``tls_*_file`` keys may name, ``tls_env`` variables with their values for
    ``tls_*_env_variable``. ``origin`` names the list of hosts in messages.
    """

    hosts: Sequence[str] = ()
    networks: Sequence[str] = ()
    max_bytes: int = 4 << 20
    cache_bytes: int = 16 << 20
    tls_files: Sequence[Path] = ()
    tls_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    origin: str = "the list of hosts"


def network_functions(network: Network | None, toolkit: Toolkit | None, *, reason: str) -> tuple[Builtin, ...]:
    """Return ``http.send`` and ``net.lookup_ip_addr``; without a network, ones that fail with a reason.

    ``toolkit`` decodes YAML. SettingsError when a list has an entry that cannot be read.
    """
    if network is None:
        return (refusing(_send(_nothing), reason), refusing(_lookup(_nothing), reason))
    # PERF: the HTTP library takes a twentieth of a second, and many programs ask nobody.
    from policy_server.net.sender import GuardedSender  # noqa: PLC0415

    guard = NetworkGuard(network.networks, targets=Targets(network.hosts, origin=network.origin))
    send = HttpSend(
        GuardedSender(guard, max_bytes=network.max_bytes),
        AnswerCache(network.cache_bytes),
        Credentials(network.tls_files, network.tls_env),
        None if toolkit is None else OpaFunctions(toolkit),
    )
    return (_send(send), _lookup(lookup(guard)))


def settled_registry(
    network: Network | None, variables: Mapping[str, str], toolkit: Toolkit, *, made: Sequence[Builtin] = ()
) -> Registry:
    """Return all functions as far as the settings allow them, with the toolkit behind them.

    ``variables`` are what ``opa.runtime`` shows of the environment; ``made`` are functions beyond OPA's.
    """
    made = (*made, *network_functions(network, toolkit, reason="switched off (POLICY_HTTP_SEND=off)"))
    if variables:
        made += (runtime_with(variables),)
    return Registry.discover(made=made).bind(toolkit)


def allowed_for(policy: str, patterns: Sequence[str]) -> bool:
    """Tell whether a policy (``repository/group/name/version``) fits one of the patterns and none that begins with !.

    ``*`` stands for anything, slashes included. Patterns that all begin with ! allow the others.
    """
    wanted = [each for each in patterns if not each.startswith("!")]
    if any(fnmatchcase(policy, each[1:]) for each in patterns if each.startswith("!")):
        return False
    return (not wanted and bool(patterns)) or any(fnmatchcase(policy, each) for each in wanted)


def _send(function: Callable[[Call, bytes], bytes]) -> Builtin:
    made = builtin(
        "http.send",
        args=(_REQUEST,),
        result=_ANSWER,
        nondeterministic=True,
        blocking=True,
        known_to_opa=True,
        verbatim=True,
    )
    return made(function)


def _lookup(function: Callable[[Call, str], frozenset[str]]) -> Builtin:
    made = builtin(
        "net.lookup_ip_addr", args=("string",), result=_STRINGS, nondeterministic=True, blocking=True, known_to_opa=True
    )
    return made(function)


def _nothing(*_: object) -> NoReturn:
    raise AssertionError("refused before it is called")

"""Rego policies inside any Python program, without a server.

    from policy_server import embed

    policy = embed.load(Path("policy.wasm"), data={"admins": ["alice"]})
    policy.evaluate({"user": "alice"})          # the value, or embed.UNDEFINED
    policy.evaluate_json(b'{"user": "alice"}')  # JSON bytes, or None

A Policy may be used by any number of threads. Load it after the last fork.
"""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from policy_server.builtins.network import Network, network_functions
from policy_server.builtins.registry import Registry
from policy_server.engine.policy import DEADLINE, MEMORY_LIMIT, SIZE, Policy
from policy_server.model.errors import InvalidModule, PolicyServerError
from policy_server.model.values import UNDEFINED, Json, JsonObject, Undefined
from policy_server.toolkit.location import find_toolkit
from policy_server.toolkit.toolkit import Toolkit
from policy_server.wasm.module import ModuleCache
from policy_server.wasm.strict import written

__all__ = ["UNDEFINED", "Function", "Network", "Policy", "PolicyServerError", "Undefined", "load"]

Function = Callable[..., Json | Undefined]
"""A builtin of the embedding program: JSON values in, a JSON value or UNDEFINED out."""


class _Shared:
    """What the policies of one process have in common; another one after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._modules: dict[tuple[int, Path | None], ModuleCache] = {}
        self._toolkits: dict[tuple[int, Path, Path], Toolkit] = {}

    def modules(self, cache: Path | None) -> ModuleCache:
        directory = None if cache is None else cache / "modules"
        with self._lock:
            return self._modules.setdefault((os.getpid(), directory), ModuleCache(directory))

    def toolkit(self, cache: Path | None, chosen: Path | None) -> Toolkit | None:
        found = find_toolkit(chosen)
        if found is None:
            return None
        # Making its machine code takes half a minute: it has to be kept somewhere.
        directory = (Path.home() / ".cache" / "policy-server" if cache is None else cache) / "toolkit"
        with self._lock:
            return self._toolkits.setdefault((os.getpid(), found, directory), Toolkit(found, cache=directory))


_shared = _Shared()


def load(
    wasm: bytes | Path,
    *,
    data: JsonObject | bytes | None = None,
    deadline: float = DEADLINE,
    memory_limit: int = MEMORY_LIMIT,
    builtins: Mapping[str, Function] | None = None,
    size: int = SIZE,
    cache: Path | None = None,
    toolkit: Path | None = None,
    network: Network | None = None,
) -> Policy:
    """Make a policy of a module that ``policy-server compile`` or ``opa build -t wasm`` made.

    Args:
        wasm: the module, or the file that holds it.
        data: the data document, as object or as JSON text of one.
        deadline: seconds for an evaluation that brings none of its own.
        memory_limit: bytes of memory for one evaluation, the data included.
        builtins: functions by name that the policy calls beside those of this
            product; they answer a JSON value or UNDEFINED, or raise BuiltinFailed.
        size: how many evaluations run at a time; others wait.
        cache: directory for machine code; None compiles modules at each start, and
            keeps the toolkit's in ``~/.cache/policy-server``.
        toolkit: the file opa-toolkit.wasm, needed only for functions that OPA
            leaves to the host (``sprintf``, ``time.format``…); found when it is installed.
        network: which hosts ``http.send`` and ``net.lookup_ip_addr`` may reach; None
            makes policies that call them fail to load.

    Raises:
        InvalidModule: this is not a module OPA made, or of another ABI.
        UnknownBuiltin: it calls functions nobody here answers.
        InvalidJson: the data is not a JSON object.
        MemoryExceeded: module and data do not fit into the limit.
        SettingsError: the network has an entry that cannot be read.
    """
    content = wasm if isinstance(wasm, bytes) else _read(wasm)
    modules = _shared.modules(cache)
    made = () if network is None else network_functions(network, _shared.toolkit(cache, toolkit), reason="")
    registry = Registry.discover(builtins, made=made)
    module = modules.load(content)  # held until the end: the cache does not
    if not registry.names() >= set(module.builtins.values()):  # twins are never among them
        registry = registry.bind(_shared.toolkit(cache, toolkit))
    text = data if data is None or isinstance(data, bytes) else written(data)
    return Policy.load(
        content, data=text, modules=modules, registry=registry, memory_limit=memory_limit, deadline=deadline, size=size
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidModule(f"{path} cannot be read: {error.strerror}") from error

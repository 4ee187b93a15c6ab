"""All functions beyond OPA's that need settings: neighbours, the store, an operator's own."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from policy_server.builtins import cache, did, ocm, proof, storage, task, train
from policy_server.builtins import signer as signing
from policy_server.builtins.adapter import adapted
from policy_server.builtins.adapter_file import read_adapters, wrong_name
from policy_server.builtins.declare import ANY, Builtin, OnFailure
from policy_server.builtins.opa import NAMES, NATIVE, NETWORK
from policy_server.builtins.plugins import plugins
from policy_server.builtins.registry import Registry
from policy_server.model.errors import SettingsError
from policy_server.neighbours.cache import CacheService
from policy_server.neighbours.link import Link
from policy_server.neighbours.ocm import Ocm
from policy_server.neighbours.resolver import Resolver
from policy_server.neighbours.signer import Signer
from policy_server.neighbours.tasks import Tasks
from policy_server.neighbours.train import Train
from policy_server.net.caching import AnswerCache
from policy_server.ports import Bearer, CacheStore, ValueStore

_KEPT: Final = 4 << 20
"""Memory of each worker for answers that functions of the file keep across evaluations, in bytes."""


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the functions have behind them; times are in seconds.

    Addresses are empty where there is no such neighbour. ``values`` and ``cache`` keep what
    policies keep, ``bearer`` has our token for neighbours that want one. ``on_failure`` has
    patterns of names with what a failure is, of which the last that fits counts. ``file``
    describes own functions, whose headers may name ``variables``; ``plugins`` are patterns
    of entry points.
    """

    cache_url: str = ""
    task_url: str = ""
    signer_url: str = ""
    did_resolver_url: str = ""
    ocm_url: str = ""
    train_url: str = ""
    timeout: float = 30.0
    max_bytes: int = 4 << 20
    values: ValueStore | None = None
    cache: CacheStore | None = None
    cache_ttl: float = 0.0
    cache_flatten: str = "merge"
    bearer: Bearer | None = None
    invalid_is_false: bool = False
    on_failure: Sequence[tuple[str, OnFailure]] = ()
    file: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    plugins: Sequence[str] = ()


def extension_functions(wanted: Extensions) -> tuple[Builtin, ...]:
    """Return every function that OPA does not have; those of this room that need nothing are among them.

    Raises:
        SettingsError: the file or a plugin cannot be used, a name is taken, or a pattern fits no function.
    """
    own = (*_adapters(wanted), *plugins(wanted.plugins))
    given = (*Registry.discover().builtins(), *_neighbours(wanted))
    _check_names(own, {each.name for each in given} | NAMES | NATIVE | NETWORK, wanted)
    ruled = {each.name: each for each in (*given, *own) if not each.known_to_opa}
    fixed = {name for name, each in ruled.items() if each.on_failure is not OnFailure.FAIL}
    for pattern, _ in wanted.on_failure:
        if not any(fnmatchcase(name, pattern) for name in ruled):
            raise SettingsError(f"POLICY_FUNCTION_ERRORS names {pattern!r}, which fits no function")
    return tuple(
        _typed(each) if name in fixed else _typed(replace(each, on_failure=_mode(name, wanted.on_failure)))
        for name, each in ruled.items()
    )


def _mode(name: str, rules: Sequence[tuple[str, OnFailure]]) -> OnFailure:
    fitting = [mode for pattern, mode in rules if fnmatchcase(name, pattern)]
    return fitting[-1] if fitting else OnFailure.FAIL


def _typed(each: Builtin) -> Builtin:
    """Let policies look at the failure: compilers refuse ``.error`` of a string."""
    return replace(each, result=ANY) if each.on_failure is OnFailure.VALUE else each


def _neighbours(wanted: Extensions) -> tuple[Builtin, ...]:
    resolver = Resolver(_link(wanted, "DID resolver", wanted.did_resolver_url, "POLICY_DID_RESOLVER_URL"))
    tasks = Tasks(_link(wanted, "task service", wanted.task_url, "POLICY_TASK_URL"))
    signer = Signer(_link(wanted, "signer", wanted.signer_url, "POLICY_SIGNER_URL"))
    return (
        *cache.functions(_cache(wanted)),
        *did.functions(resolver),
        *task.functions(tasks),
        *proof.functions(signer, invalid_is_false=wanted.invalid_is_false),
        *signing.functions(signer),
        *ocm.functions(Ocm(_link(wanted, "OCM service", wanted.ocm_url, "POLICY_OCM_URL"))),
        *train.functions(Train(_link(wanted, "trusted content resolver", wanted.train_url, "POLICY_TRAIN_URL"))),
        *storage.functions(wanted.values),
    )


def _cache(wanted: Extensions) -> cache.Cache | None:
    ttl, flatten = wanted.cache_ttl, wanted.cache_flatten
    if wanted.cache_url:
        link = _link(wanted, "cache service", wanted.cache_url, "POLICY_CACHE_URL")
        return cache.ServiceCache(CacheService(link, ttl=ttl, flatten=flatten))
    return None if wanted.cache is None else cache.StoredCache(wanted.cache, ttl=ttl, flatten=flatten)


def _link(wanted: Extensions, name: str, url: str, setting: str, timeout: float | None = None) -> Link:
    seconds = wanted.timeout if timeout is None else min(timeout, wanted.timeout)
    return Link(name, url, setting=setting, timeout=seconds, max_bytes=wanted.max_bytes, bearer=wanted.bearer)


def _adapters(wanted: Extensions) -> tuple[Builtin, ...]:
    if wanted.file is None:
        return ()
    kept = AnswerCache(_KEPT)
    return tuple(
        adapted(each, _link(wanted, f"server of {each.name}", origin, str(wanted.file), each.timeout), kept)
        for origin, each in read_adapters(wanted.file, wanted.variables)
    )


def _check_names(own: Sequence[Builtin], taken: Collection[str], wanted: Extensions) -> None:
    names = [each.name for each in own]
    where = ", ".join(filter(None, (str(wanted.file or ""), *wanted.plugins)))
    for name in names:
        if names.count(name) > 1 or name in taken:
            raise SettingsError(f"there are two functions called {name}; rename the one of {where}")
        for problem in wrong_name(name):
            raise SettingsError(f"the function {name!r} of {where} cannot be used: {problem}")

"""Which functions beyond OPA's there are, as the settings say."""

from policy_server.builtins.declare import Builtin, OnFailure
from policy_server.builtins.extensions import Extensions, extension_functions
from policy_server.ports import Bearer, CacheStore, ValueStore
from policy_server.settings import Settings


def extensions(
    settings: Settings,
    *,
    values: ValueStore | None = None,
    cache: CacheStore | None = None,
    bearer: Bearer | None = None,
) -> tuple[Builtin, ...]:
    """Return the functions, on this store and with this token; SettingsError when they cannot be made."""
    return extension_functions(
        Extensions(
            cache_url=settings.cache_url,
            task_url=settings.task_url,
            signer_url=settings.signer_url,
            did_resolver_url=settings.did_resolver_url,
            ocm_url=settings.ocm_url,
            train_url=settings.train_url,
            timeout=settings.neighbour_timeout,
            max_bytes=settings.neighbour_max_bytes,
            values=values,
            cache=cache,
            cache_ttl=settings.cache_ttl,
            cache_flatten=settings.cache_flatten,
            bearer=bearer,
            invalid_is_false=settings.invalid_proof == "false",
            on_failure=tuple((name, OnFailure(word)) for name, word in settings.function_errors),
            file=settings.functions,
            variables=settings.environment,
            plugins=settings.function_plugins,
        )
    )

"""``storage.*`` and ``cache.*`` of policies on every backend."""

import pytest
from extension_calls import Extended, new_call

from policy_server.model.cache import CacheKey
from policy_server.model.errors import BuiltinFailed
from policy_server.ports import Store

VALUE = {"name": "größe", "n": 12345678901234567890123, "list": [None, True, 1.5], "nul": "\0"}


def on(store: Store, **options: object) -> Extended:
    """Return the functions of an installation on a store."""
    return Extended(values=store.values, cache=store.cache, **options)


def test_values_are_kept_replaced_and_forgotten(store: Store) -> None:
    """By every later evaluation."""
    ask = on(store)

    assert ask("storage.set", "k", VALUE) is None
    assert ask("storage.get", "k") == VALUE
    ask("storage.set", "k", {"a": 1})
    assert ask("storage.get", "k") == {"a": 1}
    assert ask("storage.delete", "k") is None
    with pytest.raises(BuiltinFailed, match=r"storage\.get: there is no value with this key") as caught:
        ask("storage.get", "k")
    assert caught.value.code == "missing"


def test_what_is_not_there_cannot_be_forgotten(store: Store) -> None:
    """As in the policy service."""
    with pytest.raises(BuiltinFailed, match="there is no value with this key"):
        on(store)("storage.delete", "k")


def test_all_policies_share_the_keys(store: Store) -> None:
    """What one installation writes another reads."""
    on(store)("storage.set", "k", {"a": 1})

    assert on(store)("storage.get", "k") == {"a": 1}


def test_a_write_happens_once_in_an_evaluation(store: Store) -> None:
    """And stays, whatever becomes of the evaluation; what was read stays what it was."""
    ask, call = on(store), new_call()

    ask("storage.set", "k", {"a": 1}, call=call)
    assert ask("storage.get", "k", call=call) == {"a": 1}
    ask("storage.set", "k", {"a": 2})  # another evaluation
    ask("storage.set", "k", {"a": 1}, call=call)

    assert ask("storage.get", "k", call=call) == {"a": 1}
    assert store.values.get("k") == {"a": 2}


def test_cached_values_have_namespace_and_scope(store: Store) -> None:
    """A value is found under all three names only."""
    ask = on(store)

    assert ask("cache.set", "k", "n", "s", VALUE) == "success"

    assert ask("cache.get", "k", "n", "s") == VALUE
    for names in (("k", "", ""), ("k", "n", ""), ("k", "", "s"), ("x", "n", "s")):
        found = ask("cache.get", *names)
        assert (found["kind"], found["message"], len(found["id"])) == (5, "key not found in cache", 16)


def test_the_servers_own_namespaces_are_closed(store: Store) -> None:
    """What the server keeps there, such as how Git repositories are doing, is neither read nor forged by policies."""
    store.cache.put(CacheKey("policies", "policy-server:git", "state"), {"commit": "c"}, until=None)
    ask = on(store)

    with pytest.raises(BuiltinFailed, match="the server's own"):
        ask("cache.get", "policies", "policy-server:git", "state")
    with pytest.raises(BuiltinFailed, match="the server's own"):
        ask("cache.set", "policies", "policy-server:git", "state", {"commit": "x"})


def test_cached_values_run_out_when_the_operator_says_so(store: Store) -> None:
    """By the evaluation's own time."""
    ask = on(store, cache_ttl=60.0)

    ask("cache.set", "k", "", "", {"a": 1}, call=new_call(now=1000.0))

    assert ask("cache.get", "k", "", "", call=new_call(now=1059.0)) == {"a": 1}
    assert ask("cache.get", "k", "", "", call=new_call(now=1060.0))["kind"] == 5


@pytest.mark.parametrize(
    ("flatten", "expected"),
    [
        ("merge", {"k": 1, "only": True, "k_1": 2, "k_2": 3}),
        ("first", {"k": 1}),
        ("last", {"k": 3}),
    ],
)
def test_several_scopes_are_joined(flatten: str, expected: object, store: Store) -> None:
    """Those that are there, in the order they are asked for."""
    ask = on(store, cache_flatten=flatten)
    for scope, value in (("a", {"k": 1}), ("b", {"k": 2, "only": True}), ("c", {"k": 3})):
        ask("cache.set", "key", "n", scope, value)

    assert ask("cache.get", "key", "n", "a, missing,b,c") == expected


def test_what_was_written_to_a_list_of_scopes_is_found_there(store: Store) -> None:
    """One write, one value."""
    ask = on(store)

    ask("cache.set", "key", "", "a,b", {"k": 1})

    assert ask("cache.get", "key", "", "a,b") == {"k": 1}


def test_only_objects_are_merged(store: Store) -> None:
    """Others, such as kept results, have no members to join."""
    for scope in ("a", "b"):
        store.cache.put(CacheKey("key", "", scope), [1], until=None)
    ask = on(store)

    assert ask("cache.get", "key", "", "a") == [1]
    with pytest.raises(BuiltinFailed, match="only when all are objects"):
        ask("cache.get", "key", "", "a,b")

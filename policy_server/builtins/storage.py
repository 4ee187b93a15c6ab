"""``storage.*``: values of policies in the server's own store, under keys that all policies share.

Source of the rules: the policy service's specification, section 6.8. A write happens at most once
an evaluation for the same arguments, at once, and is not undone when the evaluation fails later.
"""

from typing import Final

from policy_server.builtins.call import Call
from policy_server.builtins.declare import OBJECT, Builtin, builtin
from policy_server.builtins.waiting import stored
from policy_server.model.errors import BuiltinFailed, ValueNotFound
from policy_server.model.values import Json, JsonObject
from policy_server.ports import ValueStore

_NULL: Final[JsonObject] = {"type": "null"}


def functions(store: ValueStore | None) -> tuple[Builtin, ...]:
    """Return ``storage.get``, ``storage.set`` and ``storage.delete`` on a store; without one they fail."""

    @builtin("storage.get", args=("string",), result=OBJECT, nondeterministic=True, blocking=True)
    def get(call: Call, key: str) -> Json:
        values = _usable(store, key)
        return stored(call, lambda: _found(values, key))

    @builtin("storage.set", args=("string", OBJECT), result=_NULL, nondeterministic=True, blocking=True, changes=True)
    def put(call: Call, key: str, data: JsonObject) -> Json:
        values = _usable(store, key)
        stored(call, lambda: values.set(key, data))
        return None

    @builtin("storage.delete", args=("string",), result=_NULL, nondeterministic=True, blocking=True, changes=True)
    def delete(call: Call, key: str) -> Json:
        values = _usable(store, key)
        stored(call, lambda: _deleted(values, key))
        return None

    return (get, put, delete)


storage_get, storage_set, storage_delete = functions(None)


def _usable(store: ValueStore | None, key: str) -> ValueStore:
    if not key.strip():
        raise BuiltinFailed("the key is empty", code="argument")
    if store is None:
        raise BuiltinFailed("there is no store here; the server has one", code="unconfigured")
    return store


def _found(values: ValueStore, key: str) -> Json:
    try:
        return values.get(key)
    except ValueNotFound as error:
        raise _unknown() from error


def _deleted(values: ValueStore, key: str) -> None:
    try:
        values.delete(key)
    except ValueNotFound as error:
        raise _unknown() from error


def _unknown() -> BuiltinFailed:
    return BuiltinFailed("there is no value with this key", code="missing")

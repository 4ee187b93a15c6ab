"""``storage.*`` and ``cache.*`` when the store is not as it should be."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from extension_calls import Extended, new_call
from sqlalchemy import event

from policy_server.model.cache import CacheKey
from policy_server.model.errors import BuiltinFailed, EvaluationTimeout, InvalidParameter, StoreUnavailable
from policy_server.model.values import Json
from policy_server.ports import Store
from policy_server.storage.opening import open_store

CALLS: dict[str, tuple[object, ...]] = {
    "storage.get": ("k",),
    "storage.set": ("k", {}),
    "storage.delete": ("k",),
    "cache.get": ("k", "", ""),
    "cache.set": ("k", "", "", {}),
}


class Hanging:
    """A store of values and of cached values that answers nothing until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.done = threading.Event()

    def get(self, key: str | CacheKey, **_: object) -> Json:
        """Hang."""
        return self._wait({"a": 1})

    def set(self, key: str, value: Json) -> None:
        """Hang."""
        self._wait(None)

    def put(self, key: CacheKey, value: Json, **_: object) -> None:
        """Hang."""
        self._wait(None)

    def delete(self, key: str) -> None:
        """Hang."""
        self._wait(None)

    def purge(self, at: object) -> int:
        """Drop nothing."""
        return 0

    def _wait(self, value: Json) -> Json:
        self.go.wait(30)
        self.done.set()
        return value


class Down:
    """A store that cannot be reached."""

    def get(self, *_: object, **__: object) -> Json:
        """Fail."""
        raise StoreUnavailable("the database is away.")

    set = put = delete = purge = get


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    """A store that hangs until the test is over."""
    store = Hanging()
    yield store
    store.go.set()


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_store_that_hangs_costs_the_evaluation_its_time(name: str, hanging: Hanging) -> None:
    """And no more: the evaluation ends at its deadline."""
    with pytest.raises(EvaluationTimeout, match="the store did not answer in time"):
        Extended(values=hanging, cache=hanging)(name, *CALLS[name], call=new_call(seconds=0.05))


def test_a_write_that_nobody_waits_for_may_still_be_done(hanging: Hanging) -> None:
    """It is not taken back."""
    with pytest.raises(EvaluationTimeout):
        Extended(values=hanging)("storage.set", "k", {}, call=new_call(seconds=0.05))

    hanging.go.set()

    assert hanging.done.wait(10)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_store_that_is_away_is_an_error_of_the_function(name: str) -> None:
    """So that a policy may take it as a value."""
    with pytest.raises(BuiltinFailed, match="the database is away") as caught:
        Extended(values=Down(), cache=Down())(name, *CALLS[name])

    assert caught.value.code == "store"


class Picky:
    """A store that cannot keep what it is given."""

    def get(self, *_: object, **__: object) -> Json:
        """Refuse."""
        raise InvalidParameter("the database cannot keep text with a NUL character.")

    set = put = delete = purge = get


@pytest.mark.parametrize("name", sorted(CALLS))
def test_what_a_store_cannot_keep_is_an_error_of_the_function(name: str) -> None:
    """And not of the caller's request, which knows nothing of keys."""
    with pytest.raises(BuiltinFailed, match="cannot keep text with a NUL") as caught:
        Extended(values=Picky(), cache=Picky())(name, *CALLS[name])

    assert caught.value.code == "argument"


@pytest.mark.parametrize("name", sorted(CALLS))
def test_without_a_store_the_functions_say_so(name: str) -> None:
    """In programs that embed policies."""
    with pytest.raises(BuiltinFailed, match="the server has one") as caught:
        Extended()(name, *CALLS[name])

    assert caught.value.code == "unconfigured"


@pytest.mark.parametrize("name", sorted(CALLS))
def test_no_key_is_blank(name: str) -> None:
    """Whatever else is given."""
    with pytest.raises(BuiltinFailed, match="the key is empty"):
        Extended()(name, " ", *CALLS[name][1:])


def test_only_objects_are_stored() -> None:
    """The compiler says so, too, where it can see it."""
    with pytest.raises(BuiltinFailed, match="operand 2 must be object but got array"):
        Extended()("storage.set", "k", [1])


def test_a_writer_that_keeps_the_database_does_not_keep_the_evaluation(tmp_path: Path) -> None:
    """Reading goes on, writing waits until the evaluation's end."""
    store = open_store(f"sqlite:///{tmp_path / 'p.db'}")
    store.values.set("k", {"a": 1})
    ask = Extended(values=store.values)
    with closing(sqlite3.connect(tmp_path / "p.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        assert ask("storage.get", "k") == {"a": 1}
        with pytest.raises(EvaluationTimeout):
            ask("storage.set", "k", {"a": 2}, call=new_call(seconds=0.2))
        other.execute("ROLLBACK")

    # A later write has its turn after the one that nobody waits for.
    ask("storage.set", "k", {"a": 3})
    assert ask("storage.get", "k")["a"] in {2, 3}
    store.close()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Store]:
    """An SQLite store all of whose connections refuse to write."""
    store = open_store(f"sqlite:///{tmp_path / 'p.db'}")
    store.values.set("k", {"a": 1})
    # Not by the file's mode, which means nothing to root.
    engine = store._database._pool()  # type: ignore[attr-defined]
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("PRAGMA query_only = ON"))
    yield store
    store.close()


def test_a_store_that_only_reads_still_reads(read_only: Store) -> None:
    """And what it refuses is an error of the function."""
    ask = Extended(values=read_only.values, cache=read_only.cache)

    assert ask("storage.get", "k") == {"a": 1}
    for name in ("storage.set", "storage.delete", "cache.set"):
        with pytest.raises(BuiltinFailed, match=r"p\.db") as caught:
            ask(name, *CALLS[name])
        assert caught.value.code == "store"
    assert ask("storage.get", "k") == {"a": 1}

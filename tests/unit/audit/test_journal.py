"""A change is on record before it is made, whatever happens then."""

import logging
from datetime import UTC, datetime

import pytest

from policy_server.audit.caller import Caller, work_for
from policy_server.audit.journal import Journal
from policy_server.model.audit import AuditFilter
from policy_server.model.errors import AlreadyLocked, StoreUnavailable
from policy_server.storage.memory import MemoryStore

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store() -> MemoryStore:
    """Give an empty store."""
    return MemoryStore()


@pytest.fixture
def journal(store: MemoryStore) -> Journal:
    """Give a journal in the store."""
    return Journal(store.audit, lambda: AT)


def outcomes(store: MemoryStore) -> list[str]:
    """Return the outcomes on record, oldest first."""
    return [each.outcome for each in store.audit.find(AuditFilter(), limit=10).records][::-1]


def test_the_record_comes_before_the_change(journal: Journal, store: MemoryStore) -> None:
    """Whoever dies in the middle leaves a record without a change, not a change without a record."""
    with journal.change("lock", "r/g/p/1", actor="ada", before="x", after="y"):
        assert outcomes(store) == ["ok"]

    assert outcomes(store) == ["ok"]


@pytest.mark.parametrize(("error", "outcome"), [(AlreadyLocked(), "already-locked"), (ZeroDivisionError(), "failed")])
def test_a_change_that_fails_is_corrected(journal: Journal, store: MemoryStore, error: Exception, outcome: str) -> None:
    """The error goes on; a second record says what became of the first."""
    with pytest.raises(type(error)), journal.change("lock", "r/g/p/1", actor="ada"):
        raise error

    assert sorted(outcomes(store)) == sorted(["ok", outcome])


def test_a_change_that_cannot_be_recorded_is_not_made() -> None:
    """The error comes before the change."""
    made = []

    with pytest.raises(StoreUnavailable), Journal(Full(0), lambda: AT).change("lock", "p", actor="ada"):
        made.append(1)

    assert made == []


def test_a_correction_that_cannot_be_recorded_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The error of the change itself is what the caller hears."""
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(AlreadyLocked),
        Journal(Full(1), lambda: AT).change("lock", "p", actor="ada"),
    ):
        raise AlreadyLocked

    assert "lock of p by ada: already-locked, which could not be recorded" in caplog.text


def test_the_caller_is_asked_when_the_record_is_written(journal: Journal, store: MemoryStore) -> None:
    """Address and request are those of the request this thread works for."""
    work_for(lambda: Caller("ada", "198.51.100.7", "r-1"))
    journal.note("publish", "p", actor="ada", outcome="compile-error")
    work_for(None)
    journal.note("publish", "p", actor="folder", outcome="compile-error")

    records = store.audit.find(AuditFilter(), limit=10).records
    assert {(each.actor, each.origin, each.request_id) for each in records} == {
        ("ada", "198.51.100.7", "r-1"),
        ("folder", "", ""),
    }


class Full:
    """A place for a few records only."""

    def __init__(self, room: int) -> None:
        self._room = room

    def record(self, record):
        """Take one, or fail."""
        if self._room == 0:
            raise StoreUnavailable("full")
        self._room -= 1
        return record

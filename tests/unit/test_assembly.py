"""What one process does beside the requests."""

import threading
import time
from datetime import timedelta

import pytest

from policy_server.assembly import assemble, now
from policy_server.model.audit import AuditFilter, AuditRecord
from policy_server.model.cache import CacheKey
from policy_server.model.errors import StoreUnavailable
from policy_server.model.logged import DecisionFilter, LoggedDecision
from policy_server.model.policy import Failure, PolicyId
from policy_server.model.status import State, Status
from policy_server.settings import load_settings
from policy_server.storage.shelf import moment_id


def test_what_ran_out_is_dropped() -> None:
    """Cached values at their end; events, audit records and decisions at the age that the settings say."""
    assembly = assemble(load_settings(environ={"POLICY_STORAGE_URL": "memory:", "POLICY_KEEP_AUDIT": "1h"}))
    store, at = assembly.store, now()
    store.cache.put(CacheKey("old"), 1, until=at)
    store.cache.put(CacheKey("new"), 1, until=at + timedelta(hours=1))
    for age in (1, 40):
        store.fail(PolicyId("r", "g", "n", str(age)), Failure("c", "m", at - timedelta(days=age), "d"))
        store.audit.record(AuditRecord(at - timedelta(hours=age - 0.5), "ada", "lock", "x"))
        made = at - timedelta(days=age)
        store.decisions.record(
            [LoggedDecision(moment_id(made), str(age), made, None, "", "", "", "", failed=False, body="{}")]
        )
    halt = threading.Event()

    tidying = threading.Thread(target=assembly.chores._tidy, args=(halt,))
    tidying.start()
    while len(store.decisions.find(DecisionFilter(), limit=9).decisions) > 1:
        time.sleep(0.01)
    halt.set()
    tidying.join()

    assert store.cache.purge(at) == 0
    assert store.cache.get(CacheKey("new"), at=at) == 1
    assert [event.policy.version for event in store.outbox.events(after=0, limit=9)] == ["1"]
    assert len(store.audit.find(AuditFilter(), limit=9).records) == 1
    assert [kept.decision_id for kept in store.decisions.find(DecisionFilter(), limit=9).decisions] == ["1"]
    assembly.close()


def test_a_package_is_found_when_the_store_is_away_at_the_first_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker learns at its start which policies there are."""
    assembly = assemble(load_settings(environ={"POLICY_STORAGE_URL": "memory:"}))
    assembly.open(background=False)

    def away() -> int:
        raise StoreUnavailable

    # Another store than this one cannot be taken away under an assembly.
    monkeypatch.setattr(assembly.store, "stamp", away)

    assert assembly.versions.find("pexip", "service") == PolicyId("bundled", "pexip", "service", "1.0")
    assembly.close()


def test_no_probe_waits_for_a_store_that_was_found_away() -> None:
    """What other processes keep there is not asked for then."""
    assembly = assemble(load_settings(environ={"POLICY_STORAGE_URL": "memory:"}))
    away = Status(State.DEGRADED, "the store is away", now())
    assembly.catalog._status = away
    asked: list[Status] = []

    def load() -> Status:
        asked.append(away)
        return Status(State.READY, "well", now())

    assert (assembly.chores.kept(load), asked) == (away, [])
    assembly.close()

"""What every shared store promises about processes that are killed."""

import hashlib
import random
from typing import Any

import pytest
from contract_processes import Worker
from contract_samples import publish, source
from contract_worker import data_of

from policy_server.model.policy import PolicyFilter
from policy_server.ports import Store
from policy_server.storage.opening import open_store

Standing = dict[str, dict[str, Any]]


@pytest.mark.parametrize("seed", range(6))
def test_what_was_acknowledged_is_there_after_kill_9(shared_url: str, seed: int) -> None:
    """A killed writer leaves all it acknowledged, plus the write it was in or not, and nothing by halves."""
    chance = random.Random(seed)
    standing: Standing = {}
    start = 0
    for _ in range(2):
        said = run_and_kill(shared_url, start, after=chance.randrange(60))

        store = open_store(shared_url)
        store.ping()
        for line in said:
            take(standing, line)
        start = follow_up(said, start)["number"]
        before, standing = standing, read(store)
        if standing != before:
            take(before, follow_up(said, start))
            assert standing == before
        assert_whole(store)
        store.close()
        start += 1


def run_and_kill(url: str, start: int, *, after: int) -> list[dict[str, Any]]:
    """Let a writer work until it acknowledged some writes, kill it in the next one, and return all it acknowledged."""
    with Worker(url, "stream", str(start)) as writer:
        writer.wait_ready()
        writer.tell("go")
        said = [writer.hear() for _ in range(after)]
        return said + writer.kill()


def take(standing: Standing, line: dict[str, Any]) -> None:
    """Note what one write changes; a policy that is new is unlocked and has no refresh state."""
    known = standing.setdefault(line["policy"], {"publish": None, "lock": False, "refresh": None})
    known[line["did"]] = line["value"] if line["did"] != "lock" else not known["lock"]


def follow_up(said: list[dict[str, Any]], start: int) -> dict[str, Any]:
    """Return the write that a worker which said this was in when it died."""
    last: dict[str, Any] = said[-1] if said else {"did": "refresh", "number": start - 1}
    did = {"publish": "lock", "lock": "refresh", "refresh": "publish"}[last["did"]]
    number = last["number"] + (did == "publish")
    value: str | int = f"m{number}" if did == "publish" else number
    return {"did": did, "policy": f"crash/g/n{number % 3}/1", "number": number, "value": value}


def read(store: Store) -> Standing:
    """Return what the store has, in the form of ``take``."""
    standing = {}
    for record in store.find(PolicyFilter(), limit=100).records:
        assert record.revision is not None
        state = store.refresh_state(record.id)
        standing[str(record.id)] = {
            "publish": record.revision.digest,
            "lock": record.locked,
            "refresh": None if state is None else state.failures,
        }
    return standing


def assert_whole(store: Store) -> None:
    """Every policy has all parts of its revision, from one and the same publish, and its change was told."""
    told = {change.id for change in store.changes(0) if change.what == "published"}
    for record in store.find(PolicyFilter(), limit=100).records:
        revision = record.revision
        assert revision is not None
        assert revision.source == source(record.id, mark=revision.digest, data="{}")
        assert revision.data == data_of(revision.digest)
        assert hashlib.sha256(store.module(revision.manifest.digest)).hexdigest() == revision.manifest.digest
        assert record.locked == (record.id in store.locks())
        assert record.id in told


def test_a_store_goes_on_after_a_writer_was_killed(shared_url: str) -> None:
    """The dead writer blocks nobody."""
    store = open_store(shared_url)
    run_and_kill(shared_url, 0, after=5)
    before = store.stamp()

    publish(store)

    assert store.stamp() == before + 1
    store.close()

"""What every shared store promises to several processes."""

from contextlib import ExitStack

from contract_processes import Worker
from contract_samples import POLICY, publish

from policy_server.model.policy import PolicyFilter
from policy_server.storage.opening import open_store


def test_a_lock_by_another_process_is_seen_by_the_next_stamp(shared_url: str) -> None:
    """In thousands of rounds, no stamp misses a lock or unlock that was acknowledged before."""
    store = open_store(shared_url)
    publish(store)
    last = store.stamp()

    with Worker(shared_url, "obey", str(POLICY)) as other:
        other.wait_ready()
        other.tell("go")
        for _ in range(1000):
            for order in ("lock", "unlock"):
                other.tell(order)
                assert other.hear()["did"] == order
                stamp = store.stamp()
                assert stamp == last + 1
                last = stamp
    assert store.locks() == frozenset()
    store.close()


def test_another_process_sees_what_is_locked(shared_url: str) -> None:
    """The set of locks is as committed now, whoever locked."""
    store = open_store(shared_url)
    publish(store)

    with Worker(shared_url, "obey", str(POLICY)) as other:
        other.wait_ready()
        other.tell("go")
        for order, locked in (("lock", frozenset({POLICY})), ("unlock", frozenset())) * 20:
            other.tell(order)
            other.hear()
            assert store.locks() == locked
    store.close()


def test_processes_that_write_at_once_wait_for_each_other(shared_url: str) -> None:
    """Nobody is told that the database is locked, nothing is lost, and stamps grow for everybody."""
    store = open_store(shared_url)
    names = ["a", "b", "c", "d"]
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(shared_url, "write", name, "40")) for name in names]
        for worker in workers:
            worker.wait_ready()
        for worker in workers:
            worker.tell("go")
        told = [[line["stamp"] for line in worker.finish()] for worker in workers]

    for stamps in told:
        assert stamps == sorted(set(stamps))
        assert len(stamps) == 80
    assert store.stamp() == 4 * 80
    records = store.find(PolicyFilter(), limit=10).records
    assert [(record.id.name, record.revision and record.revision.number) for record in records] == [
        (name, 40) for name in names
    ]
    store.close()


def test_of_processes_that_want_a_lease_exactly_one_gets_it(shared_url: str) -> None:
    """Every lease that is raced for has one winner."""
    open_store(shared_url).close()
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(shared_url, "race", name, "150")) for name in "abcd"]
        for worker in workers:
            worker.wait_ready()
        for worker in workers:
            worker.tell("go")
        won = [number for worker in workers for number in worker.finish()[0]["won"]]

    assert sorted(won) == list(range(150))


def test_processes_may_all_make_the_database_at_once(shared_url: str) -> None:
    """Whoever comes first makes it; the others wait and find it complete."""
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(shared_url, "open")) for _ in range(5)]
        for worker in workers:
            worker.wait_ready()
        for worker in workers:
            worker.tell("go")
        for worker in workers:
            assert worker.finish() == []

    store = open_store(shared_url)
    assert store.stamp() == 0
    store.close()

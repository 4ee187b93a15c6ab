"""What every store promises about leases, refresh state, and being there."""

import threading
from dataclasses import replace
from datetime import timedelta

from contract_samples import NOON, OTHER, POLICY, active, later, publish, refresh

from policy_server.model.policy import PolicyFilter, PolicyId
from policy_server.model.refresh import RefreshState
from policy_server.ports import Store


def test_a_free_lease_is_taken(store: Store) -> None:
    """The first one gets it, the second one does not."""
    assert store.acquire("job", "ada", until=later(10), at=NOON)
    assert not store.acquire("job", "bob", until=later(10), at=NOON)


def test_a_holder_renews_its_lease(store: Store) -> None:
    """A renewed lease lasts until its new end."""
    store.acquire("job", "ada", until=later(10), at=NOON)

    assert store.acquire("job", "ada", until=later(20), at=later(5))
    assert not store.acquire("job", "bob", until=later(30), at=later(15))


def test_a_lease_that_ran_out_is_taken_by_another(store: Store) -> None:
    """At its end, to the microsecond, it is free; one microsecond before it is not."""
    store.acquire("job", "ada", until=later(10), at=NOON)

    assert not store.acquire("job", "bob", until=later(99), at=later(10) - timedelta(microseconds=1))
    assert store.acquire("job", "bob", until=later(99), at=later(10))
    assert not store.acquire("job", "ada", until=later(99), at=later(11))


def test_a_holder_may_shorten_its_lease(store: Store) -> None:
    """Renewing replaces the end, also by an earlier one."""
    store.acquire("job", "ada", until=later(100), at=NOON)
    store.acquire("job", "ada", until=later(10), at=NOON)

    assert store.acquire("job", "bob", until=later(99), at=later(10))


def test_a_lease_given_back_is_free(store: Store) -> None:
    """Others need not wait for its end."""
    store.acquire("job", "ada", until=later(10), at=NOON)

    store.release("job", "ada")

    assert store.acquire("job", "bob", until=later(10), at=NOON)


def test_nobody_gives_back_the_lease_of_another(store: Store) -> None:
    """A release by somebody else, or of an unknown lease, does nothing."""
    store.acquire("job", "ada", until=later(10), at=NOON)

    store.release("job", "bob")
    store.release("unknown", "bob")

    assert not store.acquire("job", "bob", until=later(10), at=NOON)


def test_leases_with_different_names_are_independent(store: Store) -> None:
    """Each name is a right of its own."""
    assert store.acquire("one", "ada", until=later(10), at=NOON)
    assert store.acquire("two", "bob", until=later(10), at=NOON)


def test_refresh_state_comes_back_as_it_was_saved(store: Store) -> None:
    """Every field survives, also sizes past 32 bits."""
    publish(store)
    store.save_refresh(refresh())

    assert refresh() == store.refresh_state(POLICY)


def test_refresh_state_may_be_mostly_unknown(store: Store) -> None:
    """Absent fields stay None."""
    state = RefreshState(POLICY, "config", None)

    store.save_refresh(state)

    assert state == store.refresh_state(POLICY)


def test_refresh_state_is_replaced_whole(store: Store) -> None:
    """Nothing of the old state shows through the new one."""
    store.save_refresh(refresh())
    newer = RefreshState(POLICY, "other", later(1), failures=3)

    store.save_refresh(newer)

    assert newer == store.refresh_state(POLICY)
    assert [newer] == list(store.refresh_states())


def test_a_policy_without_a_schedule_has_no_refresh_state(store: Store) -> None:
    """None is the answer, not an error."""
    assert store.refresh_state(POLICY) is None
    assert list(store.refresh_states()) == []


def test_refresh_states_are_listed_in_the_order_of_ids(store: Store) -> None:
    """Whatever the order they were saved in."""
    first, last = PolicyId("A", "z", "z", "z"), PolicyId("z", "a", "a", "a")
    for policy in (last, POLICY, first, OTHER):
        store.save_refresh(refresh(policy))

    assert [first, OTHER, POLICY, last] == [state.id for state in store.refresh_states()]


def test_forgetting_refresh_state_touches_one_policy(store: Store) -> None:
    """Forgetting twice is fine."""
    store.save_refresh(refresh(POLICY))
    store.save_refresh(refresh(OTHER))

    store.drop_refresh(POLICY)
    store.drop_refresh(POLICY)

    assert [refresh(OTHER)] == list(store.refresh_states())


def test_publishing_keeps_the_refresh_state(store: Store) -> None:
    """New data from a refresh does not forget when the next one is due."""
    publish(store, mark="a")
    store.save_refresh(refresh())

    publish(store, mark="b")

    assert refresh() == store.refresh_state(POLICY)


def test_a_store_answers_and_may_be_closed_twice(store: Store) -> None:
    """Closing gives connections back; the next call opens new ones."""
    store.ping()
    publish(store)
    stamp = store.stamp()

    store.close()
    store.close()

    assert stamp == store.stamp()
    store.ping()


def test_threads_share_a_store(store: Store) -> None:
    """Writers and readers in many threads neither fail nor lose anything."""
    errors: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            last = 0
            for number in range(15):
                publish(store, replace(POLICY, name=f"n{worker}"), mark=f"{worker}-{number}")
                stamp = store.stamp()
                assert stamp > last
                last = stamp
                assert number + 1 == active(store, replace(POLICY, name=f"n{worker}")).number
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert store.stamp() == 6 * 15
    assert len(store.find(PolicyFilter(), limit=10).records) == 6

"""Every change is told once, however many deliver, and nothing else is told."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from event_receivers import Receiver
from events_world import POLICY, World, running
from span_recorder import recording

from policy_server.background import Background, Job
from policy_server.events.cloud import CloudEventsHttp
from policy_server.events.deliverer import Deliverer
from policy_server.events.payloads import Form
from policy_server.events.standing import Standing
from policy_server.model.errors import StoreUnavailable
from policy_server.model.event import ChangeEvent, DeliveryState
from policy_server.model.policy import PolicyId
from policy_server.model.refresh import RefreshState
from policy_server.model.status import State, Status
from policy_server.storage.opening import open_store

Receivers = Callable[..., Receiver]


def test_every_kind_of_change_is_told_in_order(world: World, receivers: Receivers) -> None:
    """Published, locked, unlocked, deleted; to CloudEvents sinks as to subscribers."""
    receiver = receivers(202)
    deliverer = world.deliverer(CloudEventsHttp([receiver.url], world.client, form=Form.CHANGED))

    world.publish()
    world.store.lock(POLICY, world.now, actor="bob")
    world.store.unlock(POLICY, world.now)
    world.store.delete(POLICY, actor="eve", at=world.now)
    world.deliver(deliverer)

    told = [(call.json["data"]["change"], call.json["data"]["actor"]) for call in receiver.calls]
    assert told == [("published", "ada"), ("locked", "bob"), ("unlocked", ""), ("deleted", "eve")]
    assert {call.headers["content-type"] for call in receiver.calls} == {"application/cloudevents+json; charset=utf-8"}
    assert [call.json["id"] for call in receiver.calls] == [
        event.id for event in world.store.outbox.events(after=0, limit=9)
    ]


def test_bookkeeping_is_told_to_nobody(world: World, receivers: Receivers) -> None:
    """Leases, the state of refreshes, and publishing what is there already."""
    receiver = receivers(200)
    world.publish()
    deliverer = world.deliverer()
    world.deliver(deliverer)
    world.subscribe(receiver.url)

    world.store.acquire("lease", "me", until=world.now + timedelta(seconds=9), at=world.now)
    state = RefreshState(POLICY, "config", world.now, None, None, None, None, None, 0)
    world.store.save_refresh(state)
    world.publish()
    world.deliver(deliverer)

    assert (receiver.calls, list(world.deliveries())) == ([], [])


def test_several_deliverers_on_one_store_deliver_once(tmp_path: Path, receivers: Receivers) -> None:
    """Even without the lease that normally keeps all but one idle."""
    url = f"sqlite:///{tmp_path}/policies.db"
    worlds = [World(open_store(url)) for _ in range(3)]
    receiver = receivers(200)
    worlds[0].publish()
    worlds[0].deliver(worlds[0].deliverer())
    for number in range(3):
        worlds[0].subscribe(receiver.url, f"number {number}")

    loops = [running(world.deliverer()) for world in worlds]
    for number in range(20):
        worlds[number % 3].publish(f"number {number}")
    calls = receiver.wait(60)
    for halt, thread in loops:
        halt.set()
        thread.join(60)

    assert len({call.headers["webhook-id"] for call in calls}) == 20
    assert len(receiver.calls) == 60
    assert {each.state for each in worlds[0].deliveries()} == {DeliveryState.DELIVERED}
    for world in worlds:
        world.store.close()


def test_one_that_hangs_delays_nobody_else(world: World, receivers: Receivers) -> None:
    """Its deliveries wait in a lane of their own."""
    hanging, quick = receivers(0), receivers(200)
    world.publish()
    deliverer = world.deliverer()
    world.deliver(deliverer)
    for number, receiver in enumerate([hanging, quick]):
        world.subscribe(receiver.url, f"number {number}")

    halt, thread = running(deliverer)
    for number in range(3):
        world.publish(f"number {number}")
    hanging.wait(1)
    quick.wait(3)
    stuck = len(hanging.calls)
    hanging.release()
    halt.set()
    thread.join(60)

    assert stuck == 1
    assert not thread.is_alive()


def test_nobody_is_told_what_happened_before_they_subscribed(world: World, receivers: Receivers) -> None:
    """An event is handed to the targets there are when it is found."""
    receiver = receivers(200)
    world.publish()
    deliverer = world.deliverer()
    world.deliver(deliverer)

    world.subscribe(receiver.url)
    world.deliver(deliverer)

    assert receiver.calls == []


def test_a_claim_that_nearly_ran_out_is_left_to_the_next(world: World, receivers: Receivers) -> None:
    """Whoever claims it later would deliver it too."""
    receiver = receivers(200)
    world.publish()
    world.subscribe(receiver.url)
    deliverer = world.deliverer()

    class Slow:
        """A sink that takes very long."""

        kind, ours = "slow", True
        backoff = world.webhooks.backoff

        def targets(self, policy: PolicyId) -> list[str]:
            """Return one target."""
            return ["slow:one"]

        def send(self, target: str, event: ChangeEvent) -> None:
            """Let time go by."""
            sent.append(event.stamp)
            world.pass_by(15)

        def close(self) -> None:
            """Do nothing."""

    sent: list[int] = []
    deliverer = world.deliverer(Slow())
    for number in range(3):
        world.publish(f"number {number}")
    world.deliver(deliverer)

    # Claims last 18 seconds: the second one has only three left.
    assert len(sent) == 1
    assert [each.attempts for each in world.deliveries() if each.target == "slow:one"] == [1, 1, 1, 1]


def test_a_stop_gives_back_what_was_not_begun(world: World, receivers: Receivers) -> None:
    """Another process takes it at once instead of waiting for the claim to run out."""
    began, go_on = threading.Event(), threading.Event()

    class Waiting:
        """A sink that waits to be told."""

        kind, ours = "waiting", True
        backoff = world.webhooks.backoff

        def targets(self, policy: PolicyId) -> list[str]:
            """Return one target."""
            return ["waiting:one"]

        def send(self, target: str, event: ChangeEvent) -> None:
            """Wait."""
            began.set()
            assert go_on.wait(60)

        def close(self) -> None:
            """Do nothing."""

    for number in range(3):
        world.publish(f"number {number}")
    halt, thread = running(world.deliverer(Waiting()))
    assert began.wait(60)
    halt.set()
    go_on.set()
    thread.join(60)

    left = [each for each in world.deliveries() if each.state is DeliveryState.PENDING]
    assert [each.next_attempt for each in left] == [world.now, world.now]


def test_troubles_of_our_own_sinks_show_on_health_pages(world: World, receivers: Receivers) -> None:
    """Those of subscribers do not: they are not ours to mend."""
    ours, theirs = receivers(500, 200), receivers(500)
    sink = CloudEventsHttp([ours.url], world.client, form=Form.LEGACY)
    deliverer = world.deliverer(sink)
    world.publish()
    world.subscribe(theirs.url)

    halt, thread = running(deliverer)
    while deliverer.status().state is not State.DEGRADED:
        threading.Event().wait(0.02)
    (target,) = sink.targets(POLICY)
    assert deliverer.status().message == f"{target}: the receiver answered 500"
    world.pass_by(5)
    while deliverer.status().state is not State.READY:
        threading.Event().wait(0.02)
    halt.set()
    thread.join(60)

    assert sorted(set(world.counts.results)) == [("http", "delivered"), ("http", "retry"), ("webhook", "retry")]


def test_health_pages_do_not_name_addresses(world: World, receivers: Receivers) -> None:
    """They are open to everybody, and a path may be a secret; the list of deliveries is not."""
    receiver = receivers(200)
    receiver.close()
    sink = CloudEventsHttp([receiver.url], world.client, form=Form.LEGACY)
    deliverer = world.deliverer(sink)
    world.publish()

    halt, thread = running(deliverer)
    while deliverer.status().state is not State.DEGRADED:
        threading.Event().wait(0.02)
    halt.set()
    thread.join(60)

    (target,) = sink.targets(POLICY)
    assert deliverer.status().message == f"{target}: the receiver does not answer"
    assert receiver.url in str(world.deliveries()[0].error)


def test_processes_that_do_not_deliver_know_how_it_goes(world: World, receivers: Receivers) -> None:
    """Whichever of them a probe asks; through the store."""
    ours = receivers(500, 200)
    there = Standing(world.store.cache, world.clock)
    deliverer = world.deliverer(CloudEventsHttp([ours.url], world.client, form=Form.LEGACY))
    assert there.load().message == "delivered by another process"
    world.publish()

    halt, thread = running(deliverer)
    while there.load().state is not State.DEGRADED:
        threading.Event().wait(0.02)
    assert there.load() == deliverer.status()
    world.pass_by(5)
    while there.load().state is not State.READY:
        threading.Event().wait(0.02)
    halt.set()
    thread.join(60)


def test_a_status_that_could_not_be_kept_is_kept_later(world: World) -> None:
    """The store may be away just then; the deliverer goes on."""
    kept: list[Status] = []
    failures = iter([StoreUnavailable("away")] * 3)

    def share(status: Status) -> None:
        if failure := next(failures, None):
            raise failure
        kept.append(status)

    outbox, stamp = world.store.outbox, world.store.stamp
    deliverer = Deliverer(outbox, stamp, [], world.clock, world.counts, patience=6, poll=0.01, share=share)
    halt, thread = running(deliverer)
    while not kept:
        threading.Event().wait(0.02)
    halt.set()
    thread.join(60)

    assert [(each.state, each.message) for each in kept] == [(State.READY, "delivering")]


def test_a_store_that_is_away_is_waited_for(world: World, receivers: Receivers) -> None:
    """Health says so; when it is back, what waited is told."""
    receiver = receivers(200)
    world.publish()
    world.subscribe(receiver.url)
    away = threading.Event()
    away.set()

    def stamp() -> int:
        if away.is_set():
            raise StoreUnavailable("the store is away")
        return world.store.stamp()

    deliverer = Deliverer(world.store.outbox, stamp, [world.webhooks], world.clock, world.counts, patience=6, poll=0.01)
    halt, thread = running(deliverer)
    while deliverer.status().state is not State.DEGRADED:
        threading.Event().wait(0.02)
    away.clear()
    receiver.wait(1)
    halt.set()
    thread.join(60)

    assert deliverer.status().state is State.READY


@pytest.mark.parametrize("count", [0, 3])
def test_how_many_wait_is_told_to_metrics(world: World, receivers: Receivers, count: int) -> None:
    """Counted when something was claimed, and every few seconds."""
    receiver = receivers(500)
    world.publish()
    deliverer = world.deliverer()
    world.deliver(deliverer)
    for number in range(count):
        world.subscribe(receiver.url, f"number {number}")
    world.publish("b")
    world.deliver(deliverer)
    world.pass_by(5)
    world.deliver(deliverer)

    assert world.counts.pending[-1] == count


def test_the_job_runs_under_the_background_lease(world: World, receivers: Receivers) -> None:
    """Of two processes only the holder delivers."""
    receiver = receivers(200)
    world.publish()
    world.subscribe(receiver.url)
    stop = threading.Event()
    deliverers = [world.deliverer(), world.deliverer()]
    holders = [
        Background([Job("events", deliverer.run)], world.store, world.clock, holder=str(number))
        for number, deliverer in enumerate(deliverers)
    ]
    held = [holder.renew() for holder in holders]
    receiver.wait(1)
    stop.set()
    for holder in holders:
        holder.supervise(stop)

    assert held == [True, False]
    assert deliverers[1].status().message == "nothing to deliver yet"


def test_each_attempt_is_a_trace(world: World, receivers: Receivers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was told, in which attempt, and that it failed; not where the receiver is, beyond its host."""
    receiver = receivers(500, 200)
    world.publish()
    deliverer = world.deliverer()
    world.deliver(deliverer)
    world.subscribe(f"{receiver.url}?token=geheim")
    world.publish("b")

    with recording(monkeypatch) as recorder:
        world.deliver(deliverer)
        world.pass_by(3600)
        world.deliver(deliverer)

    tried = [each for each in recorder.spans if each.name == "event.deliver"]
    assert [(each.parent, each.failure is None, each.attributes["event.attempt"]) for each in tried] == [
        (None, False, 1),
        (None, True, 2),
    ]
    assert [recorder.children(each) for each in tried] == [["POST"], ["POST"]]
    assert tried[0].attributes["event.sink"] == "webhook"
    assert "geheim" not in str([each.attributes for each in recorder.spans])

"""A second process on the same store, for the contract tests.

Started as ``contract_worker.py URL TASK [ARGUMENT…]``; says ``ready`` when the
store is open, waits for a line, then works and prints one line for every write
that the store acknowledged, and for nothing else.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from contract_samples import NOON, compiled, later, refresh, source

from policy_server.events.deliverer import Deliverer
from policy_server.events.webhooks import Webhooks
from policy_server.model.change import Publication
from policy_server.model.policy import Failure, PolicyId
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard
from policy_server.ports import Store
from policy_server.storage.opening import open_store


def data_of(mark: str) -> str:
    """Make a data document of about 100 kB that tells which publish it belongs to."""
    return json.dumps({"mark": mark, "filling": mark * (100_000 // len(mark))})


def say(**line: object) -> None:
    """Print one acknowledgement."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def stream(store: Store, start: str) -> None:
    """Publish, lock or unlock, save refresh state, for ever; ``start`` is the first number."""
    number = int(start)
    while True:
        policy = PolicyId("crash", "g", f"n{number % 3}", "1")
        mark = f"m{number}"
        store.publish(
            source(policy, mark=mark, data="{}"), compiled(mark), data=data_of(mark), digest=mark, author="w", at=NOON
        )
        say(did="publish", policy=str(policy), number=number, value=mark)
        (store.unlock if store.get(policy).locked else store.lock)(policy, NOON)
        say(did="lock", policy=str(policy), number=number)
        store.save_refresh(refresh(policy, failures=number))
        say(did="refresh", policy=str(policy), number=number, value=number)
        number += 1


def write(store: Store, name: str, count: str) -> None:
    """Publish and lock as fast as possible; tell the stamp after every write."""
    policy = PolicyId("busy", "g", name, "1")
    for number in range(int(count)):
        mark = f"{name}-{number}"
        store.publish(source(policy, mark=mark), compiled(mark), data=data_of(mark), digest=mark, author="w", at=NOON)
        say(stamp=store.stamp())
        (store.unlock if number % 2 else store.lock)(policy, NOON)
        say(stamp=store.stamp())


def batches(store: Store, count: str) -> None:
    """Publish eight policies at once, again and again; tell after each."""
    for number in range(int(count)):
        mark = f"b{number}"
        store.apply(
            Publication(
                source=source(PolicyId("batch", "g", f"n{place}", "1"), mark=mark, data="{}"),
                compiled=compiled(f"{mark}-{place}"),
                data=data_of(mark),
                digest=mark,
                author="w",
                at=NOON,
            )
            for place in range(8)
        )
        say(batch=number)


def race(store: Store, name: str, count: str) -> None:
    """Try to take the same leases as everybody else; tell which."""
    won = [number for number in range(int(count)) if store.acquire(f"l{number}", name, until=later(60), at=NOON)]
    say(won=won)


def claim(store: Store) -> None:
    """Claim what is due until there is nothing left; tell which."""
    claimed: list[int] = []
    while store.outbox.pending():
        found = store.outbox.claim(3, at=later(1), until=later(60))
        claimed += [delivery.stamp for delivery in found if store.outbox.delivered(delivery, at=later(2))]
    say(claimed=claimed)


class Silent:
    """Counts nothing."""

    def delivery(self, sink: str, result: str) -> None:
        """Do nothing."""

    def waiting(self, deliveries: int) -> None:
        """Do nothing."""


def make_deliverer(store: Store, at: datetime) -> Deliverer:
    """Make one that calls subscribers on loopback, at a time that stands still."""
    client = GuardedClient(NetworkGuard(["127.0.0.1"]), read_timeout=20, deadline=20)
    webhooks = Webhooks(store.subscribers, client, lambda: at)
    return Deliverer(store.outbox, store.stamp, [webhooks], lambda: at, Silent(), patience=20, poll=0.02)


def deliver(store: Store) -> None:
    """Deliver events for ever."""
    make_deliverer(store, NOON).run(threading.Event())


def obey(store: Store, policy: str) -> None:
    """Lock and unlock one policy as told, line by line."""
    for order in lines():
        (store.lock if order == "lock" else store.unlock)(PolicyId.parse(policy), NOON)
        say(did=order)


def change(store: Store) -> None:
    """Change one policy as told, line by line; tell the stamp after every change."""
    policy = PolicyId("told", "g", "n", "1")
    actions: dict[str, Callable[[], object]] = {
        "publish": lambda: _publish(store, policy, f"m{store.stamp()}"),
        "data": lambda: _publish(store, policy, f"d{store.stamp()}"),
        "lock": lambda: store.lock(policy, NOON),
        "unlock": lambda: store.unlock(policy, NOON),
        "fail": lambda: store.fail(policy, Failure("compile_error", "it does not compile", NOON, "digest")),
        "delete": lambda: store.delete(policy),
    }
    for order in lines():
        actions[order]()
        say(did=order, stamp=store.stamp())


def _publish(store: Store, policy: PolicyId, mark: str) -> None:
    store.publish(source(policy), compiled("module"), data=data_of(mark), digest=mark, author="w", at=NOON)


def lines() -> Iterator[str]:
    """Read orders until there are no more."""
    for line in sys.stdin:
        yield line.strip()


TASKS = {
    "stream": stream,
    "write": write,
    "batches": batches,
    "race": race,
    "claim": claim,
    "deliver": deliver,
    "obey": obey,
    "change": change,
    "open": lambda store: store.ping(),
}


def main() -> None:
    """Open the store, say so, wait for the start, work."""
    url, task, *arguments = sys.argv[1:]
    late = task == "open"
    store = None if late else open_store(url)
    say(did="ready", script=Path(__file__).name)
    sys.stdin.readline()
    store = store or open_store(url)
    TASKS[task](store, *arguments)  # type: ignore[operator]
    store.close()


if __name__ == "__main__":
    main()

"""Moves events from the outbox to their targets, by one process at a time.

Each target has a lane: its deliveries go one after the other, and a receiver
that hangs delays nobody else. A claim that ran out in the lane is left to
whoever claims it next, so an event is delivered once, and twice only when a
process dies between delivering it and noting so.
"""

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from policy_server.events.sink import Sink, Undelivered
from policy_server.model.errors import StoreUnavailable
from policy_server.model.event import Delivery
from policy_server.model.status import State, Status
from policy_server.ports import Clock, Outbox
from policy_server.tracing.spans import span

_BATCH: Final = 100
_LANES: Final = 8
_COUNT: Final = timedelta(seconds=5)
log = logging.getLogger(__name__)


class Observer(Protocol):
    """Counts what happens to deliveries."""

    def delivery(self, sink: str, result: str) -> None:
        """Count one attempt: ``delivered``, ``retry`` or ``dead``."""

    def waiting(self, deliveries: int) -> None:
        """Note how many deliveries are to be tried."""


class Deliverer:
    """Tells the sinks what the outbox has.

    ``poll`` is in seconds. ``patience`` is how long a delivery may take in
    its sink, in seconds; a claim lasts three times as long.
    """

    def __init__(
        self,
        outbox: Outbox,
        stamp: Callable[[], int],
        sinks: Sequence[Sink],
        clock: Clock,
        observer: Observer,
        *,
        patience: float,
        poll: float = 0.25,
        chance: Callable[[], float] = random.random,
        share: Callable[[Status], None] = lambda _status: None,
    ) -> None:
        """Take the outbox, the store's stamp and the sinks; nothing is started.

        ``share`` is told how delivering goes, for processes that do not deliver; it may raise StoreUnavailable.
        """
        self._outbox = outbox
        self._stamp = stamp
        self._sinks = {sink.kind: sink for sink in sinks}
        self._clock = clock
        self._observer = observer
        self._patience = timedelta(seconds=patience)
        self._poll = poll
        self._chance = chance
        self._share = share
        self._shared: Status | None = None
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[Delivery]] = {}
        self._lanes: dict[str, threading.Thread] = {}
        self._troubles: dict[str, str] = {}
        self._seen = -1
        self._counted: datetime | None = None
        self._halted = threading.Event()
        self._status = Status(State.READY, "nothing to deliver yet", clock())

    def status(self) -> Status:
        """Return how delivering goes in this process; troubles of subscribers do not count."""
        return self._status

    def run(self, halt: threading.Event) -> None:
        """Deliver until told to stop; what is claimed and not begun by then is given back."""
        self._halted = halt
        self._seen = -1
        self._shared = None  # another process may have delivered, and told, in the meantime
        while not halt.is_set():
            try:
                self.step()
                self._tell()
                self._pass_on()
            except StoreUnavailable as error:
                self._become(State.DEGRADED, error.message)
            halt.wait(self._poll)
        self.join(self._patience.total_seconds())
        for sink in self._sinks.values():
            sink.close()

    def step(self) -> None:
        """Hand new events to their targets and begin what is due; StoreUnavailable."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._dispatch()
            self._seen = stamp
        at = self._clock()
        with self._lock:
            room = _BATCH - sum(map(len, self._waiting.values()))
        claimed = self._outbox.claim(room, at=at, until=at + 3 * self._patience) if room > 0 else ()
        self._begin(claimed)
        if claimed or self._counted is None or at - self._counted >= _COUNT:
            self._observer.waiting(self._outbox.pending())
            self._counted = at

    def join(self, seconds: float) -> None:
        """Wait for the deliveries that have begun, this long for each lane at most."""
        with self._lock:
            lanes = list(self._lanes.values())
        for lane in lanes:
            lane.join(seconds)

    def _dispatch(self) -> None:
        while events := self._outbox.undispatched(_BATCH):
            for event in events:
                targets = [target for sink in self._sinks.values() for target in sink.targets(event.policy)]
                self._outbox.dispatch(event, targets, at=self._clock())

    def _begin(self, claimed: Sequence[Delivery]) -> None:
        with self._lock:
            for delivery in claimed:
                self._waiting.setdefault(delivery.target, deque()).append(delivery)
            for target in self._waiting.keys() - self._lanes.keys():
                if len(self._lanes) >= _LANES:
                    return  # the next step begins it
                lane = threading.Thread(target=self._serve, args=(target,), name=f"deliver {target}", daemon=True)
                self._lanes[target] = lane
                lane.start()

    def _serve(self, target: str) -> None:
        try:
            while (delivery := self._next(target)) is not None:
                self._deliver(delivery)
        except StoreUnavailable as error:
            log.warning("deliveries to %s are left to be repeated: %s", target, error.message)
        finally:
            with self._lock:
                # After an error the claims of what is left run out, and somebody takes it again.
                if self._lanes.get(target) is threading.current_thread():
                    self._waiting.pop(target, None)
                    del self._lanes[target]

    def _next(self, target: str) -> Delivery | None:
        with self._lock:
            waiting = self._waiting.get(target)
            if waiting:
                return waiting.popleft()
            # Under one lock with looking, so that nothing is put into a lane that has ended.
            self._waiting.pop(target, None)
            del self._lanes[target]
            return None

    def _deliver(self, delivery: Delivery) -> None:
        at = self._clock()
        if self._halted.is_set():
            self._outbox.retry(delivery, error=delivery.error or "not begun before a stop", next_attempt=at)
            return
        if delivery.next_attempt - at < self._patience:
            return  # it waited too long in its lane: another claim begins before this one could end
        sink = self._sinks.get(delivery.target.partition(":")[0])
        try:
            self._send(sink, delivery)
        except Undelivered as error:
            self._failed(sink, delivery, error)
            if error.away:
                self._defer(sink, delivery.target, error)
            return
        self._outbox.delivered(delivery, at=self._clock())
        with self._lock:
            self._troubles.pop(delivery.target, None)
        self._observer.delivery(delivery.target.partition(":")[0], "delivered")

    def _send(self, sink: Sink | None, delivery: Delivery) -> None:
        if sink is None:
            raise Undelivered("this kind of target is not in the settings any more", final=True)
        event = self._outbox.event(delivery.stamp)
        if event is None:
            raise Undelivered("the event is not kept any more", final=True)
        with span("event.deliver", {"event.sink": sink.kind, "event.id": event.id, "event.attempt": delivery.attempts}):
            sink.send(delivery.target, event)

    def _defer(self, sink: Sink | None, target: str, error: Undelivered) -> None:
        """Put off all that waits for a target that is away, instead of waiting for each in turn."""
        with self._lock:
            waiting = self._waiting.get(target) or deque()
            others = list(waiting)
            waiting.clear()
        for delivery in others:
            self._failed(sink, delivery, error)

    def _failed(self, sink: Sink | None, delivery: Delivery, error: Undelivered) -> None:
        at = self._clock()
        pause = None if sink is None or error.final else sink.backoff.pause(delivery.attempts, self._chance())
        if pause is None:
            self._outbox.bury(delivery, error=error.message, at=at)
        else:
            self._outbox.retry(delivery, error=error.message, next_attempt=at + pause)
        if sink is not None and sink.ours:
            with self._lock:
                self._troubles[delivery.target] = error.shown
        log.warning(
            "delivery %s failed (attempt %s, %s): %s",
            delivery.id,
            delivery.attempts,
            "given up" if pause is None else f"again in {pause.total_seconds():.0f} s",
            error.message,
            extra={"action": "delivery.dead" if pause is None else "delivery.retry"},
        )
        self._observer.delivery(delivery.target.partition(":")[0], "dead" if pause is None else "retry")

    def _tell(self) -> None:
        with self._lock:
            troubles = "; ".join(f"{target}: {message}" for target, message in sorted(self._troubles.items()))
        self._become(State.DEGRADED if troubles else State.READY, troubles or "delivering")

    def _pass_on(self) -> None:
        """Share the status when it is another one; StoreUnavailable, and then the next step tries again."""
        status = self._status
        if status != self._shared:
            self._share(status)
            self._shared = status

    def _become(self, state: State, message: str) -> None:
        if (self._status.state, self._status.message) != (state, message):
            self._status = Status(state, message, self._clock())
            log.info("events: %s", message)

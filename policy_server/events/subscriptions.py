"""Who wants to be called: made, listed, tried out, removed."""

import secrets
from collections.abc import Sequence

from policy_server.audit.journal import Journal
from policy_server.events import signing
from policy_server.events.webhooks import Trial, Webhooks
from policy_server.model.errors import SubscriberNotFound
from policy_server.model.policy import PolicyId
from policy_server.model.subscriber import Subscriber
from policy_server.net.guard import NetworkGuard
from policy_server.net.naming import check_address
from policy_server.ports import Clock, Store


class Subscriptions:
    """The webhooks of policies."""

    def __init__(self, store: Store, webhooks: Webhooks, guard: NetworkGuard, clock: Clock) -> None:
        """Take who keeps and who calls them."""
        self._store = store
        self._webhooks = webhooks
        self._guard = guard
        self._clock = clock
        self._journal = Journal(store.audit, clock)

    def subscribe(self, policy: PolicyId, *, name: str, url: str, by: str) -> Subscriber:
        """Make a subscriber with a new secret, on record.

        Raises:
            PolicyNotFound: there is no such policy.
            InvalidParameter: it is not an http or https address.
            TargetRefused: it is in a network that may not be called.
            AlreadyExists: the policy has one with this name and URL.
        """
        self._store.get(policy)
        check_address(self._guard, url, named="webhook_url")
        at = self._clock()
        made = Subscriber(
            id=secrets.token_hex(12),
            policy=policy,
            name=name,
            url=url,
            created_at=at,
            updated_at=at,
            secret=signing.new_secret(),
        )
        # SECURITY: the id, not the address, which may hold a token.
        with self._journal.change("subscribe", policy, actor=by, after=made.id):
            self._store.subscribers.add(made)
        return made

    def of(self, policy: PolicyId) -> Sequence[Subscriber]:
        """Return the subscribers of a policy, also of one that was deleted."""
        return self._store.subscribers.find(policy)

    def get(self, policy: PolicyId, subscriber: str) -> Subscriber:
        """Return one; SubscriberNotFound when the policy has none with this id."""
        found = self._store.subscribers.get(subscriber)
        if found.policy != policy:
            raise SubscriberNotFound(f"There is no subscriber {subscriber}.")
        return found

    def unsubscribe(self, policy: PolicyId, subscriber: str, *, by: str) -> None:
        """Remove one, on record; SubscriberNotFound as above."""
        self.get(policy, subscriber)
        with self._journal.change("unsubscribe", policy, actor=by, before=subscriber):
            self._store.subscribers.remove(subscriber)

    def test(self, policy: PolicyId, subscriber: str) -> Trial:
        """Call one now; SubscriberNotFound as above."""
        return self._webhooks.test(self.get(policy, subscriber))

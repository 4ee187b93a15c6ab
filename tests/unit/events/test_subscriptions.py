"""Subscribing is refused where calls would be."""

import pytest
from events_world import POLICY, World

from policy_server.events.subscriptions import Subscriptions
from policy_server.model.errors import (
    AlreadyExists,
    InvalidParameter,
    PolicyNotFound,
    SubscriberNotFound,
    TargetRefused,
)
from policy_server.model.policy import PolicyId
from policy_server.net.guard import NetworkGuard

OTHER = PolicyId("demo", "g", "other", "1.0")


@pytest.fixture
def strict(world: World) -> Subscriptions:
    """Subscriptions that allow no private network; the only name there is leads to the inside."""
    world.publish()
    guard = NetworkGuard(resolve=lambda host, _port: {"public": ["1.1.1.1"], "sly": ["10.0.0.1"]}.get(host) or [host])
    return Subscriptions(world.store, world.webhooks, guard, world.clock)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x", "https://169.254.169.254/latest", "http://[::1]:80", "http://sly/x"]
)
def test_addresses_inside_are_refused_at_once(strict: Subscriptions, url: str) -> None:
    """Whoever subscribes learns it; every call would be refused as well."""
    with pytest.raises(TargetRefused):
        strict.subscribe(POLICY, name="somebody", url=url, by="me")

    assert list(strict.of(POLICY)) == []


@pytest.mark.parametrize("url", ["ftp://public/x", "file:///etc/passwd", "http://", "http://[::1", "http://a:99999/"])
def test_what_is_no_address_of_a_web_server_is_refused(strict: Subscriptions, url: str) -> None:
    """It could never be called."""
    with pytest.raises(InvalidParameter, match="webhook_url"):
        strict.subscribe(POLICY, name="somebody", url=url, by="me")


def test_a_subscriber_belongs_to_its_policy(strict: Subscriptions) -> None:
    """Another policy's address does not show or remove it; the policy must be there at first."""
    made = strict.subscribe(POLICY, name="somebody", url="https://public/x", by="me")

    with pytest.raises(AlreadyExists):
        strict.subscribe(POLICY, name="somebody", url="https://public/x", by="me")
    with pytest.raises(PolicyNotFound):
        strict.subscribe(OTHER, name="somebody", url="https://public/x", by="me")
    with pytest.raises(SubscriberNotFound):
        strict.unsubscribe(OTHER, made.id, by="me")
    assert list(strict.of(POLICY)) == [made]


def test_a_subscriber_outlives_its_policy(world: World, strict: Subscriptions) -> None:
    """The policy may come back; until then it can be removed."""
    made = strict.subscribe(POLICY, name="somebody", url="https://public/x", by="me")
    world.store.delete(POLICY)

    assert strict.get(POLICY, made.id) == made
    strict.unsubscribe(POLICY, made.id, by="me")
    assert list(strict.of(POLICY)) == []

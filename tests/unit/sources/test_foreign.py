"""Policies that the original service keeps in our MongoDB are taken over."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from database_servers import mongodb_url
from pymongo import MongoClient

from policy_server.compiler.compiler import RegoCompiler
from policy_server.model.policy import PolicyId, PolicyState
from policy_server.ports import Store
from policy_server.publishing.publisher import SourcePublisher
from policy_server.sources.foreign import AUTHOR, ForeignFeed
from policy_server.storage.opening import open_store
from policy_server.toolkit.toolkit import Toolkit

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def url() -> str:
    """A database with three policies of the original."""
    address = mongodb_url()
    client: MongoClient[dict[str, object]] = MongoClient(address)
    known = {"repository": "r", "group": "g", "version": "1", "data": "", "locked": False}
    client.get_default_database()["policies"].insert_many(
        [
            {**known, "name": "good", "rego": "package g.good\n_ = 1 { true }", "data": '{"a": 1}'},
            {**known, "name": "shut", "rego": "package g.shut\nn = 1", "locked": True},
            {**known, "name": "bad", "rego": "package g.bad\nn = }"},
        ]
    )
    client.close()
    return address


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """The store in it."""
    opened = open_store(url)
    yield opened
    opened.close()


def test_policies_of_the_original_are_published_once(store: Store, toolkit: Toolkit) -> None:
    """With their locks; what does not compile is listed with the reason, and is not tried again."""
    feed = ForeignFeed(store, SourcePublisher(store, RegoCompiler(toolkit, []), lambda: AT, lambda: None))

    assert feed.adopt() == 2
    stamp = store.stamp()
    assert feed.adopt() == 0

    assert stamp == store.stamp()
    good, shut, bad = (store.get(PolicyId("r", "g", name, "1")) for name in ("good", "shut", "bad"))
    assert (good.state, good.locked, shut.state, shut.locked) == (PolicyState.READY, False, PolicyState.READY, True)
    assert good.revision is not None
    assert (good.revision.author, good.revision.data, good.revision.number) == (AUTHOR, '{"a": 1}', 1)
    assert bad.failure is not None
    assert (bad.state, "policy.rego:2" in bad.failure.message) == (PolicyState.FAILED, True)

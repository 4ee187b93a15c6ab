"""What every store promises about subscribers, imports, values, audit records, tokens and keys."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from contract_samples import NOON, OTHER, POLICY, later, publish

from policy_server.model.access import ApiToken, TrustedKey
from policy_server.model.audit import AuditFilter, AuditRecord
from policy_server.model.auto_import import AutoImport
from policy_server.model.cache import CacheKey
from policy_server.model.errors import (
    AlreadyExists,
    AutoImportNotFound,
    InvalidParameter,
    KeyNotFound,
    SubscriberNotFound,
    TokenNotFound,
    ValueNotFound,
)
from policy_server.model.subscriber import Subscriber, SubscriberState
from policy_server.model.values import Json
from policy_server.ports import Store

SUBSCRIBER = Subscriber(
    "6b09d890045687cada646001", POLICY, "ada", "https://example.com/hook", NOON, later(1), "s", SubscriberState.PAUSED
)
IMPORT = AutoImport(
    "6b09d890045687cada646001",
    "https://example.com/bundle",
    timedelta(hours=1, microseconds=1),
    later(60),
    NOON,
    later(-5),
    "timed out",
)
TOKEN = ApiToken("t1", "ci", "d" * 64, ("read", "publish"), NOON, "ada", later(60), later(1))
KEY = TrustedKey("k1", "partner", '{"kty": "EC"}', ("rooms", "räume"), NOON, "ada", later(60))
RECORD = AuditRecord(NOON, "ada", "policy.publish", str(POLICY), "ok", "192.0.2.1", "r-1", "a" * 64, "b" * 64)


def test_a_subscriber_comes_back_as_it_was_given(store: Store) -> None:
    """Every field, to the microsecond; a secret may be absent."""
    bare = replace(SUBSCRIBER, id="6b09d890045687cada646002", name="bob", secret=None)
    store.subscribers.add(SUBSCRIBER)
    store.subscribers.add(bare)

    assert store.subscribers.get(SUBSCRIBER.id) == SUBSCRIBER
    assert store.subscribers.get(bare.id) == bare
    assert list(store.subscribers.find()) == [SUBSCRIBER, bare]


def test_subscribers_are_found_by_their_policy(store: Store) -> None:
    """All four parts have to fit; a deleted policy keeps them."""
    other = replace(SUBSCRIBER, id="6b09d890045687cada646000", policy=OTHER)
    store.subscribers.add(SUBSCRIBER)
    store.subscribers.add(other)
    publish(store)
    store.delete(POLICY)

    assert list(store.subscribers.find(POLICY)) == [SUBSCRIBER]
    assert list(store.subscribers.find(OTHER)) == [other]
    assert list(store.subscribers.find(replace(POLICY, version="2"))) == []


def test_the_same_subscriber_twice_is_refused(store: Store) -> None:
    """Policy, name and URL make it the same; each of them alone does not."""
    store.subscribers.add(SUBSCRIBER)
    for number, same in enumerate(
        (
            replace(SUBSCRIBER, policy=OTHER),
            replace(SUBSCRIBER, name="bob"),
            replace(SUBSCRIBER, url="https://example.com/other"),
        )
    ):
        store.subscribers.add(replace(same, id=f"6b09d890045687cada64610{number}"))

    with pytest.raises(AlreadyExists):
        store.subscribers.add(replace(SUBSCRIBER, id="6b09d890045687cada646999"))
    assert len(store.subscribers.find()) == 4


def test_a_subscriber_is_changed_and_removed(store: Store) -> None:
    """One that is not there is not found; one never becomes another's double."""
    store.subscribers.add(SUBSCRIBER)
    other = replace(SUBSCRIBER, id="6b09d890045687cada646002", name="bob")
    store.subscribers.add(other)
    failing = replace(SUBSCRIBER, state=SubscriberState.FAILING, updated_at=later(9))

    store.subscribers.save(failing)
    with pytest.raises(AlreadyExists):
        store.subscribers.save(replace(other, name="ada"))
    store.subscribers.remove(other.id)

    assert list(store.subscribers.find()) == [failing]
    for act in (store.subscribers.get, store.subscribers.remove, lambda _: store.subscribers.save(other)):
        with pytest.raises(SubscriberNotFound):
            act(other.id)
    with pytest.raises(SubscriberNotFound):
        store.subscribers.get("no id at all")


def test_an_automatic_import_comes_back_as_it_was_given(store: Store) -> None:
    """Every field, to the microsecond."""
    bare = AutoImport("6b09d890045687cada646002", "https://a.example.com/", timedelta(seconds=2), NOON)

    assert store.auto_imports.save(IMPORT) == IMPORT
    store.auto_imports.save(bare)

    assert list(store.auto_imports.all()) == [bare, IMPORT]


def test_the_url_of_an_automatic_import_decides(store: Store) -> None:
    """Saving it again replaces it; the id stays."""
    store.auto_imports.save(IMPORT)

    kept = store.auto_imports.save(replace(IMPORT, id="6b09d890045687cada646002", error=None))

    assert kept == replace(IMPORT, error=None)
    assert list(store.auto_imports.all()) == [kept]


def test_due_imports_are_listed_longest_due_first(store: Store) -> None:
    """To the microsecond."""
    moments = [later(3), NOON, later(1), later(1) + timedelta(microseconds=1)]
    for number, at in enumerate(moments):
        store.auto_imports.save(AutoImport(f"6b09d890045687cada64600{number}", f"u{number}", timedelta(1), at))

    assert [each.url for each in store.auto_imports.due(later(1))] == ["u1", "u2"]
    assert list(store.auto_imports.due(NOON - timedelta(microseconds=1))) == []


def test_a_removed_automatic_import_is_returned_once(store: Store) -> None:
    """The second time there is none."""
    store.auto_imports.save(IMPORT)

    assert store.auto_imports.remove(IMPORT.url) == IMPORT
    with pytest.raises(AutoImportNotFound):
        store.auto_imports.remove(IMPORT.url)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": [1, 2.5, None, True, {"b": "ü"}], "": {"$set": 1, "x.y": 2}},
        {"big": 2**80, "lone": "\ud800", "nul": "\0"},
        [],
        None,
        "text",
    ],
)
def test_values_of_policies_come_back_as_they_were(store: Store, value: Json) -> None:
    """Whatever JSON can say, under any key."""
    for key in ("plain", "a b/c", "ключ", "$x.y"):
        store.values.set(key, "before")
        store.values.set(key, value)

        assert store.values.get(key) == value


def test_unknown_values_are_not_found(store: Store) -> None:
    """Nor is one that was deleted."""
    store.values.set("key", {})
    store.values.delete("key")

    for act in (store.values.get, store.values.delete):
        with pytest.raises(ValueNotFound):
            act("key")


def test_a_cached_value_runs_out(store: Store) -> None:
    """At its end, to the microsecond, it is gone; without an end it stays."""
    store.cache.put(CacheKey("a"), {"x": 1}, until=later(10))
    store.cache.put(CacheKey("b"), [1], until=None)

    assert store.cache.get(CacheKey("a"), at=later(10) - timedelta(microseconds=1)) == {"x": 1}
    with pytest.raises(ValueNotFound):
        store.cache.get(CacheKey("a"), at=later(10))
    assert store.cache.get(CacheKey("b"), at=later(10**9)) == [1]
    assert store.cache.purge(later(10)) == 1
    assert store.cache.purge(later(10)) == 0


def test_cached_values_are_told_apart_by_namespace_and_scope(store: Store) -> None:
    """However the parts could be joined, and however long they are."""
    keys = [CacheKey("a"), CacheKey("a", "b"), CacheKey("a", "", "b"), CacheKey("a,b"), CacheKey("k" * 5000)]
    keys.append(CacheKey("k" * 5000, "n"))
    for number, key in enumerate(keys):
        store.cache.put(key, -1, until=None)
        store.cache.put(key, number, until=None)

    assert [store.cache.get(key, at=NOON) for key in keys] == list(range(len(keys)))


def test_an_audit_record_comes_back_with_an_id(store: Store) -> None:
    """Everything else is as it was given."""
    kept = store.audit.record(RECORD)

    assert replace(kept, id="") == RECORD
    assert store.audit.find(AuditFilter(), limit=10).records == (kept,)


def test_audit_records_are_listed_newest_first_page_by_page(store: Store) -> None:
    """Whatever the order they came in."""
    for second in (3, 1, 4, 2, 5):
        store.audit.record(replace(RECORD, at=later(second)))

    found = []
    cursor = None
    while True:
        page = store.audit.find(AuditFilter(), limit=2, cursor=cursor)
        found += [record.at for record in page.records]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert found == [later(second) for second in (5, 4, 3, 2, 1)]
    for wrong in ("x", "", "ä"):
        with pytest.raises(InvalidParameter):
            store.audit.find(AuditFilter(), limit=2, cursor=wrong)
    with pytest.raises(InvalidParameter):
        store.audit.find(AuditFilter(), limit=0)


@pytest.mark.parametrize(
    ("wanted", "seconds"),
    [
        (AuditFilter(actor="bob"), [2]),
        (AuditFilter(action="lock"), [1]),
        (AuditFilter(subject="else"), [3]),
        (AuditFilter(since=later(1)), [3, 2, 1]),
        (AuditFilter(until=later(2)), [1, 0]),
        (AuditFilter(since=later(1), until=later(3), actor="ada"), [1]),
        (AuditFilter(actor="nobody"), []),
    ],
)
def test_audit_records_are_filtered(store: Store, wanted: AuditFilter, seconds: list[int]) -> None:
    """All conditions hold; a beginning is included, an end is not."""
    for second, changed in enumerate(({}, {"action": "lock"}, {"actor": "bob"}, {"subject": "else"})):
        store.audit.record(replace(RECORD, at=later(second), **changed))

    assert [record.at for record in store.audit.find(wanted, limit=10).records] == [later(each) for each in seconds]


def test_old_audit_records_are_pruned(store: Store) -> None:
    """Those from before; not the one of that moment."""
    for second in range(3):
        store.audit.record(replace(RECORD, at=later(second)))

    assert store.audit.prune(later(1)) == 1
    assert len(store.audit.find(AuditFilter(), limit=10).records) == 2


def test_a_token_is_found_by_its_digest(store: Store) -> None:
    """Every field comes back."""
    bare = ApiToken("t0", "", "e", (), NOON, "")
    store.tokens.add(TOKEN)
    store.tokens.add(bare)

    assert store.tokens.by_digest(TOKEN.digest) == TOKEN
    assert store.tokens.by_digest("unknown") is None
    assert list(store.tokens.all()) == [bare, TOKEN]


def test_no_two_tokens_are_alike(store: Store) -> None:
    """Neither by id nor by digest."""
    store.tokens.add(TOKEN)

    for double in (replace(TOKEN, digest="e"), replace(TOKEN, id="t2")):
        with pytest.raises(AlreadyExists):
            store.tokens.add(double)
    assert list(store.tokens.all()) == [TOKEN]


def test_the_last_use_of_a_token_only_moves_forward(store: Store) -> None:
    """An unknown token is nobody's mistake: it may just have been removed."""
    store.tokens.add(TOKEN)
    store.tokens.touch("unknown", NOON)
    store.tokens.touch("t1", NOON)
    assert store.tokens.all()[0].last_used_at == later(1)

    store.tokens.touch("t1", later(2))

    assert store.tokens.all()[0].last_used_at == later(2)


def test_a_token_is_revoked_once_and_removed(store: Store) -> None:
    """The first time counts."""
    store.tokens.add(TOKEN)

    assert store.tokens.revoke("t1", later(3)).revoked_at == later(3)
    assert store.tokens.revoke("t1", later(4)).revoked_at == later(3)
    store.tokens.remove("t1")

    acts: list[Callable[[], object]] = [lambda: store.tokens.revoke("t1", NOON), lambda: store.tokens.remove("t1")]
    for act in acts:
        with pytest.raises(TokenNotFound):
            act()


def test_trusted_keys_are_kept_replaced_and_removed(store: Store) -> None:
    """Every field comes back."""
    store.keys.save(replace(KEY, name="before"))
    store.keys.save(KEY)
    store.keys.save(replace(KEY, id="k0", repositories=(), expires_at=None))

    assert store.keys.get("k1") == KEY
    assert [key.id for key in store.keys.all()] == ["k0", "k1"]
    store.keys.remove("k1")
    for act in (store.keys.get, store.keys.remove):
        with pytest.raises(KeyNotFound):
            act("k1")

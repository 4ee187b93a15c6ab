"""The life of an API token, on every store."""

from datetime import UTC, datetime, timedelta

import pytest

from policy_server.auth.tokens import FRESH, PREFIX, STALE, Tokens
from policy_server.model.errors import AlreadyExists, NotAuthenticated, StoreUnavailable, TokenNotFound
from policy_server.model.principal import Grant, Role
from policy_server.ports import Store

START = datetime(2030, 5, 1, 12, tzinfo=UTC)


class Moment:
    """A clock that stands until it is moved."""

    at = START

    def __call__(self) -> datetime:
        """Return the moment."""
        return self.at


@pytest.fixture
def clock() -> Moment:
    """A clock at START."""
    return Moment()


@pytest.fixture
def tokens(store: Store, clock: Moment) -> Tokens:
    """The tokens of a store."""
    return Tokens(store.tokens, store.audit, clock)


def why(tokens: Tokens, text: str) -> str:
    """Return the kind of a refusal."""
    with pytest.raises(NotAuthenticated) as caught:
        tokens.identify(text)
    return caught.value.kind


def test_a_token_lives_until_it_is_revoked(store: Store, tokens: Tokens, clock: Moment) -> None:
    """Made, shown, used, revoked; another process hears of the end within a second."""
    minted = tokens.create("ci", ["evaluate", "publish:mine"], by="admin")
    elsewhere = Tokens(store.tokens, store.audit, clock)

    for each in (tokens, elsewhere):
        principal = each.identify(minted.text)
        assert (principal.name, principal.grants) == ("token:ci", (Grant(Role.EVALUATE), Grant(Role.PUBLISH, "mine")))

    revoked = tokens.revoke(minted.kept.id, by="admin")
    assert revoked.revoked_at == START
    assert why(tokens, minted.text) == "revoked"
    clock.at += FRESH
    assert why(elsewhere, minted.text) == "revoked"
    assert tokens.revoke(minted.kept.id, by="admin").revoked_at == START


def test_the_store_never_has_the_token(store: Store, tokens: Tokens) -> None:
    """Only a digest, from which nobody gets back; the text does not show itself by accident either."""
    minted = tokens.create("ci", ["read"], by="admin")

    kept = store.tokens.all()
    assert [token.name for token in kept] == ["ci"]
    assert minted.text not in repr(kept) + repr(minted)
    assert minted.text.startswith(PREFIX)
    assert len(minted.text) == len(PREFIX) + 43
    assert len(kept[0].digest) == 64


def test_a_token_ends_by_itself(tokens: Tokens, clock: Moment) -> None:
    """At its end, to the second, also where it was just used."""
    minted = tokens.create("short", ["read"], by="admin", expires_at=START + timedelta(hours=1))
    clock.at += timedelta(minutes=59, seconds=59)
    assert tokens.identify(minted.text).name == "token:short"

    clock.at += timedelta(seconds=1)
    assert why(tokens, minted.text) == "expired"


def test_that_it_was_used_is_written_once_a_minute(store: Store, tokens: Tokens, clock: Moment) -> None:
    """By whichever process; nothing is written on the way of a request."""
    minted = tokens.create("busy", ["read"], by="admin")
    elsewhere = Tokens(store.tokens, store.audit, clock)

    def used(seconds: float, by: Tokens) -> datetime | None:
        clock.at = START + timedelta(seconds=seconds)
        by.identify(minted.text)
        before = store.tokens.all()[0].last_used_at
        by.flush()
        after = store.tokens.all()[0].last_used_at
        return None if before == after else after

    assert used(0, tokens) == START
    assert [used(seconds, who) for seconds in (0.5, 1, 2, 30, 59) for who in (tokens, elsewhere)] == [None] * 10
    assert used(60, elsewhere) == START + timedelta(seconds=60)
    assert used(61.5, tokens) is None
    assert used(121, tokens) == START + timedelta(seconds=121)


@pytest.mark.parametrize(
    "text", ["", PREFIX, PREFIX + "x" * 42, PREFIX + "x" * 43, "x" * 47, PREFIX + "é" * 43, "pst_\udcff"]
)
def test_texts_that_are_no_tokens_are_refused(tokens: Tokens, text: str) -> None:
    """Unknown ones and ones that never were."""
    tokens.create("other", ["read"], by="admin")

    assert why(tokens, text) == "token"


def test_a_token_with_one_other_letter_is_unknown(tokens: Tokens) -> None:
    """Nothing but the whole text counts."""
    text = tokens.create("ci", ["read"], by="admin").text

    assert why(tokens, text[:-1] + ("A" if text[-1] != "A" else "B")) == "token"
    assert why(tokens, text + "\n") == "token"


def test_ids_that_are_given_are_given_once(tokens: Tokens) -> None:
    """Of two machines that start at the same moment one makes the first token."""
    tokens.create("first", ["admin"], by="start", id_="first-admin")

    with pytest.raises(AlreadyExists):
        tokens.create("first", ["admin"], by="start", id_="first-admin")
    with pytest.raises(TokenNotFound):
        tokens.revoke("nothing", by="admin")


def test_known_tokens_outlive_an_outage(store: Store, clock: Moment) -> None:
    """Decisions go on for a while; tokens that this process has not seen cannot be told."""
    going = Outage(store)
    tokens = Tokens(going, store.audit, clock)
    known, unknown = (tokens.create(name, ["evaluate"], by="admin") for name in ("known", "unknown"))
    tokens.identify(known.text)

    going.away = True
    clock.at += STALE
    assert tokens.identify(known.text).name == "token:known"
    with pytest.raises(StoreUnavailable):
        tokens.identify(unknown.text)
    with pytest.raises(StoreUnavailable):
        tokens.flush()

    clock.at += timedelta(seconds=1)
    with pytest.raises(StoreUnavailable):
        tokens.identify(known.text)

    going.away = False
    assert tokens.identify(unknown.text).name == "token:unknown"
    tokens.flush()
    assert all(token.last_used_at is not None for token in store.tokens.all())


class Outage:
    """The tokens of a real store, until they are away."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._tokens = store.tokens
        self.away = False

    def __getattr__(self, name: str):
        """Hand on, or fail as stores do."""
        if self.away:
            raise StoreUnavailable
        return getattr(self._tokens, name)

"""The keys of issuers, from a real server that goes away and comes back."""

import base64
import json
import threading
from pathlib import Path

import pytest
from auth_issuer import Issuer, Time, make_key
from joserfc.jwk import OctKey

from policy_server.auth.keys import PAUSE, Keys, read_file, read_keys
from policy_server.model.errors import FetchError, KeysUnavailable
from policy_server.model.status import State

OLD, NEW = make_key("old"), make_key("new")


def test_keys_are_fetched_when_they_are_needed(issuer: Issuer, clock: Time) -> None:
    """Nothing at construction, one request for all that follow."""
    issuer.publish([OLD])
    keys = issuer.reader(clock)
    assert (issuer.asked, keys.status().state) == (0, State.STARTING)

    assert [keys.find("old") is not None for _ in range(3)] == [True] * 3
    assert (issuer.asked, keys.status().state) == (1, State.READY)


def test_a_new_key_is_fetched_at_once(issuer: Issuer, clock: Time) -> None:
    """Rotation needs no restart and no waiting for the interval."""
    issuer.publish([OLD])
    keys = issuer.reader(clock)
    keys.find("old")
    issuer.publish([OLD, NEW])
    clock.seconds += PAUSE

    assert keys.find("new") is not None
    assert issuer.asked == 2


def test_made_up_key_ids_do_not_make_us_ask_all_the_time(issuer: Issuer, clock: Time) -> None:
    """One request in ten seconds, however many ids are tried."""
    issuer.publish([OLD])
    keys = issuer.reader(clock)

    for number in range(100):
        assert keys.find(f"made-up-{number}") is None
    assert issuer.asked == 1

    clock.seconds += PAUSE
    assert [keys.find(str(number)) for number in range(100)] == [None] * 100
    assert issuer.asked == 2


def test_an_issuer_that_is_away_leaves_the_last_good_keys(issuer: Issuer, clock: Time) -> None:
    """Whatever it answers; when it comes back, its keys are taken."""
    issuer.publish([OLD])
    keys = issuer.reader(clock, interval=100)
    keys.refresh()

    issuer.status = 503
    clock.seconds += 100
    assert keys.is_due()
    keys.refresh()
    assert keys.status().state is State.DEGRADED
    assert keys.find("old") is not None

    issuer.status = 200
    issuer.publish([])
    keys.refresh()
    assert keys.find("old") is not None, "an empty set is a mistake, not a rotation"

    issuer.publish([NEW])
    keys.refresh()
    assert (keys.status().state, keys.find("old")) == (State.READY, None)


def test_without_any_keys_nobody_can_tell(issuer: Issuer, clock: Time) -> None:
    """That is said, quickly, and the issuer asked less and less often."""
    issuer.status = 500
    keys = issuer.reader(clock)

    for _ in range(5):
        with pytest.raises(KeysUnavailable):
            keys.find("any")
    assert issuer.asked == 1

    for seconds, asked in ((PAUSE, 1), (PAUSE, 2), (2 * PAUSE, 2), (2 * PAUSE, 3)):
        clock.seconds += seconds
        with pytest.raises(KeysUnavailable):
            keys.find("any")
        assert issuer.asked == asked

    issuer.status = 200
    issuer.publish([OLD])
    keys.refresh()
    assert keys.find("old") is not None


def test_one_of_several_issuers_may_be_away(issuer: Issuer, clock: Time, tmp_path: Path) -> None:
    """The keys of the others count."""
    issuer.publish([OLD])
    good = issuer.reader(clock)
    sources = [str(tmp_path / "none.json"), issuer.url]
    keys = Keys(
        sources,
        lambda source: good._read(source) if "://" in source else read_file(source),
        clock,
        clock.elapsed,
        interval=60,
    )

    assert keys.find("old") is not None
    assert keys.status().state is State.DEGRADED
    assert "none.json cannot be read" in keys.status().message


def test_those_who_come_together_are_answered_by_one_fetch(issuer: Issuer, clock: Time) -> None:
    """Eight requests at the first moment: one goes and the others wait for it."""
    issuer.publish([OLD])
    issuer.delay = 0.2
    keys = issuer.reader(clock)
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(keys.find("old") is not None)) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (found, issuer.asked) == ([True] * 8, 1)


def test_keys_are_due_at_the_interval_and_sooner_after_a_failure(issuer: Issuer, clock: Time) -> None:
    """An hour when all is well, a minute when not."""
    issuer.publish([OLD])
    keys = issuer.reader(clock)
    assert keys.is_due()
    keys.refresh()

    clock.seconds += 3599
    assert not keys.is_due()
    clock.seconds += 1
    issuer.status = 500
    keys.refresh()
    clock.seconds += 59
    assert not keys.is_due()
    clock.seconds += 1
    assert keys.is_due()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": null}',
        b"\xff",
        b'{"keys": [' + b"{}," * 200 + b"{}]}",
        b"[" * 5000,
    ],
)
def test_what_is_no_key_set_is_refused(text: bytes) -> None:
    """With an error that says so."""
    with pytest.raises(FetchError):
        read_keys(text)


def test_only_public_keys_for_signatures_are_taken() -> None:
    """No secrets, no encryption, no small RSA, no key without an id; one bad entry spoils no other."""
    modulus = base64.urlsafe_b64encode(b"\xff" * 128).decode().rstrip("=")
    good = OLD.as_dict(private=False)
    entries: list[object] = [
        OctKey.generate_key(256, {"kid": "secret"}).as_dict(private=True),
        make_key("enc", use="enc").as_dict(private=False),
        make_key("ops", key_ops="encrypt").as_dict(private=False) | {"key_ops": ["encrypt"]},
        {"kty": "RSA", "kid": "small", "n": modulus, "e": "AQAB"},
        {name: value for name, value in good.items() if name != "kid"},
        {**good, "kid": 7},
        {**good, "kid": "torn", "x": "AA"},
        {"kty": "EC", "kid": "empty"},
        {"kty": "XX", "kid": "odd"},
        None,
        "text",
        good,
    ]
    assert list(read_keys(json.dumps({"keys": entries}).encode())) == ["old"]


def test_a_published_private_key_is_not_held() -> None:
    """An issuer's mistake is not kept in our memory."""
    found = read_keys(json.dumps({"keys": [OLD.as_dict(private=True)]}).encode())

    assert not found["old"].is_private

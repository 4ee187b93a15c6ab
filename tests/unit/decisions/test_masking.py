"""No secret stays in a record, wherever it stands and however often it is repeated."""

import copy
import json
import re
import time
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_server.decisions.config import MASKS
from policy_server.decisions.masking import MOUNT, Masker
from policy_server.model.values import Json
from policy_server.pexip.inputs import read_request
from policy_server.pexip.kinds import RequestKind
from policy_server.pexip.query import parse_query

COVER = "**********"
NAMES = st.sampled_from(
    [
        *[
            "pin",
            "guest_pin",
            "host_PIN",
            "password",
            "Passwd",
            "client_secret",
            "clientSecret",
            "token",
            "accessToken",
        ],
        *["Authorization", "third_party_passcode", "x-api-key", "pins", "credentials", "session cookie", "private_key"],
    ]
)
SECRETS = st.one_of(
    st.from_regex(r"[0-9]{4,7}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*"), min_size=8, max_size=20),
    st.integers(min_value=10**8),
)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), WORDS)


@st.composite
def documents(draw: st.DrawFn) -> tuple[Json, str]:
    """Make any JSON with one secret under a telling name, repeated wherever there is room for it."""
    secret = draw(SECRETS)
    text = str(secret)
    repeated = st.sampled_from([secret, text, f"({text})", f"your PIN is {text}!", [text], {"is": text}])
    held = st.sampled_from([secret, [secret], {"value": secret}, [[None, {"a": [text]}]]])
    inside = st.recursive(
        LEAVES | repeated,
        lambda child: st.lists(child, max_size=4) | st.dictionaries(WORDS | st.just(f"<{text}>"), child, max_size=4),
        max_leaves=12,
    )
    document = {"any": draw(inside), "more": [draw(inside), {draw(NAMES): draw(held)}]}
    return document, text


def texts(value: Json) -> Iterator[str]:
    """Yield every text, key and number."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from texts(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from texts(member)
    else:
        yield str(value)


def is_there(secret: str, value: Json) -> bool:
    """Tell whether a secret is anywhere: long ones as part of any text, short ones as a word."""
    pattern = re.escape(secret) if len(secret) >= 8 else rf"(?<!\w){re.escape(secret)}(?!\w)"
    return any(re.search(pattern, text) for text in texts(value))


@settings(deadline=None)
@given(made=documents(), name=st.sampled_from(["input", "result"]))
def test_no_secret_survives_anywhere(made: tuple[Json, str], name: str) -> None:
    """Neither in its place, nor in another body, an error, an alias, a key, or a pointer to what was masked."""
    document, secret = made
    other = {"input": "result", "result": "input"}[name]

    masked = Masker().mask(
        {
            name: copy.deepcopy(document),
            other: {"echo": secret, f"-{secret}-": 1},
            "alias": f"sip:{secret}@example.com",
            "error": {"code": "x", "message": f"no meeting with {secret} here"},
        }
    )

    assert not is_there(secret, [masked.document, list(masked.erased), list(masked.masked)])
    assert any(pointer.startswith(f"/{name}/more/1/") for pointer in masked.masked)


@settings(deadline=None)
@given(made=documents())
def test_masking_works_on_a_copy_of_what_was_answered(made: tuple[Json, str]) -> None:
    """What the caller gets is text that was made before; masking reads it and changes nothing."""
    document, _ = made
    answer = json.dumps(document).encode()
    before = bytes(answer)

    Masker(MASKS.read("/input/any,/result/more/*")).mask({"input": json.loads(answer), "result": json.loads(answer)})

    assert answer == before


def test_what_is_no_secret_stays_as_it_is() -> None:
    """A document without secrets comes back equal, and nothing is said to be masked."""
    plain = {"call": {"local_alias": "room@example.com", "protocol": "sip", "pinned": True, "n": [1, 2.5, None]}}

    masked = Masker().mask({"input": copy.deepcopy(plain)})

    assert (masked.document, masked.erased, masked.masked) == ({"input": plain}, (), ())


@pytest.mark.parametrize("value", [None, True, False, "", [], {}])
def test_that_there_is_no_secret_is_none(value: Json) -> None:
    """Whether a room has a PIN is worth knowing; its absence tells nothing."""
    assert Masker().mask({"result": {"pin": value}}).document == {"result": {"pin": value}}


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("Bearer abcdefgh", f"Bearer {COVER}"),
        ("https://u:pass@host/", f"https://u:{COVER}@host/"),
        ("/x?pin=1234&y=2", f"/x?pin={COVER}&y=2"),
        ("sip:room;pin=1234", f"sip:room;pin={COVER}"),
        ('{"pin": "12\\"34", "a": 1}', f'{{"pin": "{COVER}", "a": 1}}'),
        ("pst_abcdefghijk", COVER),
    ],
)
def test_credentials_inside_of_texts_are_covered(text: str, covered: str) -> None:
    """As in the server's own log."""
    assert Masker().mask({"result": {"a": [text]}}).document == {"result": {"a": [covered]}}


def test_a_short_pin_is_no_part_of_other_numbers() -> None:
    """Digits of a PIN are in many an id; as a word of its own it is covered, as part of one it is not."""
    masked = Masker().mask({"result": {"pin": "1234", "id": "f12345", "at": 1712345, "text": "PIN: 1234.", "n": 1234}})

    assert masked.document["result"] == {
        "pin": COVER,
        "id": "f12345",
        "at": 1712345,
        "text": f"PIN: {COVER}.",
        "n": COVER,
    }


def test_masks_point_at_members_and_elements() -> None:
    """``*`` is any of them; what is not there is nothing to be masked; a taken element leaves its place."""
    masks = MASKS.read("/input/a~1b,/input/list/1,/input/*/deep/*/x=text:hidden,/input/none/here,/alias=hash")
    document = {
        "input": {"a/b": "gone", "list": [1, 2, 3], "m": {"deep": [{"x": 1}, {"y": 1}]}},
        "alias": "ada@example.com",
    }

    masked = Masker(masks, b"key").mask(document)

    assert masked.document["input"] == {"list": [1, None, 3], "m": {"deep": [{"x": "hidden"}, {"y": 1}]}}
    assert masked.erased == ("/input/a~1b", "/input/list/1")
    assert masked.masked == ("/input/m/deep/0/x", "/alias")
    assert str(masked.document["alias"]).startswith("hmac-sha256:")


def test_hashes_are_the_same_for_the_same_value_and_key() -> None:
    """So that the calls of one person can be counted without knowing who it is."""
    masks = MASKS.read("/input/user=hash")

    def hashed(user: Json, key: bytes) -> Json:
        return Masker(masks, key).mask({"input": {"user": user}}).document["input"]["user"]  # type: ignore[index,call-overload]

    assert hashed("ada", b"k") == hashed("ada", b"k")
    assert len({str(hashed(*each)) for each in [("ada", b"k"), ("ada", b"l"), ("bob", b"k"), (1, b"k")]}) == 4


def test_the_prefix_in_front_of_pexips_addresses_is_hidden() -> None:
    """Some make it hard to guess; an empty one is no secret."""
    hidden = Masker().mask({"input": {"mount": "/hard-to-guess"}, "result": "/hard-to-guess"}, also=(MOUNT,))

    assert (hidden.document, hidden.masked) == ({"input": {"mount": COVER}, "result": COVER}, ("/input/mount",))
    assert Masker().mask({"input": {"mount": ""}}, also=(MOUNT,)).document == {"input": {"mount": ""}}


def test_too_many_repeated_secrets_are_refused() -> None:
    """Looking for each of them everywhere would take long; nothing is kept then."""
    secrets = [f"secret-{each:06}" for each in range(300)]

    with pytest.raises(ValueError, match="too many secrets"):
        Masker().mask({"input": {"token": secrets}, "result": secrets})


def test_hostile_texts_take_no_long_time() -> None:
    """Patterns look at 32 KiB of nearly-matches in a fraction of a second."""
    started = time.process_time()
    for text in ("-eyJaaaaa" * 4000, '"pin"' * 7000, "?pin" * 8000, "://a:" * 7000, "basic " * 6000, "pin" * 11000):
        Masker().mask({"input": {text: text}})

    assert time.process_time() - started < 3


def test_the_masks_of_the_page_leave_nothing_of_the_caller() -> None:
    """Whatever docs/decisions.md shows is copied: each place of a call's input that has an alias or a name is in it."""
    page = (Path(__file__).parents[3] / "docs/decisions.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", page, flags=re.S)
    assert example is not None
    masks = MASKS.read(tomllib.loads(example[1])["decision_log_mask"])
    query = parse_query("local_alias=sales&remote_alias=sip:bo@corp.example&remote_display_name=Bo")
    asked = read_request(RequestKind.SERVICE, alias=None, query=query, received_at=datetime.now(UTC), mount="")

    masked = Masker(masks, b"key").mask({"input": asked})

    assert re.findall(r"corp|\bbo\b", json.dumps(masked.document), flags=re.I) == []

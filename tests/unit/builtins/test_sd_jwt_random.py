"""SD-JWTs at random: what is disclosed comes out, and every change is noticed."""

from typing import Any

import pytest
from extension_calls import Extended, new_call
from hypothesis import given, settings
from hypothesis import strategies as st
from sd_jwt_issuer import AT, BOUND, HOLDER, ISSUER, bind, digest, disclosure, issue, present

from policy_server.model.errors import BuiltinFailed

ASK = Extended()


def verify(token: str, **options: object) -> dict[str, Any]:
    """Verify with the issuer's key."""
    return ASK("sd_jwt.verify", token, {"key": ISSUER, **options}, call=new_call(now=AT))


def hiding(**claims: object) -> tuple[str, list[str]]:
    """Issue a token all of whose claims are hidden, and return the disclosures."""
    parts = [disclosure(name, value) for name, value in claims.items()]
    return issue({"_sd": [digest(each) for each in parts], "cnf": {"jwk": HOLDER}}), parts


NAMES = st.text(min_size=1, max_size=6).filter(lambda name: name not in {"_sd", "...", "_sd_alg", "cnf"})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=15,
)
CLEAR, SHOWN, HIDDEN = "clear", "shown", "hidden"
HOW = st.sampled_from([CLEAR, SHOWN, HIDDEN])


def hide(value: Any, data: st.DataObject, parts: list[str]) -> tuple[Any, Any]:
    """Return a value as the issuer embeds it, and as it comes out; adds the disclosures that are shown."""
    if isinstance(value, dict):
        return _hide_members(value, data, parts)
    if not isinstance(value, list):
        return value, value
    embedded, expected = [], []
    for each in value:
        how, below = data.draw(HOW), list[str]()
        inside, out = hide(each, data, below)
        part = disclosure(inside)
        embedded.append(inside if how == CLEAR else {"...": digest(part)})
        if how != HIDDEN:
            expected.append(out)
            parts += below if how == CLEAR else [*below, part]
    return embedded, expected


def _hide_members(value: dict[str, Any], data: st.DataObject, parts: list[str]) -> tuple[Any, Any]:
    embedded: dict[str, Any] = {}
    expected: dict[str, Any] = {}
    digests = [digest(disclosure("decoy"))] if data.draw(st.booleans()) else []
    for name, each in value.items():
        how, below = data.draw(HOW), list[str]()
        inside, out = hide(each, data, below)
        part = disclosure(name, inside)
        if how == CLEAR:
            embedded[name] = inside
        else:
            digests.append(digest(part))
        if how != HIDDEN:
            expected[name] = out
            parts += below if how == CLEAR else [*below, part]
    return (embedded | {"_sd": data.draw(st.permutations(digests))} if digests else embedded), expected


@settings(deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=5), st.data())
def test_what_is_disclosed_comes_out_and_nothing_else(claims: dict[str, Any], data: st.DataObject) -> None:
    """Whatever is hidden, however deep, in whatever order it is shown."""
    parts: list[str] = []
    embedded, expected = hide({f"x{name}": value for name, value in claims.items()}, data, parts)
    token = present(issue(embedded), data.draw(st.permutations(parts)))

    assert ASK("sd_jwt.decode", token)["payload"] == expected
    assert verify(token)["payload"] == expected


@settings(deadline=None)
@given(st.data())
def test_every_other_letter_is_noticed(data: st.DataObject) -> None:
    """Anywhere in what was presented and bound."""
    issued, parts = hiding(given_name="Ada", age=36, address={"city": "London"})
    token = bind(present(issued, parts[:2]))
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("~.ABab01-_=é ").filter(lambda each: each != token[place]))

    changed = token[:place] + letter + token[place + 1 :]

    assert verify(token, key_binding=BOUND)["valid"]
    assert not verify(changed, key_binding=BOUND)["valid"]


@settings(deadline=None)
@given(st.data())
def test_every_other_choice_of_disclosures_is_noticed(data: st.DataObject) -> None:
    """Fewer, more, twice, another's, in another order: the holder has bound these."""
    issued, parts = hiding(a=1, b=2, c=3, d=4)
    bound = bind(present(issued, parts[:2]))
    binding = bound.rpartition("~")[2]
    pool = [*parts, disclosure("e", 5)]
    chosen = data.draw(st.lists(st.sampled_from(pool), max_size=4).filter(lambda each: each != parts[:2]))

    assert verify(bound, key_binding=BOUND)["valid"]
    assert not verify(present(issued, chosen) + binding, key_binding=BOUND)["valid"]


@settings(deadline=None)
@given(st.text(max_size=60) | st.text("~.eyJA-_", max_size=60))
def test_any_text_has_an_answer(token: str) -> None:
    """Not valid, and no error that nobody expects."""
    assert not verify(token)["valid"]
    with pytest.raises(BuiltinFailed):
        ASK("sd_jwt.decode", token)

"""OPA's signatures of bundles; OPA itself is asked in test_opa_native.py."""

import hmac
import json
import string
from collections.abc import Callable

import pytest
from bundle_samples import OPA_FILES, opa_signed, pem, private, public_jwk, token
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_server.bundles.opa_archive import pack, unpack
from policy_server.bundles.opa_signatures import SIGNATURES, add_signature, canonical, check_files, find_signature
from policy_server.bundles.verification import Verification
from policy_server.jose import jws
from policy_server.model.errors import BundleUnverified, InputError, InvalidBundle, PolicyServerError, UnusableKey

KEY = public_jwk("P-256").encode()
SIGNED = unpack(opa_signed())
YAML = {"name": "x/data.yaml", "hash": "00", "algorithm": "SHA-256"}


def claims(**more: object) -> dict[str, object]:
    """Return what the signature of the sample says."""
    return {**json.loads(find_signature(SIGNED).token.payload), **more}


def changed(files: dict[str, bytes | None]) -> dict[str, bytes]:
    """Return the sample with other files; None takes one out."""
    return {name: content for name, content in {**SIGNED, **files}.items() if content is not None}


def resigned(*tokens: str, **more: object) -> dict[str, bytes]:
    """Return the sample with another signature."""
    return changed({SIGNATURES: json.dumps({"signatures": tokens, **more}).encode()})


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('{"b": 1, "a": [1, 2.50, 1e3, -0]}', '{"a":[1,2.50,1e3,-0],"b":1}'),
        ('{"a": 1, "a": 2}', '{"a":2}'),
        ('{"ä": "<&>\\u0001\\b\\f\\t\\u007f\\/"}', '{"ä":"<&>\\u0001\\b\\f\\t\x7f/"}'),
        ('"\\u2028\\u2029\\ud83d\\ude00"', '"\\u2028\\u2029😀"'),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ('{"😀": 1, "\uffee": 2}', '{"\uffee":2,"😀":1}'),
        ("\ufeff[null, true, false, {}, []]", "[null,true,false,{},[]]"),
    ],
)
def test_documents_are_hashed_by_their_meaning(document: str, expected: str) -> None:
    """Ordered by name in UTF-8, numbers as they are spelled, strings as Go writes them."""
    assert canonical(document.encode()) == expected.encode()


@pytest.mark.parametrize("document", ["", "{", "NaN", "a: 1", '"\\ud800"', "[" * 100_000])
def test_what_is_no_document_has_no_hash(document: str) -> None:
    """A lone surrogate means different things to different readers."""
    with pytest.raises(InvalidBundle):
        canonical(document.encode())


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "RSA", "Ed25519"])
def test_what_was_signed_is_verified(kind: str) -> None:
    """With a JWK; spaces and order in documents do not matter."""
    files = unpack(opa_signed(kind))
    files["data.json"] = b'{\n"n": 1.50, "admins":["alice"]}'

    Verification(public_jwk(kind).encode()).check(files)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (changed({SIGNATURES: None}), "no signature"),
        (changed({f"x/{SIGNATURES}": b"{}"}), "twice"),
        (changed({"g/p/policy.rego": b"package g.p\n"}), "g/p/policy.rego is not the file that was signed"),
        (changed({"data.json": b'{"admins": ["alice"], "n": 1.5}'}), "data.json is not the file"),
        (changed({"data.json": b"a: 1"}), "data.json cannot be hashed"),
        ({**resigned(token(claims(files=[*claims()["files"], YAML]))), "x/data.yaml": b"a: 1"}, "YAML"),
        (changed({".manifest": b'{"roots": ["x"]}'}), ".manifest is not the file"),
        (changed({"data.json": None}), "data.json was signed, and is not in the bundle"),
        (changed({"more.rego": b"package more"}), "more.rego is not in the bundle's signature"),
        (resigned(), "exactly one token"),
        (resigned("a.b.c", "a.b.c"), "exactly one token"),
        (resigned(token(claims()), plugin="ours"), "plugin"),
        (resigned(token(claims(), "P-256", "stranger")), "not signed with this key"),
        (resigned(token(claims(), "Ed25519")), "not signed with this key"),
        (resigned(token(claims(), alg="ES384")), "not signed with this key"),
        (resigned(token(claims(scope="write"))), "another scope"),
        (resigned(token({})), "is not in the bundle's signature"),
        (resigned(token(claims(files={}))), "no list"),
        (resigned(token(claims(files=[{"name": "x"}]))), "no name, hash or algorithm"),
        (resigned(token(claims(files=2 * claims()["files"]))), "a file is there twice"),
        (resigned(token(claims(scope=["write"]))), "must be texts"),
        (changed({SIGNATURES: b"{"}), "cannot be read"),
        (changed({SIGNATURES: b"[]"}), "cannot be read"),
    ],
)
def test_anything_else_is_refused(files: dict[str, bytes], told: str) -> None:
    """With the reason."""
    with pytest.raises(BundleUnverified, match=told):
        Verification(KEY).check(files)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256"])
def test_a_token_without_a_real_signature_is_refused(algorithm: str) -> None:
    """Nobody's, or one made with the public key as if it were a secret."""
    signed = jws.signing_input({"alg": algorithm}, json.dumps(claims()).encode())

    for made in (b"", hmac.digest(KEY, signed, "sha256")):
        with pytest.raises(BundleUnverified):
            Verification(KEY).check(resigned(jws.join(signed, made)))


@pytest.mark.parametrize("weak", ["MD5", "SHA-1", "sha-256", ""])
def test_weak_hashes_are_refused(weak: str) -> None:
    """OPA takes them: two files with one such hash can be made."""
    files = [{**each, "algorithm": weak} for each in claims()["files"]]

    with pytest.raises(BundleUnverified, match="not accepted"):
        Verification(KEY).check(resigned(token(claims(files=files))))


def test_a_secret_counts_where_it_is_asked_for() -> None:
    """By the algorithm that the operator names, with something that is no public key."""

    def sign(payload: object) -> str:
        signed = jws.signing_input({"alg": "HS256"}, json.dumps(payload).encode())
        return jws.join(signed, hmac.digest(b"secret", signed, "sha256"))

    files = add_signature(OPA_FILES, sign, claims={})

    Verification(b"secret", algorithm="HS256").check(files)
    for wrong in (
        Verification(b"other", algorithm="HS256"),
        Verification(b"secret"),
        Verification(b"secret", algorithm="HS512"),
        Verification(KEY, algorithm="HS256"),
    ):
        with pytest.raises((BundleUnverified, UnusableKey)):
            wrong.check(files)


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (Verification(KEY, algorithm="ES256"), True),
        (Verification(KEY, algorithm="ES384"), False),
        (Verification(KEY, algorithm="none"), False),
        (Verification(KEY, scope="write"), False),
        (Verification(KEY, key_id="any"), True),
        (Verification(json.dumps({"keys": [json.loads(public_jwk("RSA")), json.loads(KEY)]}).encode()), True),
        (Verification(json.dumps({"keys": [{**json.loads(KEY), "kid": "a"}] * 2}).encode(), key_id="a"), True),
        (Verification(json.dumps({"keys": [{**json.loads(KEY), "kid": "a"}] * 2}).encode(), key_id="b"), False),
        (Verification(pem("P-256").encode()), False),
        (Verification(b"\xff"), False),
        (Verification(b""), False),
    ],
)
def test_the_operator_says_what_must_have_signed(check: Verification, good: bool) -> None:
    """One algorithm, a scope, one key of a set; a private key is none to verify with."""
    if good:
        check.check(SIGNED)
    else:
        with pytest.raises(PolicyServerError):
            check.check(SIGNED)


@pytest.mark.parametrize(
    ("pattern", "good"),
    [("more/a.rego", True), ("more/*", True), ("*/?.rego", True), ("*", False), ("more", False), ("a.rego", False)],
)
def test_files_may_be_left_out(pattern: str, good: bool) -> None:
    """By patterns in which nothing stands for a slash."""
    files = {**SIGNED, "more/a.rego": b"package more"}

    if good:
        Verification(KEY, exclude=(pattern,)).check(files)
    else:
        with pytest.raises(BundleUnverified):
            Verification(KEY, exclude=(pattern,)).check(files)


def test_what_may_be_left_out_may_be_missing_too() -> None:
    """As OPA has it; a pattern that would be read differently there is refused."""
    Verification(KEY, exclude=("data.json",)).check(changed({"data.json": None}))

    for odd in ("", "[ab]", "a\\*"):
        with pytest.raises(InputError):
            Verification(KEY, exclude=(odd,)).check(SIGNED)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=5)


@settings(deadline=None)
@given(JSON, st.booleans())
def test_spelling_does_not_matter(document: object, escaped: bool) -> None:
    """Order, white space and escapes of a document."""
    plain = json.dumps(document, sort_keys=True, ensure_ascii=escaped, indent=1).encode()

    assert canonical(plain) == canonical(json.dumps(document, ensure_ascii=not escaped).encode())
    assert json.loads(canonical(plain)) == document


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=20), min_size=1, max_size=4), st.data())
def test_every_change_of_files_is_noticed(files: dict[str, bytes], data: st.DataObject) -> None:
    """One more, one less, one renamed, one changed."""
    signed = add_signature(files, lambda payload: token(payload, "Ed25519"), claims={})
    check = Verification(public_jwk("Ed25519").encode())
    check.check(unpack(pack(signed)))
    name = data.draw(st.sampled_from(sorted(files)))
    changes: list[Callable[[dict[str, bytes]], object]] = [
        lambda each: each.pop(name),
        lambda each: each.update({name: each[name] + b"x"}),
        lambda each: each.update({f"{name}/{name}": each.pop(name)}),
        lambda each: each.update({f"{name}.rego": b""}),
    ]

    data.draw(st.sampled_from(changes))(signed)

    with pytest.raises(BundleUnverified):
        check.check(signed)


def test_the_signature_names_the_files_once() -> None:
    """And not itself; other claims come along."""
    found = find_signature(add_signature({"a": b"x"}, token, claims={"scope": "s", "iss": "i", "iat": 7}))

    assert (set(found.files), found.scope, found.issuer, found.issued_at) == ({"a"}, "s", "i", 7)
    assert find_signature({"a": b"x"}) is None
    check_files(found, {"a": b"x", SIGNATURES: b"whatever"})
    assert jws.verifies(private("P-256").public_key(), found.token)

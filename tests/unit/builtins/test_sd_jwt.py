"""SD-JWTs: the examples of the IETF, every rule of RFC 9901, and claims at random."""

import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from bundle_samples import public_jwk, public_pem
from extension_calls import Extended, new_call
from sd_jwt_issuer import AT, BOUND, HOLDER, ISSUER, bind, digest, disclosure, issue, present

from policy_server.jose import jws
from policy_server.jose.keys import encode
from policy_server.model.errors import BuiltinFailed

ASK = Extended()
EXAMPLES = Path(__file__).with_name("sd_jwt")
IETF = {
    "kty": "EC",
    "crv": "P-256",
    "x": "b28d4MwZMjw8-00CG4xfnn9SLMVMM19SlqZpVb_uNtQ",
    "y": "Xv5zWwuoaTgdS6hV43yI6gBwTnjukmFQQnJ_kCxzqk8",
}
"""The issuer's key of draft-ietf-oauth-selective-disclosure-jwt-20, A.5."""

IETF_BOUND = {"aud": "https://verifier.example.org", "nonce": "1234567890"}
IETF_AT = 1748361941.0
VCT = "urn:example:id"
CNF = {"cnf": {"jwk": HOLDER}}


def example(name: str) -> str:
    """Return a token of the draft, printed as it is there."""
    return "".join((EXAMPLES / f"{name}.txt").read_text().split())


def verify(token: str, *, now: float = AT, **options: object) -> dict[str, Any]:
    """Verify with the issuer's key."""
    return ASK("sd_jwt.verify", token, {"key": ISSUER, **options}, call=new_call(now=now))


def reason(token: str, **options: Any) -> str:
    """Return why a token is not valid."""
    found = verify(token, **options)
    assert found.keys() == {"valid", "reason"}
    assert found["valid"] is False
    return str(found["reason"])


def hiding(**claims: object) -> tuple[str, list[str]]:
    """Issue a token all of whose claims are hidden, and return the disclosures."""
    parts = [disclosure(name, value) for name, value in claims.items()]
    return issue({"_sd": [digest(each) for each in parts], "vct": VCT, **CNF}), parts


@pytest.mark.parametrize(
    ("name", "binding", "shown"),
    [
        ("presentation", True, {"given_name": "John", "family_name": "Doe", "nationalities": ["US"], "sub": "user_42"}),
        ("credential", True, {"age_equal_or_over": {"18": True}, "nationalities": ["DE"], "vct": "urn:eudi:pid:de:1"}),
        ("nested", False, {}),
    ],
)
def test_the_examples_of_the_ietf_are_valid(name: str, binding: bool, shown: Mapping[str, object]) -> None:
    """Sections 5.2, A.3 and A.2 of the draft that became RFC 9901, with the holder's key binding."""
    options = {"key": IETF, "key_binding": IETF_BOUND} if binding else {"key": IETF}

    found = ASK("sd_jwt.verify", example(name), options, call=new_call(now=IETF_AT))

    assert found["valid"]
    assert {each: found["payload"][each] for each in shown} == shown
    assert not {"_sd", "_sd_alg", "..."} & found["payload"].keys()
    assert (found["key_binding"] or {}).get("nonce") == ("1234567890" if binding else None)


def test_the_example_with_disclosures_in_disclosures_is_put_together() -> None:
    """Section A.2: an element of an array whose members were hidden, too."""
    claims = ASK("sd_jwt.decode", example("nested"))["payload"]["verified_claims"]

    assert claims["verification"] == {
        "trust_framework": "de_aml",
        "evidence": [{"method": "pipp"}],
        "time": "2012-04-23T18:25Z",
    }
    assert claims["claims"]["address"]["street_address"] == "Weidenstraße 22"


def test_a_token_is_decoded_without_a_key() -> None:
    """Header, claims, disclosures, and the holder's token."""
    issued, parts = hiding(given_name="Ada", age=36)

    found = ASK("sd_jwt.decode", bind(present(issued, parts[:1])))

    assert found["header"] == {"alg": "ES256", "typ": "dc+sd-jwt"}
    assert found["payload"] == {"vct": VCT, "given_name": "Ada", **CNF}
    assert [each[1:] for each in found["disclosures"]] == [["given_name", "Ada"]]
    assert found["key_binding"]["header"]["typ"] == "kb+jwt"
    assert found["key_binding"]["payload"]["nonce"] == BOUND["nonce"]
    assert ASK("sd_jwt.decode", present(issued))["key_binding"] is None


def sd(*digests: object, **claims: object) -> str:
    """Issue a token with such digests at the top."""
    return issue({"_sd": list(digests), **claims})


NAME, OTHER = disclosure("name", "Ada"), disclosure("other", 1)
ENTRY = disclosure("DE")
DAMAGED: list[tuple[str, str]] = [
    ("a.b.c", "tilde"),
    (issue({}), "tilde"),
    ("~", "three parts"),
    ("a.b~", "three parts"),
    (present(issue({}), ["", NAME]), "empty"),
    (present(sd(digest(NAME)), [NAME, NAME]), "a disclosure is there twice"),
    (present(sd(digest(NAME)), [OTHER]), "fits no digest"),
    (present(issue({}), [NAME]), "fits no digest"),
    (present(sd(digest(NAME), digest(NAME)), [NAME]), "a digest is there twice"),
    (present(sd("decoy", "decoy")), "a digest is there twice"),
    (present(issue({"a": {"_sd": ["x"]}, "b": [{"...": "x"}]})), "a digest is there twice"),
    (present(sd(7)), "a digest is no text"),
    (present(issue({"_sd": "x"})), "is no list"),
    (present(issue({"b": [{"...": 7}]})), "a digest is no text"),
    (present(issue({"b": [{"...": "x", "y": 1}]})), "other members"),
    (present(issue({"...": "x"})), "may not be"),
    (present(issue({"a": {"_sd_alg": "sha-256"}})), "may not be"),
    (present(sd(digest(NAME), name="Eve"), [NAME]), "there already"),
    (present(sd(digest(ENTRY)), [ENTRY]), "stands for a claim"),
    (present(issue({"b": [{"...": digest(NAME)}]}), [NAME]), "stands for an array's element"),
    (present(issue({"_sd_alg": "md5"})), "no hash that is known"),
    (present(issue({"_sd_alg": ["sha-256"]})), "no hash that is known"),
    (present(issue({}), ["!!"]), "base64url"),
    (present(issue({}), [encode(b"{}")]), "no array"),
    (present(issue({}), [encode(b'["salt"]')]), "no array"),
    (present(issue({}), [encode(b'[1, "name", 2]')]), "no array"),
    (present(issue({}), [encode(b'["salt", 1, 2]')]), "no text"),
    (present(issue({}), [encode(b'["s", "n", {"a": 1, "a": 2}]')]), "twice"),
    (present(issue({}), [encode(b'["s", "n", 1e999]')]), "too large"),
    (present(issue({}), [encode(b'["s", "n", "\\ud800"]')]), "surrogates"),
    (present(issue({}), [encode(b"[" * 100_000)]), "nested too deeply"),
    (present(issue([])), "no JSON object"),  # type: ignore[arg-type]
    (present(issue({}, crit=["x"])), "extensions"),
    ("x" * ((1 << 20) + 1), "longer than"),
    *(
        (present(sd(digest(each)), [each]), "may not be disclosed")
        for each in (disclosure(name, 1) for name in ("_sd", "...", "_sd_alg"))
    ),
]


@pytest.mark.parametrize(("token", "told"), DAMAGED, ids=[f"{told} {n}" for n, (_, told) in enumerate(DAMAGED)])
def test_what_breaks_a_rule_is_refused(token: str, told: str) -> None:
    """By both functions: decoding fails, verifying says why not."""
    with pytest.raises(BuiltinFailed, match=told) as caught:
        ASK("sd_jwt.decode", token)

    assert caught.value.code == "argument"
    assert not verify(token)["valid"]


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-384", "sha-512"])
def test_the_token_names_its_hash(algorithm: str) -> None:
    """For disclosures, and for the holder's token."""
    python = algorithm.replace("-", "")
    token = present(issue({"_sd": [digest(NAME, python)], "_sd_alg": algorithm, **CNF}), [NAME])

    found = verify(bind(token, sd_hash=digest(token, python)), key_binding=BOUND)

    assert found["payload"] == {"name": "Ada", **CNF}
    assert "other disclosures" in reason(bind(token, sd_hash="x"), key_binding=BOUND)


@pytest.mark.parametrize(
    ("claims", "options", "told"),
    [
        ({"exp": AT + 60, "nbf": AT - 60, "iat": AT - 60}, {}, ""),
        ({"exp": AT}, {}, ""),
        ({"exp": AT}, {"leeway": 0}, "expired"),
        ({"exp": AT - 30}, {}, "expired"),
        ({"exp": AT + 0.5}, {"leeway": 0}, ""),
        ({"nbf": AT + 30}, {}, ""),
        ({"nbf": AT + 31}, {}, "not valid yet"),
        ({"iat": AT + 31}, {}, "in the future"),
        ({"exp": AT + 60}, {"time": (AT + 120) * 10**9}, "expired"),
        ({"exp": str(AT + 60)}, {}, "exp is no number"),
        ({"exp": True}, {}, "exp is no number"),
        ({"exp": None}, {}, "exp is no number"),
        ({"exp": 10**400}, {}, "exp is no time"),
        ({"iss": "https://a"}, {"iss": "https://a"}, ""),
        ({"iss": "https://a"}, {"iss": "https://b"}, "another issuer"),
        ({}, {"iss": "https://b"}, "another issuer"),
        ({"aud": "me"}, {"aud": "me"}, ""),
        ({"aud": ["you", "me"]}, {"aud": "me"}, ""),
        ({"aud": "me"}, {}, "another audience"),
        ({"aud": [None]}, {}, "another audience"),
        ({}, {"aud": "me"}, "nobody in particular"),
        ({"vct": VCT}, {"vct": VCT}, ""),
        ({"vct": VCT}, {"vct": ["urn:x", VCT]}, ""),
        ({"vct": VCT}, {"vct": ["urn:x"]}, "no credential of a type"),
        ({}, {"vct": VCT}, "no credential of a type"),
    ],
)
def test_claims_decide_whether_a_token_counts(claims: dict[str, object], options: dict[str, object], told: str) -> None:
    """Times with some leeway, issuer, audience and type where they are asked for."""
    token = present(issue(claims))

    found = verify(token, **options)

    assert found["valid"] is not bool(told)
    assert told in found.get("reason", "")


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "nbf", "cnf", "vct", "status"])
def test_a_claim_that_decides_cannot_be_hidden(name: str) -> None:
    """Else the holder could leave it out."""
    part = disclosure(name, {"x": 1} if name in {"cnf", "status"} else AT + 5)

    assert f"the claim {name} may not be" in reason(present(sd(digest(part)), [part]))


def test_a_credential_says_that_it_is_one() -> None:
    """A token of another kind by the same issuer is none, whatever claims it has."""
    token = present(issue({"vct": VCT}, typ="at+jwt"))

    assert verify(token)["valid"]
    assert "no credential of a type" in reason(token, vct=VCT)
    assert verify(present(issue({"vct": VCT}, typ="vc+sd-jwt")), vct=VCT)["valid"]


STRANGER = json.loads(public_jwk("P-256", "stranger"))


@pytest.mark.parametrize(
    ("key", "good"),
    [
        (ISSUER, True),
        (json.dumps(ISSUER), True),
        (public_pem("P-256", "issuer"), True),
        ({"keys": [STRANGER, ISSUER]}, True),
        ({"keys": [STRANGER]}, False),
        ({**ISSUER, "kid": "other"}, False),
        ({**ISSUER, "alg": "ES384"}, False),
        ({**ISSUER, "key_ops": ["sign"]}, False),
        (public_pem("P-256", "stranger"), False),
        (json.loads(public_jwk("RSA", "issuer")), False),
    ],
)
def test_the_issuers_keys_are_given_in_any_form(key: object, good: bool) -> None:
    """JWK, JWK Set or PEM; a key with another id, algorithm or use does not count."""
    token = present(issue({}, kid=ISSUER["kid"]))

    assert verify(token, key=key)["valid"] is good


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "RSA", "Ed25519"])
def test_every_kind_of_key_signs(kind: str) -> None:
    """And one may be all that is allowed."""
    token = present(issue({}, kind=kind))
    key = json.loads(public_jwk(kind, "issuer"))
    algorithm = ASK("sd_jwt.decode", token)["header"]["alg"]

    assert verify(token, key=key)["valid"]
    assert verify(token, key=key, algorithms=[algorithm])["valid"]
    assert "are allowed" in reason(token, key=key, algorithms=sorted(jws.ASYMMETRIC - {algorithm}))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES384"])
def test_a_header_does_not_choose_the_algorithm(algorithm: str) -> None:
    """No signature, or one with the public key as a secret."""
    signed = jws.signing_input({"alg": algorithm}, b"{}")
    secret = hmac.digest(public_pem("P-256", "issuer").encode(), signed, "sha256")

    for made in (b"", secret):
        token = present(jws.join(signed, made))
        assert "are allowed" in reason(token)
        assert "are allowed" in reason(token, key=public_pem("P-256", "issuer"))


def test_key_binding_is_asked_for_by_the_policy() -> None:
    """Not by the token: one that is there is not looked at unless it is wanted."""
    token = present(issue(CNF))

    assert verify(bind(token), key_binding=BOUND)["key_binding"]["aud"] == BOUND["aud"]
    assert verify(bind(token, owner="thief"))["key_binding"] is None
    assert "is missing" in reason(token, key_binding=BOUND)


@pytest.mark.parametrize(
    ("how", "options", "told"),
    [
        ({"owner": "thief"}, {}, "not signed by the holder"),
        ({"typ": "jwt"}, {}, "not kb+jwt"),
        ({"aud": "https://other.example.org"}, {}, "another audience"),
        ({"aud": [BOUND["aud"]]}, {}, "another audience"),
        ({"nonce": "old"}, {}, "another nonce"),
        ({"nonce": None}, {}, "another nonce"),
        ({"sd_hash": "x"}, {}, "other disclosures"),
        ({"sd_hash": None}, {}, "other disclosures"),
        ({"iat": None}, {}, "says no time"),
        ({"iat": AT - 331}, {}, "too old"),
        ({"iat": AT - 41}, {"max_age": 10}, "too old"),
        ({"iat": AT + 31}, {}, "in the future"),
        ({"exp": AT - 60}, {}, "expired"),
        ({}, {"algorithms": ["ES256"]}, "not signed by the holder"),
        ({"iat": AT - 329}, {"algorithms": ["EdDSA"]}, ""),
    ],
)
def test_a_key_binding_is_for_this_moment_and_for_us(
    how: dict[str, Any], options: dict[str, object], told: str
) -> None:
    """Signed by the holder, for our nonce and audience, over these disclosures, not long ago."""
    found = verify(bind(present(issue(CNF)), **how), key_binding={**BOUND, **options})

    assert found["valid"] is not bool(told)
    assert told in found.get("reason", "")


@pytest.mark.parametrize("cnf", [{}, {"cnf": {}}, {"cnf": {"kid": "x"}}, {"cnf": {"jwk": {"kty": "oct", "k": "AA"}}}])
def test_the_holder_needs_a_key(cnf: dict[str, object]) -> None:
    """One that the issuer has signed."""
    assert "of the holder" in reason(bind(present(issue(cnf))), key_binding=BOUND)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "the option key is missing"),
        ({"key": ISSUER, "audience": "x"}, "no option 'audience', only algorithms, aud, iss, key"),
        ({"key": 7}, "must be a text or an object"),
        ({"key": "what"}, "cannot be used"),
        ({"key": {"kty": "oct", "k": "AAAA"}}, "cannot be used"),
        ({"key": {"keys": []}}, "cannot be used"),
        ({"key": ISSUER, "algorithms": ["HS256"]}, "'HS256' cannot be allowed, only ES256"),
        ({"key": ISSUER, "algorithms": ["none"]}, "'none' cannot be allowed"),
        ({"key": ISSUER, "leeway": -1}, "leeway must be a number"),
        ({"key": ISSUER, "time": "now"}, "time must be a number"),
        ({"key": ISSUER, "vct": 7}, "vct must be a text"),
        ({"key": ISSUER, "key_binding": True}, "key_binding must be an object"),
        ({"key": ISSUER, "key_binding": {"aud": "x"}}, "the option nonce is missing"),
        ({"key": ISSUER, "key_binding": {"aud": "", "nonce": "n"}}, "the option aud is empty"),
        ({"key": ISSUER, "key_binding": {**BOUND, "none": 1}}, "no option 'none'"),
    ],
)
def test_options_that_do_not_fit_are_failures(options: dict[str, object], told: str) -> None:
    """Whatever the token is: an oversight of the policy is no property of the token."""
    with pytest.raises(BuiltinFailed, match=told) as caught:
        ASK("sd_jwt.verify", "whatever", options)

    assert caught.value.code == "argument"

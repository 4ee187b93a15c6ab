"""JSON Web Tokens, signed by keys made here, checked with keys from a real server."""

import base64
import hmac
import json
import logging
from dataclasses import replace

import pytest
from auth_issuer import NOW, Issuer, Time, claims, make_key, sign
from joserfc.jwk import RSAKey

from policy_server.auth import bearer as bearer_module
from policy_server.auth.bearer import Bearer
from policy_server.auth.issuers import Issuers
from policy_server.auth.keys import PublicKey
from policy_server.auth.rules import ALGORITHMS, BearerRules
from policy_server.model.errors import NotAuthenticated
from policy_server.model.principal import Grant, Role

RULES = BearerRules(issuers=("https://issuer.example",), audiences=("policies", "other"))
KEY = make_key("k1")
STRANGER = make_key("k1")
BIG = make_key("rsa", "RSA")


@pytest.fixture
def bearer(issuer: Issuer, clock: Time) -> Bearer:
    """Who checks tokens; the issuer publishes three keys."""
    issuer.publish([KEY, BIG, make_key("enc", use="enc")])
    return Bearer(issuer.reader(clock), RULES, clock)


def refused(bearer: Bearer, token: str) -> str:
    """Return the kind of the refusal."""
    with pytest.raises(NotAuthenticated) as caught:
        bearer.identify(token)
    assert token not in caught.value.message
    return caught.value.kind


def test_a_good_token_names_its_holder_and_what_it_grants(bearer: Bearer) -> None:
    """Words of other services in the scope are no grants."""
    principal = bearer.identify(sign(KEY, claims()))

    assert principal.name == "jwt:alice"
    assert principal.grants == (Grant(Role.EVALUATE), Grant(Role.READ, "mine"))


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"exp": NOW.timestamp() - 31}, "expired"),
        ({"exp": None}, "expired"),
        ({"exp": "tomorrow"}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": 10**400}, "malformed"),
        ({"exp": [1]}, "malformed"),
        ({"nbf": NOW.timestamp() + 31}, "early"),
        ({"nbf": "x"}, "malformed"),
        ({"iss": "https://other.example"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"iss": ["https://issuer.example"]}, "issuer"),
        ({"aud": "somebody-else"}, "audience"),
        ({"aud": ["a", "b"]}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": {"policies": 1}}, "audience"),
    ],
)
def test_claims_that_do_not_fit_are_refused(bearer: Bearer, changed: dict[str, object], kind: str) -> None:
    """Run out, not yet, of another issuer, for somebody else, or no claims of that kind at all."""
    try:
        token = sign(KEY, claims(**changed))
    except ValueError:  # a number that Python does not write
        token = sign(KEY, json.dumps(claims(exp=0)).replace('"exp": 0', '"exp": 1' + "0" * 400).encode())

    assert refused(bearer, token) == kind


@pytest.mark.parametrize(
    "changed",
    [{"exp": NOW.timestamp() - 29}, {"nbf": NOW.timestamp() + 29}, {"aud": ["x", "policies"]}, {"nbf": 0}],
)
def test_clocks_may_differ_a_little_and_audiences_be_several(bearer: Bearer, changed: dict[str, object]) -> None:
    """Thirty seconds; any of the audiences does."""
    assert bearer.identify(sign(KEY, claims(**changed))).name == "jwt:alice"


def test_a_signature_of_another_key_is_refused(bearer: Bearer) -> None:
    """Its kid is the issuer's, its key is not."""
    assert refused(bearer, sign(STRANGER, claims())) == "signature"


def test_an_unsigned_token_is_refused(bearer: Bearer) -> None:
    """Neither alg none nor a cut signature counts, however it is written."""
    head, body, _ = sign(KEY, claims()).split(".")

    for alg in ("none", "None", "NONE", "nOnE", ""):
        fake = _part({"alg": alg, "kid": "k1"})
        assert refused(bearer, f"{fake}.{body}.") == "malformed"
        assert refused(bearer, f"{fake}.{body}.AAAA") == "algorithm"
    assert refused(bearer, f"{head}.{body}.") == "malformed"
    assert refused(bearer, f"{head}.{body}.AAAA") == "signature"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_shared_secret(bearer: Bearer, alg: str) -> None:
    """Whoever signs with HMAC over the published key, in any form, is refused."""
    forms = [BIG.as_pem(private=False), json.dumps(BIG.as_dict(private=False)).encode(), BIG.as_der(private=False)]

    for secret in forms:
        signed = f"{_part({'alg': alg, 'kid': 'rsa'})}.{_part(claims())}"
        mac = hmac.new(secret, signed.encode(), f"sha{alg[2:]}").digest()
        assert refused(bearer, f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}") == "algorithm"


def test_shared_secrets_cannot_be_allowed(issuer: Issuer, clock: Time) -> None:
    """Not even by a setting."""
    with pytest.raises(ValueError, match="HS256"):
        Bearer(issuer.reader(clock), replace(RULES, algorithms=("HS256",)), clock)


def test_a_key_counts_for_its_own_algorithm_only(issuer: Issuer, clock: Time) -> None:
    """Of the kind of key, and the alg that the JWKS says; an algorithm that is not allowed is refused."""
    restricted = make_key("only", "RSA", alg="RS256")
    free = {name: value for name, value in restricted.as_dict(private=True).items() if name != "alg"}
    twin = RSAKey.import_key(free)
    issuer.publish([restricted, KEY])
    all_of_them = Bearer(issuer.reader(clock), RULES, clock)
    few = Bearer(issuer.reader(clock), replace(RULES, algorithms=("RS256",)), clock)

    assert all_of_them.identify(sign(restricted, claims(), alg="RS256")).name == "jwt:alice"
    assert refused(all_of_them, sign(twin, claims(), alg="PS256")) == "key"
    assert refused(all_of_them, sign(restricted, claims(), alg="RS256", kid="k1")) == "signature"
    assert refused(few, sign(KEY, claims())) == "algorithm"


@pytest.mark.parametrize(("kind", "alg"), [("OKP", "EdDSA"), ("OKP", "Ed25519"), ("RSA", "PS384"), ("RSA", "RS512")])
def test_every_kind_of_key_pair_works(issuer: Issuer, clock: Time, kind: str, alg: str) -> None:
    """RSA, with both paddings, and Ed25519 under both of its names."""
    key = make_key("any", kind)
    issuer.publish([key])

    assert alg in ALGORITHMS
    assert Bearer(issuer.reader(clock), RULES, clock).identify(sign(key, claims(), alg=alg)).name == "jwt:alice"


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ({"kid": None}, "key"),
        ({"kid": ""}, "key"),
        ({"kid": 7}, "key"),
        ({"kid": "enc"}, "key"),
        ({"crit": ["exp"], "exp": 1}, "malformed"),
        ({"b64": False}, "malformed"),
        ({"jku": "https://evil.example/keys", "kid": "evil"}, "key"),
        ({"jwk": STRANGER.as_dict(private=False)}, "signature"),
    ],
)
def test_headers_that_ask_for_more_are_refused(bearer: Bearer, header: dict[str, object], kind: str) -> None:
    """No kid, keys that the token itself brings, extensions."""
    good = sign(STRANGER, claims())
    alg = {"alg": "ES256", "kid": "k1"} | header
    fake = _part({name: value for name, value in alg.items() if value is not None})

    assert refused(bearer, ".".join([fake, *good.split(".")[1:]])) == kind


@pytest.mark.parametrize("token", ["", ".", "..", "a.b", "a.b.c", "a.b.c.d.e", "é.é.é", "\udcff.a.b", "e30.e30.e30"])
def test_what_is_no_token_is_refused(bearer: Bearer, token: str) -> None:
    """Nothing falls over."""
    with pytest.raises(NotAuthenticated):
        bearer.identify(token)


def test_a_long_token_is_refused_unread(bearer: Bearer, issuer: Issuer) -> None:
    """More than eight thousand bytes are no token; the issuer is not even asked for keys."""
    assert refused(bearer, sign(KEY, claims(pad="x" * 9000))) == "malformed"
    assert issuer.asked == 0


def test_the_payload_must_be_an_object(bearer: Bearer) -> None:
    """A signed list, text or nothing has no claims."""
    for payload in (b"[]", b'"x"', b"", b"\xff", b'{"exp":'):
        with pytest.raises(NotAuthenticated):
            bearer.identify(sign(KEY, payload))


@pytest.mark.parametrize(
    ("claim", "value", "granted"),
    [
        ("scope", "edit", ["edit"]),
        ("scp", ["read", "publish:a"], ["read", "publish:a"]),
        ("realm_access.roles", {"roles": ["evaluate", 7]}, ["evaluate"]),
        ("https://x.example/scopes", "read", ["read"]),
        ("nothing.at.all", {"roles": []}, ["evaluate"]),
        ("scope", 7, ["evaluate"]),
    ],
)
def test_scopes_are_where_the_operator_says(
    issuer: Issuer, clock: Time, claim: str, value: object, granted: list[str]
) -> None:
    """A text or a list, at the top or deeper; without any, what is set as default."""
    issuer.publish([KEY])
    rules = replace(RULES, scope_claim=(claim,), default_grants=(Grant(Role.EVALUATE),))
    name = claim if "://" in claim else claim.partition(".")[0]

    principal = Bearer(issuer.reader(clock), rules, clock).identify(sign(KEY, claims(scope=None) | {name: value}))

    assert [str(grant) for grant in principal.grants] == granted


def test_a_token_without_scopes_grants_nothing(bearer: Bearer) -> None:
    """Its holder is known, and may do nothing."""
    assert bearer.identify(sign(KEY, claims(scope="openid profile"))).grants == ()


def test_the_same_token_is_checked_once(
    issuer: Issuer, clock: Time, monkeypatch: pytest.MonkeyPatch, bearer: Bearer
) -> None:
    """Until it runs out, or the keys change."""
    checked: list[str] = []
    real = bearer_module.jws.deserialize_compact
    monkeypatch.setattr(  # counting calls of the library is the only way to see that there are none
        bearer_module.jws,
        "deserialize_compact",
        lambda token, *rest, **more: checked.append(token) or real(token, *rest, **more),
    )
    token = sign(KEY, claims())

    first = bearer.identify(token)
    clock.seconds += 329
    assert [bearer.identify(token) for _ in range(3)] == [first] * 3
    assert len(checked) == 1

    clock.seconds += 1
    assert refused(bearer, token) == "expired"


def test_a_remembered_token_is_forgotten_with_its_key(issuer: Issuer, clock: Time) -> None:
    """A key that the issuer took back makes its tokens useless at the next refresh."""
    issuer.publish([KEY])
    keys = issuer.reader(clock)
    bearer = Bearer(keys, RULES, clock)
    token = sign(KEY, claims())
    bearer.identify(token)

    issuer.publish([make_key("k2")])
    clock.seconds += 15
    keys.refresh()

    assert refused(bearer, token) == "key"


def test_what_is_remembered_is_bounded(bearer: Bearer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old ones are checked again rather than kept."""
    monkeypatch.setattr(bearer_module, "REMEMBERED", 3)  # a thousand signatures would take a second

    for number in range(10):
        bearer.identify(sign(KEY, claims(sub=str(number))))

    assert len(bearer._known) == 3


def test_tokens_are_not_logged(bearer: Bearer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither good nor bad ones, at any level."""
    good, bad = sign(KEY, claims()), sign(STRANGER, claims())
    with caplog.at_level(logging.DEBUG):
        bearer.identify(good)
        refused(bearer, bad)

    assert not any(part in caplog.text for token in (good, bad) for part in token.split("."))


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_a_key_that_is_withdrawn_while_a_token_is_checked_counts_no_longer(issuer: Issuer, clock: Time) -> None:
    """What it has signed is not remembered together with the keys that came after it."""
    issuer.publish([KEY, BIG])
    keys = issuer.reader(clock)
    find = keys.find

    def find_and_withdraw(kid: str) -> PublicKey | None:
        found = find(kid)
        issuer.publish([BIG])
        keys.refresh()
        return found

    bearer = Bearer(keys, RULES, clock)
    keys.find = find_and_withdraw  # type: ignore[method-assign] # the moment between two steps of the real one
    token = sign(KEY, claims())
    assert bearer.identify(token).name == "jwt:alice"
    keys.find = find  # type: ignore[method-assign]

    assert refused(bearer, token) == "key"


@pytest.mark.parametrize("part", [0, 1])
def test_what_is_nested_without_end_is_no_token(bearer: Bearer, part: int) -> None:
    """Nobody needs a key to send that."""
    deep = base64.urlsafe_b64encode(b'{"a":' + b"[" * 2900 + b"]" * 2900 + b"}").decode().rstrip("=")
    parts = ["e30", "e30", "eA"]
    parts[part] = deep

    with pytest.raises(NotAuthenticated):
        bearer.identify(".".join(parts))
    with pytest.raises(NotAuthenticated):
        Issuers({"x": bearer}).identify(".".join(parts))

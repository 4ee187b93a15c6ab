"""Several issuers at once: each token is checked by its own issuer's keys and rules, and by nothing else."""

import base64
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from auth_issuer import NOW, Issuer, Key, Time, claims, make_key, sign
from pytest_httpserver import HTTPServer

from policy_server.auth.bearer import LONGEST, Bearer
from policy_server.auth.discovery import discover_keys
from policy_server.auth.issuers import Issuers, summed
from policy_server.auth.keys import PAUSE, Keys
from policy_server.auth.rules import BearerRules
from policy_server.model.errors import FetchError, KeysUnavailable, NotAuthenticated
from policy_server.model.principal import Grant, Role, grants_of
from policy_server.model.status import State, Status
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard

CORP, PARTNER = "https://corp.example", "urn:partner"
CORP_KEY, PARTNER_KEY = make_key("same"), make_key("same")
CORP_RSA, PARTNER_ONLY = make_key("rsa", "RSA"), make_key("partner-only")
CORP_RULES = BearerRules(issuers=(CORP,), audiences=("policies",), ceiling=grants_of(["admin"]), named="corp")
PARTNER_RULES = BearerRules(
    algorithms=("ES256",),
    issuers=(PARTNER,),
    audiences=("shared",),
    scope_claim=("realm_access.roles",),
    roles={"reader": grants_of(["read"]), "boss": grants_of(["admin"])},
    ceiling=grants_of(["evaluate", "publish:theirs"]),
    named="partner",
)


@dataclass
class World:
    """Two issuers that publish keys, and who checks their tokens."""

    corp: Issuer
    partner: Issuer
    keys: dict[str, Keys]
    issuers: Issuers


@pytest.fixture
def second() -> Iterator[HTTPServer]:
    """Another HTTP server."""
    with HTTPServer() as server:
        yield server


@pytest.fixture
def world(issuer: Issuer, second: HTTPServer, clock: Time) -> World:
    """Corp and partner, whose keys have one id in common."""
    partner = Issuer(second)
    issuer.publish([CORP_KEY, CORP_RSA])
    partner.publish([PARTNER_KEY, PARTNER_ONLY])
    keys = {"corp": issuer.reader(clock), "partner": partner.reader(clock)}
    checks = {
        CORP: Bearer(keys["corp"], CORP_RULES, clock),
        PARTNER: Bearer(keys["partner"], PARTNER_RULES, clock),
    }
    return World(issuer, partner, keys, Issuers(checks))


def of_partner(**more: object) -> dict[str, object]:
    """Return claims that partner may make."""
    return claims(iss=PARTNER, aud="shared", scope=None, realm_access={"roles": ["boss"]}) | more


def of_corp(**more: object) -> dict[str, object]:
    """Return claims that corp may make."""
    return claims(iss=CORP) | more


def refused(world: World, token: str) -> str:
    """Return the kind of the refusal."""
    with pytest.raises(NotAuthenticated) as caught:
        world.issuers.identify(token)
    assert token not in caught.value.message
    return caught.value.kind


def test_each_issuer_has_its_own_names_words_and_limit(world: World) -> None:
    """One subject of two issuers is two callers; an admin of the partner is one below its limit only."""
    corp = world.issuers.identify(sign(CORP_KEY, of_corp(scope="admin")))
    partner = world.issuers.identify(sign(PARTNER_KEY, of_partner()))

    assert (corp.name, corp.grants) == ("jwt/corp:alice", (Grant(Role.ADMIN),))
    assert partner.name == "jwt/partner:alice"
    assert partner.grants == (Grant(Role.EVALUATE), Grant(Role.PUBLISH, "theirs"))


@pytest.mark.parametrize(
    ("roles", "granted"),
    [(["reader"], ["read:theirs"]), (["admin", "read", "evaluate"], []), (["unknown"], []), ([], []), ("boss", 2)],
)
def test_only_words_that_were_given_a_meaning_count(world: World, roles: object, granted: list[str] | int) -> None:
    """Where roles are mapped, a word that happens to be one of our scopes is none."""
    principal = world.issuers.identify(sign(PARTNER_KEY, of_partner(realm_access={"roles": roles})))

    scopes = [str(grant) for grant in principal.grants]
    assert scopes == granted if isinstance(granted, list) else len(scopes) == granted


def test_what_a_token_gets_without_scopes_is_bounded_too(issuer: Issuer, clock: Time) -> None:
    """A default above the limit is a mistake that does no harm."""
    issuer.publish([CORP_KEY])
    rules = replace(CORP_RULES, default_grants=grants_of(["admin"]), ceiling=grants_of(["read:mine"]))

    principal = Bearer(issuer.reader(clock), rules, clock).identify(sign(CORP_KEY, of_corp(scope=None)))

    assert principal.grants == (Grant(Role.READ, "mine"),)


@pytest.mark.parametrize(
    ("key", "body", "kind"),
    [
        (PARTNER_KEY, of_corp(), "signature"),  # the id is one of both, the key is partner's
        (CORP_KEY, of_partner(), "signature"),
        (PARTNER_ONLY, of_corp(), "key"),  # an id that only partner has
        (make_key("same"), of_corp(), "signature"),
        (CORP_KEY, of_corp(iss="https://else.example"), "issuer"),
        (CORP_KEY, of_corp(iss=None), "issuer"),
        (CORP_KEY, of_corp(iss=[CORP]), "issuer"),
        (CORP_KEY, of_corp(iss=CORP + "/"), "issuer"),
    ],
)
def test_keys_and_issuers_do_not_mix(world: World, key: Key, body: dict[str, object], kind: str) -> None:
    """Whatever key id a token names, its issuer's key must have signed it."""
    assert refused(world, sign(key, {name: value for name, value in body.items() if value is not None})) == kind


@pytest.mark.parametrize(("key", "good"), [(CORP_KEY, of_corp()), (PARTNER_KEY, of_partner())], ids=["corp", "partner"])
def test_each_issuer_refuses_what_does_not_fit(world: World, key: Key, good: dict[str, object]) -> None:
    """Run out, without an end, for the other's audience, unsigned, or signed with the public key as a secret."""
    other = "shared" if good["aud"] == "policies" else "policies"
    world.issuers.identify(sign(key, good))

    assert refused(world, sign(key, good | {"exp": NOW.timestamp() - 31})) == "expired"
    assert refused(world, sign(key, {name: value for name, value in good.items() if name != "exp"})) == "expired"
    assert refused(world, sign(key, good | {"aud": other})) == "audience"
    body = _part(good)
    for alg in ("none", "None"):
        assert refused(world, f"{_part({'alg': alg, 'kid': 'same'})}.{body}.") == "malformed"
        assert refused(world, f"{_part({'alg': alg, 'kid': 'same'})}.{body}.AAAA") == "algorithm"
    signed = f"{_part({'alg': 'HS256', 'kid': 'same'})}.{body}"
    for secret in (key.as_pem(private=False), json.dumps(key.as_dict(private=False)).encode()):  # type: ignore[union-attr]
        mac = base64.urlsafe_b64encode(hmac.new(secret, signed.encode(), "sha256").digest()).decode().rstrip("=")
        assert refused(world, f"{signed}.{mac}") == "algorithm"


def test_algorithms_are_those_of_the_issuer(world: World) -> None:
    """Corp may use RSA, partner may not, also with a key that it does publish."""
    world.partner.publish([CORP_RSA])

    assert world.issuers.identify(sign(CORP_RSA, of_corp(), alg="RS256")).name == "jwt/corp:alice"
    assert refused(world, sign(CORP_RSA, of_partner(), alg="RS256")) == "algorithm"


def test_one_issuer_rotates_its_keys_and_the_other_is_not_asked(world: World, clock: Time) -> None:
    """A new id is fetched from the issuer that the token is of; the old key ends."""
    world.issuers.identify(sign(CORP_KEY, of_corp()))
    world.issuers.identify(sign(PARTNER_KEY, of_partner()))
    new = make_key("new")
    world.partner.publish([new])
    clock.seconds += PAUSE

    assert world.issuers.identify(sign(new, of_partner())).name == "jwt/partner:alice"
    assert refused(world, sign(new, of_corp())) == "key"
    assert refused(world, sign(PARTNER_KEY, of_partner())) == "key"
    assert world.issuers.identify(sign(CORP_KEY, of_corp())).name == "jwt/corp:alice"
    assert (world.corp.asked, world.partner.asked) == (2, 2)  # corp once more, for the id it does not have


def test_an_issuer_that_is_away_does_not_stop_the_other(world: World) -> None:
    """Its tokens cannot be judged; the other's are, and health says which it is."""
    world.partner.status = 503

    with pytest.raises(KeysUnavailable):
        world.issuers.identify(sign(PARTNER_KEY, of_partner()))
    assert world.issuers.identify(sign(CORP_KEY, of_corp())).name == "jwt/corp:alice"

    status = summed((name, keys.status()) for name, keys in world.keys.items())
    assert status.state is State.DEGRADED
    assert status.message.startswith("corp: 2 keys; partner: The answer is no JSON Web Key Set")


def test_tokens_of_others_are_for_who_checks_all_others(world: World, issuer: Issuer, clock: Time) -> None:
    """The settings without a table stay as they were; a listed issuer never comes that way."""
    others = Bearer(issuer.reader(clock), BearerRules(issuers=("https://issuer.example", CORP)), clock)
    issuers = Issuers({PARTNER: Bearer(world.keys["partner"], PARTNER_RULES, clock)}, others)

    assert issuers.identify(sign(CORP_KEY, claims())).name == "jwt:alice"
    with pytest.raises(NotAuthenticated):
        issuers.identify(sign(CORP_KEY, of_partner()))
    with pytest.raises(NotAuthenticated, match="issuer"):
        issuers.identify(sign(CORP_KEY, claims(iss=None)))


@pytest.mark.parametrize("token", ["abc", "a.b", "a.b.c", "a.e30.c.d", "a.W10.c", "a.IjEi.c", "a.\xff.c", "a.5.c"])
def test_what_is_no_token_is_refused(world: World, token: str) -> None:
    """Before anybody is asked for keys."""
    assert refused(world, token) == "malformed"
    assert refused(world, "x" * (LONGEST + 1)) == "malformed"
    assert (world.corp.asked, world.partner.asked) == (0, 0)


def test_a_discovery_document_that_is_nested_without_end_is_none(httpserver: HTTPServer) -> None:
    """The keys are as good as not there; whoever looks for them goes on."""
    deep = '{"issuer": ' + "[" * 5000 + "]" * 5000 + "}"
    httpserver.expect_request("/.well-known/openid-configuration").respond_with_data(deep)
    client = GuardedClient(NetworkGuard(["127.0.0.1", "localhost"]))

    with pytest.raises(FetchError, match="no discovery document"):
        discover_keys(client, httpserver.url_for("/"))


def test_a_name_with_dots_is_given_as_a_list(issuer: Issuer, clock: Time) -> None:
    """Keycloak has the roles of a client under the client's name."""
    issuer.publish([CORP_KEY])
    rules = replace(CORP_RULES, scope_claim=("resource_access", "policy.example.com", "roles"))
    body = of_corp(scope=None, resource_access={"policy.example.com": {"roles": ["read"]}})

    assert Bearer(issuer.reader(clock), rules, clock).identify(sign(CORP_KEY, body)).grants == (Grant(Role.READ),)


def test_the_worst_status_is_the_one_that_is_told() -> None:
    """With a part for each issuer."""
    ready, away = Status(State.READY, "2 keys", NOW), Status(State.DEGRADED, "away", NOW)

    assert summed([("", ready), ("b", away), ("c", ready)]) == Status(State.DEGRADED, "2 keys; b: away; c: 2 keys", NOW)
    assert summed([("", ready)]) == ready


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

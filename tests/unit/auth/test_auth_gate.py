"""All ways to come in, together."""

import pytest
from auth_issuer import Issuer, Time, claims, make_key, sign

from policy_server.auth.bearer import Bearer
from policy_server.auth.certificates import Certificates, parse_known
from policy_server.auth.gate import Gate, require
from policy_server.auth.proxies import AddressFilter, Proxies
from policy_server.auth.rules import BearerRules
from policy_server.auth.tokens import Tokens
from policy_server.model.errors import Forbidden, NotAuthenticated
from policy_server.model.principal import ANONYMOUS, Grant, Principal, Role
from policy_server.storage.memory import MemoryStore

KEY = make_key("k1")
PROXIES = Proxies(["10.0.0.5"])
CERTIFICATE = {"REMOTE_ADDR": "10.0.0.5", "HTTP_X_SUBJECT": "CN=a"}


@pytest.fixture
def tokens(clock: Time) -> Tokens:
    """Tokens in memory."""
    return Tokens(MemoryStore().tokens, MemoryStore().audit, clock)


@pytest.fixture
def gate(issuer: Issuer, clock: Time, tokens: Tokens) -> Gate:
    """A gate with all ways in."""
    issuer.publish([KEY])
    certificates = Certificates(
        parse_known("CN=a => evaluate"), PROXIES, subject_header="X-Subject", fingerprint_header="X-Print"
    )
    return Gate(
        proxies=PROXIES,
        tokens=tokens,
        bearer=Bearer(issuer.reader(clock), BearerRules(), clock),
        certificates=certificates,
    )


def test_every_way_in_names_its_own(gate: Gate, tokens: Tokens) -> None:
    """API tokens, issuers' tokens and certificates."""
    text = tokens.create("ci", ["read"], by="admin").text

    assert gate.admit({"HTTP_AUTHORIZATION": f"Bearer {text}"}).name == "token:ci"
    assert gate.admit({"HTTP_AUTHORIZATION": f"bearer  {sign(KEY, claims())} "}).name == "jwt:alice"
    assert gate.admit(CERTIFICATE).name == "cert:CN=a"


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (None, "missing"),
        ("", "missing"),
        ("Bearer", "malformed"),
        ("Bearer ", "malformed"),
        ("Basic cGV4aXA6c2VjcmV0", "malformed"),
        ("Bearer a b", "malformed"),
        ("Bearer pst_x, Bearer pst_y", "malformed"),
        ("pst_x", "malformed"),
        ("Bearer pst_x", "token"),
        ("Bearer x", "malformed"),
        ("Bearer \udcff", "malformed"),
    ],
)
def test_whoever_shows_nothing_good_stays_outside(gate: Gate, header: str | None, kind: str) -> None:
    """With a reason for the counts."""
    with pytest.raises(NotAuthenticated) as caught:
        gate.admit({"REMOTE_ADDR": "192.0.2.1", **({} if header is None else {"HTTP_AUTHORIZATION": header})})

    assert caught.value.kind == kind


def test_a_wrong_token_is_wrong_beside_a_good_certificate(gate: Gate) -> None:
    """The header decides, so that nobody is let in as somebody else than he says."""
    with pytest.raises(NotAuthenticated):
        gate.admit({**CERTIFICATE, "HTTP_AUTHORIZATION": "Bearer pst_wrong"})


def test_addresses_are_looked_at_first(issuer: Issuer, tokens: Tokens) -> None:
    """A good token does not help from elsewhere; the proxy's own address is not the caller's."""
    text = tokens.create("ci", ["read"], by="admin").text
    gate = Gate(proxies=PROXIES, tokens=tokens, addresses=AddressFilter(["192.0.2.0/24", "10.0.0.5"]))
    good = {"REMOTE_ADDR": "10.0.0.5", "HTTP_AUTHORIZATION": f"Bearer {text}"}

    assert gate.admit({**good, "HTTP_X_FORWARDED_FOR": "192.0.2.9"}).name == "token:ci"
    for forwarded in ("198.51.100.1", "192.0.2.9, 198.51.100.1", "192.0.2.9, nonsense"):
        with pytest.raises(Forbidden) as caught:
            gate.admit({**good, "HTTP_X_FORWARDED_FOR": forwarded})
        assert caught.value.kind == "address"


def test_without_authentication_everybody_may_everything() -> None:
    """Whatever they show; that is for loopback."""
    gate = Gate(proxies=PROXIES)

    assert gate.admit({"HTTP_AUTHORIZATION": "Bearer nonsense"}) is ANONYMOUS
    require(ANONYMOUS, Role.ADMIN)


def test_a_missing_role_is_named() -> None:
    """What would do, so that an operator knows what to grant."""
    with pytest.raises(Forbidden) as caught:
        require(Principal("token:x", (Grant(Role.READ, "a"),)), Role.EDIT, "b")
    assert (caught.value.needed, caught.value.message) == ("edit:b", "This needs the role edit in the repository b.")

    with pytest.raises(Forbidden, match="grant nothing on this server"):
        require(Principal("jwt:x", ()), Role.EVALUATE, "b")

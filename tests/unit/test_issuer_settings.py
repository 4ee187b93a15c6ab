"""How issuers of tokens are written in the settings."""

import json
from pathlib import Path

import pytest
from settings_given import load

from policy_server.issuer_settings import TokenIssuer, TokenIssuers, read_issuers
from policy_server.model.errors import SettingsError

LEAST = {"issuer": "https://corp.example", "audiences": "policies", "limit": "read"}


def test_tables_in_the_file_and_json_in_the_variable_are_the_same(tmp_path: Path) -> None:
    """With everything that can be said about an issuer."""
    file = tmp_path / "policy.toml"
    file.write_text(
        """
        [token_issuers.corp]
        issuer = "https://corp.example"
        audiences = ["policies"]
        limit = "read"

        [token_issuers.partner]
        issuer = "urn:partner"
        jwk_url = "https://partner.example/keys"
        audiences = "a, b"
        algorithms = "ES256"
        limit = ["evaluate", "publish:theirs"]
        scope_claim = ["resource_access", "policy.example.com", "roles"]
        roles = { "policy admin" = ["admin"], reader = "read evaluate" }
        default_scopes = "evaluate"
        ca_file = "/etc/partner.pem"
        """
    )

    issuers = load(config=file).token_issuers

    assert [item.name for item in issuers.items] == ["corp", "partner"]
    assert issuers.items[1] == TokenIssuer(
        name="partner",
        issuer="urn:partner",
        jwk_url="https://partner.example/keys",
        audiences=("a", "b"),
        algorithms=("ES256",),
        limit=("evaluate", "publish:theirs"),
        scope_claim=("resource_access", "policy.example.com", "roles"),
        roles=(("policy admin", ("admin",)), ("reader", ("read", "evaluate"))),
        default_scopes=("evaluate",),
        ca_file=Path("/etc/partner.pem"),
    )
    assert load({"POLICY_TOKEN_ISSUERS": issuers.written(secrets=False)}).token_issuers == issuers
    assert load(config=file).dump()["token_issuers"] == issuers.written(secrets=False)


def test_none_is_none() -> None:
    """Written as nothing."""
    assert load().token_issuers == TokenIssuers() == read_issuers("")
    assert load().dump()["token_issuers"] == ""


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"issuer": None}, "corp has no issuer"),
        ({"audiences": None}, "corp has no audiences"),
        ({"audiences": ""}, "corp has no audiences"),
        ({"limit": None}, "corp has no limit"),
        ({"limit": "reads"}, "limit of corp, which must be 'reads' is no scope"),
        ({"algorithms": "HS256"}, "algorithms of corp, which must be some of RS256"),
        ({"jwk_url": "ftp://x"}, "jwk_url of corp, which must be an address"),
        ({"jwk_url": "https://x/k", "jwk_file": "/k"}, "jwk_url or jwk_file of corp, not both"),
        ({"issuer": "urn:corp"}, "jwk_url or jwk_file of corp, because its issuer is no address"),
        ({"issuer": "https://me:secret@corp.example"}, "because its issuer is no address"),
        ({"jwk_file": "/k", "ca_file": "/c"}, "ca_file of corp only without jwk_file"),
        ({"roles": {"a": "owner"}}, "roles of corp, which must be 'owner' is no scope"),
        ({"roles": "admin"}, "roles of corp, which must be a table"),
        ({"scope_claim": [1]}, "scope_claim of corp, which must be a claim"),
        ({"audience": "x"}, "corp has audience"),
    ],
)
def test_what_is_wrong_is_named(table: dict[str, object], word: str) -> None:
    """The issuer, the word, and what it must be."""
    whole = {name: value for name, value in (LEAST | table).items() if value is not None}

    with pytest.raises(SettingsError) as caught:
        load({"POLICY_TOKEN_ISSUERS": json.dumps({"corp": whole})})

    assert caught.value.message.startswith("POLICY_TOKEN_ISSUERS must be ")
    assert word in caught.value.message


@pytest.mark.parametrize("text", ["corp", "[]", "{", '{"corp": 1}', '{"a b": {}}'])
def test_what_are_no_tables_is_refused(text: str) -> None:
    """With how it is written."""
    with pytest.raises(SettingsError, match=r"issuers (by name|whose names)"):
        load({"POLICY_TOKEN_ISSUERS": text})


def test_two_tables_for_one_issuer_are_refused() -> None:
    """Which of them would count?"""
    with pytest.raises(SettingsError, match=r"a and b are both https://corp\.example"):
        load({"POLICY_TOKEN_ISSUERS": json.dumps({"a": LEAST, "b": LEAST})})


def test_the_settings_without_a_limit_are_no_way_around_one() -> None:
    """Beside tables, it must be said whose tokens the other keys are for, and none of the tables'."""
    both = {"POLICY_TOKEN_ISSUERS": json.dumps({"corp": LEAST}), "AUTH_JWK_URL": "https://corp.example/keys"}

    with pytest.raises(SettingsError, match="POLICY_AUTH_ISSUERS must say whose tokens"):
        load(both)
    with pytest.raises(SettingsError, match=r"https://corp\.example is in POLICY_AUTH_ISSUERS and is corp"):
        load(both | {"POLICY_AUTH_ISSUERS": "https://corp.example"})
    assert load(both | {"POLICY_AUTH_ISSUERS": "https://other.example"}).token_issuers.items

"""Secrets in the settings: never shown, and in files where one likes."""

from pathlib import Path

import pytest
from settings_given import load

from policy_server.model.errors import SettingsError
from policy_server.notation.credentials import SecretStr


def test_credentials_are_never_shown() -> None:
    """Neither dump, nor repr, nor an error about them holds a password."""
    settings = load({"POLICY_PEXIP_CREDENTIALS": "pexip:s3cret"})

    assert settings.pexip_credentials == (("pexip", SecretStr("s3cret")),)
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(settings.dump())
    assert settings.dump(redact=False)["pexip_credentials"] == "pexip:s3cret"
    with pytest.raises(SettingsError) as caught:
        load({"POLICY_PEXIP_CREDENTIALS": "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_credentials_may_be_in_a_file(tmp_path: Path) -> None:
    """Each line of the file is one pair, so that passwords may hold commas."""
    file = tmp_path / "credentials"
    file.write_text("pexip:a,b\nold:c", encoding="utf-8")

    settings = load({"POLICY_PEXIP_CREDENTIALS_FILE": str(file)})

    assert settings.pexip_credentials == (("pexip", SecretStr("a,b")), ("old", SecretStr("c")))


def test_a_secret_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message names the variable and the file."""
    with pytest.raises(SettingsError, match="that POLICY_PEXIP_CREDENTIALS_FILE names cannot be read"):
        load({"POLICY_PEXIP_CREDENTIALS_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:s3cret@db:5432/policies", "postgresql://ada:**********@db:5432/policies"),
        ("postgresql://db/p?user=ada&password=s3cret&sslmode=require", "password=**********&sslmode=require"),
        ("mongodb://ada:s3%40cret@a:1,b:2/p?replicaSet=r", "mongodb://ada:**********@a:1,b:2/p?replicaSet=r"),
        ("sqlite:////srv/p.db", "sqlite:////srv/p.db"),
    ],
)
def test_an_address_of_a_store_is_shown_without_its_password(url: str, shown: str) -> None:
    """Everything else of it stays readable."""
    settings = load({"POLICY_STORAGE_URL": url})

    assert shown in settings.dump()["storage_url"]
    assert shown in settings.database_shown
    assert "s3" not in settings.dump()["storage_url"] + settings.database_shown
    assert settings.database == url


def test_the_address_of_a_store_may_be_in_a_file(tmp_path: Path) -> None:
    """As every secret may."""
    (tmp_path / "url").write_text("postgresql://ada:s3cret@db/policies\n")

    assert load({"POLICY_STORAGE_URL_FILE": str(tmp_path / "url")}).database == "postgresql://ada:s3cret@db/policies"


def test_a_wrong_address_of_a_store_is_not_repeated() -> None:
    """There may be a password in it."""
    with pytest.raises(SettingsError) as caught:
        load({"POLICY_STORAGE_URL": "postgres:/ada:s3cret@db"})

    assert "s3cret" not in str(caught.value)

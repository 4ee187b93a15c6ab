"""Which store a URL names."""

from pathlib import Path

import pytest

from policy_server.model.errors import SettingsError
from policy_server.storage.memory import MemoryStore
from policy_server.storage.opening import open_store
from policy_server.storage.sql import SqlStore


def test_memory_is_a_store_that_forgets() -> None:
    """Each opening starts empty."""
    assert isinstance(open_store("memory:"), MemoryStore)


@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_a_path_is_a_file_with_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool) -> None:
    """Three slashes lead to the working directory, four to the root; the database is ready to use."""
    monkeypatch.chdir(tmp_path)  # a relative path means this process's directory

    store = open_store("sqlite:///a/p.db" if relative else f"sqlite:///{tmp_path}/a/p.db")

    assert isinstance(store, SqlStore)
    store.ping()
    assert (tmp_path / "a" / "p.db").is_file()
    store.close()


def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changing the working directory later does not change the database."""
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///p.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    store.ping()
    store.close()


@pytest.mark.parametrize("url", ["mysql://ada:secret@db/policies", "rediss://ada:secret@db", "sqlite:p.db", "redis:"])
def test_an_unknown_scheme_says_which_there_are(url: str) -> None:
    """The sentence lists what is known and keeps passwords to itself."""
    with pytest.raises(SettingsError, match=r"there are memory:, sqlite:///path") as caught:
        open_store(url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "policies.db", "/var/lib/policies.db"])
def test_a_bare_path_is_not_guessed_at(url: str) -> None:
    """The scheme has to be there."""
    with pytest.raises(SettingsError, match="without a scheme"):
        open_store(url)


@pytest.mark.parametrize("url", ["sqlite:///", "sqlite:///:memory:", "sqlite:///a\0b"])
def test_a_database_needs_a_file(url: str) -> None:
    """A database in memory would be another one in every connection."""
    with pytest.raises(SettingsError, match="with the path of a file"):
        open_store(url)

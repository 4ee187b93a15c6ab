"""Git repositories in the settings."""

from pathlib import Path

import pytest
from settings_given import load

from policy_server.model.errors import SettingsError


def test_git_repositories_are_tables_in_the_file(tmp_path: Path) -> None:
    """Each table is one repository, named as the table."""
    file = tmp_path / "c.toml"
    file.write_text(
        '[git.a]\nurl = "https://h.test/x.git"\ndeleted = "keep"\ninterval = "5m"\n[git.b]\nurl = "git@h:b.git"\n'
    )

    one, two = load(config=file).git.items

    assert (one.name, one.url, one.deleted, one.interval) == ("a", "https://h.test/x.git", "keep", 300.0)
    assert (two.name, two.url) == ("b", "ssh://git@h/~/b.git")


def test_git_repositories_are_pairs_or_json_in_a_variable() -> None:
    """The short form for what needs no more than an address."""
    assert [item.name for item in load({"POLICY_GIT": "a=https://h/a,b=https://h/b"}).git.items] == ["a", "b"]
    (one,) = load({"POLICY_GIT": '{"a": {"url": "https://h/a", "branch": "x/y"}}'}).git.items
    assert one.branch == "x/y"


def test_the_secrets_of_git_repositories_are_covered() -> None:
    """Everything else is shown, and what is dumped can be read again."""
    text = '{"a": {"url": "https://h/a", "token": "t0k", "hook_secret": "h00k"}}'
    settings = load({"POLICY_GIT": text})

    shown = settings.dump()["git"]

    assert "https://h/a" in shown
    assert "t0k" not in shown + repr(settings)
    assert "h00k" not in shown + repr(settings)
    assert load({"POLICY_GIT": settings.dump(redact=False)["git"]}).git == settings.git


@pytest.mark.parametrize(
    "table",
    [
        '{"url": "file:///srv/x"}',
        '{"url": "ext::sh -c id"}',
        '{"url": "/srv/x.git"}',
        '{"url": "https://u:p4ss@h/x"}',
        '{"url": "ssh://-oProxyCommand=id/x"}',
        '{"url": "https://h/x", "folder": "../x"}',
        '{"url": "https://h/x", "branch": "--upload-pack=id"}',
        '{"url": "https://h/x", "deleted": "burn"}',
        '{"url": "https://h/x", "tokn": "p4ss"}',
        '{"url": "https://h/x", "token": "p4ss", "password": "p4ss"}',
        '{"url": "git://h/x", "token": "p4ss"}',
        '{"url": "https://h/x", "ssh_key": "/k"}',
        '{"branch": "x"}',
        "7",
    ],
)
def test_what_cannot_be_a_git_repository_is_refused(table: str) -> None:
    """Local files, helper programs, options in disguise, typing mistakes; secrets are not told."""
    with pytest.raises(SettingsError, match="POLICY_GIT must be") as caught:
        load({"POLICY_GIT": f'{{"a": {table}}}'})

    assert "p4ss" not in str(caught.value)


def test_a_git_repository_needs_a_name_of_its_own() -> None:
    """Two feeds under one name would take policies from each other."""
    with pytest.raises(SettingsError, match="has the name of a folder"):
        load({"POLICY_GIT": "a=https://h/a", "POLICY_FOLDERS": "a=/srv/a"})
    with pytest.raises(SettingsError, match="has the name of a folder"):
        load({"POLICY_GIT": "bundled=https://h/a"})


def test_the_policy_services_variables_make_one_git_repository() -> None:
    """Named after the last element of the address."""
    environ = {
        "POLICY_REPOSITORY_CLONE_URL": "https://git.example/team/rules.git",
        "POLICY_REPOSITORY_USER": "ada",
        "POLICY_REPOSITORY_PASS": "s3cret",
        "POLICY_REPOSITORY_BRANCH": "main",
        "POLICY_REPOSITORY_FOLDER": "prod",
        "SYNC_INTERVAL": "2m",
    }

    settings = load(environ)

    (one,) = settings.git.items
    assert (one.name, one.url, one.user, one.password.read()) == (
        "rules",
        "https://git.example/team/rules.git",
        "ada",
        "s3cret",
    )
    assert (one.branch, one.folder, one.interval, settings.warnings) == ("main", "prod", 120.0, ())


def test_the_sync_programs_variables_make_one_too() -> None:
    """A password in the address is taken out of it; parts without an address give a warning."""
    (one,) = load({"POLICY_REPO": "https://ada:s3cret@git.example/rules", "POLICY_REPO_BRANCH": "x"}).git.items

    assert (one.url, one.user, one.password.read(), one.branch) == ("https://git.example/rules", "ada", "s3cret", "x")
    assert "no effect without POLICY_REPO" in load({"POLICY_REPO_USER": "ada"}).warnings[0]

"""git status and git sync: on a real store and a real Git server, without a server of ours."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_ran import Ran
from git_server import Daemon, Work, make_work, need_git


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """A repository with a policy that compiles."""
    need_git()
    made = make_work(tmp_path)
    made.write("g/n/1.0")
    made.push()
    return made


@pytest.fixture
def config(tmp_path: Path, work: Work) -> Iterator[Path]:
    """A configuration file that names it, and its server."""
    daemon = Daemon(tmp_path)
    daemon.start()
    file = tmp_path / "config.toml"
    file.write_text(f'[git.policies]\nurl = "{daemon.url(work)}"\n')
    yield file
    daemon.stop()


def test_a_repository_is_synchronised_and_its_state_is_shown(command: Callable[..., Ran], config, work: Work) -> None:
    """Also by a later command, because it is kept in the store."""
    synced = command("git", "sync", "--config", config)
    shown = json.loads(command("git", "status", "--config", config, "--format", "json").out)
    listed = command("policies", "list", "--config", config)

    assert synced.code == 0
    assert [(each["repository"], each["state"], each["published"]) for each in shown] == [("policies", "ready", 1)]
    assert "policies/g/n/1.0" in listed.out


def test_a_broken_policy_is_told_and_ends_with_1(command: Callable[..., Ran], config, work: Work) -> None:
    """As a pipeline wants to know."""
    work.write("g/broken/1.0", "package g.broken\n\nx := \n")
    work.push()

    ran = command("git", "sync", "policies", "--config", config)

    assert ran.code == 1
    assert "policies/g/broken/1.0: " in ran.err


def test_a_repository_that_is_not_set(command: Callable[..., Ran], config: Path) -> None:
    """Nothing is done."""
    ran = command("git", "sync", "other", "--config", config)

    assert ran.code != 0
    assert "No Git repository other is set" in ran.err


def test_without_repositories_the_list_is_empty(command: Callable[..., Ran]) -> None:
    """And no error."""
    assert json.loads(command("git", "status", "--format", "json").out) == []


def test_no_repository_at_all_is_told(command: Callable[..., Ran]) -> None:
    """An empty table would leave open whether anything was looked at."""
    ran = command("git", "status")

    assert (ran.code, ran.out.strip(), ran.err) == (0, "", "no Git repository is set (POLICY_GIT)\n")

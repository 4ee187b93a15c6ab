"""How Git servers are spoken to: HTTP, SSH, credentials, and what is refused."""

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest
from git_server import Daemon, Ssh, Web, Work

from policy_server.sources.git import GitFeed

Feed = Callable[..., GitFeed]


def test_http_with_a_token_from_a_file(make_feed: Feed, web: Web, work: Work, tmp_path: Path) -> None:
    """The file is read each time, so that the token can be changed."""
    web.users = {"x-access-token": "new"}
    work.write("g/n/1.0")
    work.push()
    token = tmp_path / "token"
    token.write_text("old\n")
    feed = make_feed(web.url(work), token_file=str(token))

    before = feed.sync()
    token.write_text("new\n")
    after = feed.sync()

    assert "does not accept the credentials" in before.error
    assert (after.error, after.counts.published) == (None, 1)


def test_http_with_user_and_password(make_feed: Feed, web: Web, work: Work) -> None:
    """As HTTP Basic; a wrong password is told and not repeated."""
    web.users = {"ada": "right"}
    work.write("g/n/1.0")
    work.push()

    assert make_feed(web.url(work), user="ada", password="right").sync().error is None
    error = make_feed(web.url(work), user="ada", password="hush-hush").sync().error
    assert "does not accept the credentials" in error
    assert "hush" not in error


@pytest.mark.parametrize("relative", [False, True])
def test_ssh_with_a_key(make_feed: Feed, ssh: Ssh, work: Work, relative: bool) -> None:
    """The host's key must be known, and ours must be the right one; paths may begin at the user's home."""
    work.write("g/n/1.0")
    commit = work.push()
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    url = ssh.url(work)
    if relative:
        url = url.replace(str(work.bare), f"/~/{os.path.relpath(work.bare, home)}")

    state = make_feed(url, ssh_key=str(ssh.key), known_hosts=str(ssh.known_hosts)).sync()

    assert (state.error, state.commit) == (None, commit)


def test_ssh_trusts_no_host_it_does_not_know(make_feed: Feed, ssh: Ssh, work: Work, tmp_path: Path) -> None:
    """Nobody is asked; the error says what ssh said."""
    work.push()
    (tmp_path / "nobody").touch()

    state = make_feed(ssh.url(work), ssh_key=str(ssh.key), known_hosts=str(tmp_path / "nobody")).sync()

    assert "Host key verification failed" in state.error


def test_ssh_with_a_wrong_key(make_feed: Feed, ssh: Ssh, work: Work) -> None:
    """The host's key is no user's."""
    work.push()

    state = make_feed(ssh.url(work), ssh_key=str(ssh.key.with_name("host")), known_hosts=str(ssh.known_hosts)).sync()

    assert "Permission denied" in state.error


def test_redirects_are_refused(make_feed: Feed, web: Web, work: Work) -> None:
    """No server sends us, or our credentials, elsewhere."""
    web.redirect = "http://127.0.0.1:9"

    state = make_feed(web.url(work), user="ada", password="right").sync()

    assert "redirects" in state.error


def test_a_web_page_is_no_repository(make_feed: Feed, web: Web, work: Work) -> None:
    """Nor is a server without Git behind it."""
    web.plain = True

    assert "is no Git repository" in make_feed(web.url(work)).sync().error


def test_a_repository_that_is_not_there(make_feed: Feed, web: Web, daemon: Daemon, work: Work) -> None:
    """Both kinds of server have their way of saying so."""
    assert "is no Git repository" in make_feed(web.url(work).replace("policies", "other")).sync().error
    assert make_feed(daemon.url(work).replace("policies", "other")).sync().error is not None

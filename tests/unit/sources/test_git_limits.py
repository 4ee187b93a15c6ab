"""What is too large or too strange in a commit is refused or skipped, with the reason."""

import os
from collections.abc import Callable

import pytest
from git_server import Daemon, Work, git

from policy_server.model.policy import PolicyId, PolicyState
from policy_server.sources.git import GitFeed, GitLimits

Feed = Callable[..., GitFeed]


@pytest.fixture
def feed(make_feed: Feed, daemon: Daemon, work: Work) -> GitFeed:
    """A feed of the repository."""
    return make_feed(daemon.url(work))


def test_a_file_of_100_megabytes_is_refused_and_the_others_go_on(feed: GitFeed, work: Work, store) -> None:
    """With a server that leaves it out."""
    _with_large_file(work)

    state = feed.sync()

    assert (state.counts.published, state.counts.failed) == (1, 1)
    assert "data.json: is larger than the 67108864 bytes that are allowed" in state.broken[0][1]
    assert store.get(PolicyId("policies", "g", "small", "1.0")).state is PolicyState.READY


def test_a_file_of_100_megabytes_is_passed_over_when_a_server_sends_it(feed: GitFeed, work: Work, store) -> None:
    """With a server that cannot leave it out."""
    git("config", "uploadpack.allowFilter", "false", cwd=work.bare)
    _with_large_file(work)

    state = feed.sync()

    assert (state.counts.published, state.counts.failed) == (1, 1)
    assert "data.json: is larger than the 67108864 bytes that are allowed" in state.broken[0][1]


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (GitLimits(received=2000), "POLICY_GIT_MAX_BYTES"),
        (GitLimits(files=5), "5 are allowed"),
        (GitLimits(policies=1), "POLICY_GIT_MAX_POLICIES"),
    ],
)
def test_too_much_is_refused_whole(make_feed: Feed, daemon, work: Work, store, limits: GitLimits, told: str) -> None:
    """Nothing is published of a commit that is larger than allowed."""
    work.write("g/n/1.0")
    work.write("g/other/1.0", data=f'{{"noise": "{os.urandom(4000).hex()}"}}')
    work.push()

    state = make_feed(daemon.url(work), limits=limits).sync()

    assert told in state.error
    assert store.stamp() == 0


def test_links_submodules_and_strange_places_are_skipped_with_the_reason(feed: GitFeed, work: Work, store) -> None:
    """Nothing outside of the commit is ever read."""
    work.write("g/n/1.0")
    (work.directory / "g/secret/1.0").mkdir(parents=True)
    (work.directory / "g/secret/1.0/policy.rego").symlink_to("/etc/passwd")
    (work.directory / "linked").symlink_to("g")
    (work.directory / "policy.rego").write_text("package x\n")
    (work.directory / "g/alone/1.0").mkdir(parents=True)
    (work.directory / "g/alone/1.0/data.json").write_text("{}")
    work.write("twice/g/n/1.0")
    head = "c" * 40
    git("add", "-A", cwd=work.directory)
    git("update-index", "--add", "--cacheinfo", f"160000,{head},module", cwd=work.directory)
    git("commit", "-q", "-m", "strange", cwd=work.directory)
    git("push", "-q", "origin", "HEAD:refs/heads/main", cwd=work.directory)

    state = feed.sync()

    told = "\n".join(state.warnings)
    for part in (
        "linked: is a link",
        "module: is a submodule",
        "policy.rego: lies too high",
        "g/alone/1.0: has data.json, but no policy.rego",
        "twice/g/n/1.0/policy.rego: is the policy policies/g/n/1.0 too; g/n/1.0 is used",
    ):
        assert part in told
    assert (state.counts.published, state.counts.failed) == (1, 1)
    assert "is a link or a module" in state.broken[0][1]


def _with_large_file(work: Work) -> None:
    work.write("g/small/1.0")
    work.write("g/n/1.0")
    with (work.directory / "g/n/1.0/data.json").open("wb") as file:
        file.write(b'{"a": "')
        file.truncate(100_000_000)
    work.push()

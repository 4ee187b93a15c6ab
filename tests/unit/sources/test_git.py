"""What is pushed to a Git repository becomes policies, and what happens to it there happens to them."""

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from git_server import Daemon, Work, git
from span_recorder import Recorder, recording

from policy_server.model.change import Applied, Change
from policy_server.model.errors import Busy, PolicyNotFound, StoreUnavailable, ToolkitMissing
from policy_server.model.git import GitCondition
from policy_server.model.policy import CompiledPolicy, PolicyFilter, PolicyId, PolicySource, PolicyState
from policy_server.model.status import State
from policy_server.sources.git import GitFeed
from policy_server.sources.git_config import read_repositories
from policy_server.sources.git_requests import GitRequests
from policy_server.storage.memory import MemoryStore

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = PolicyId("policies", "g", "n", "1.0")
CONFIG = '{"url": "https://h.test/x", "method": "GET", "period": "1h"}'
Feed = Callable[..., GitFeed]


@pytest.fixture
def feed(make_feed: Feed, daemon: Daemon, work: Work) -> GitFeed:
    """A feed of the repository."""
    return make_feed(daemon.url(work))


def test_a_policy_directory_becomes_a_policy_that_remembers_its_commit(
    feed: GitFeed, work: Work, store: MemoryStore
) -> None:
    """All five files arrive; the origin names directory and commit."""
    work.write("deep/g/n/1.0", data='{"a": 1}', data_config=CONFIG, output_schema="{}", export_config='{"key": "k"}')
    commit = work.push()

    state = feed.sync()

    active = store.get(ID).revision
    assert (state.condition, state.commit, state.counts.published) == (GitCondition.READY, commit, 1)
    assert active is not None
    assert (active.author, active.data) == ("git:policies", '{"a": 1}')
    assert active.source.origin == f"git:policies/deep/g/n/1.0@{commit}"
    assert (active.source.data_config, active.source.output_schema) == (CONFIG, "{}")
    assert active.source.export_config == '{"key": "k"}'


def test_nothing_is_fetched_while_the_commit_is_the_same(feed: GitFeed, work: Work, daemon, store, tmp_path) -> None:
    """The second look only asks for the newest commit, and writes nothing."""
    work.write("g/n/1.0")
    work.push()
    feed.sync()
    stamp = store.stamp()
    (tmp_path / "state").rmdir()  # a fetch would make it again

    state = feed.sync()

    assert (state.error, store.stamp(), (tmp_path / "state").exists()) == (None, stamp, False)
    assert state.counts.published == 1


def test_a_policy_that_is_not_touched_keeps_its_revision_and_commit(feed: GitFeed, work: Work, store) -> None:
    """Each policy remembers the commit that brought its content."""
    work.write("g/n/1.0")
    first = work.push()
    feed.sync()
    work.write("g/other/1.0")
    work.push()

    state = feed.sync()

    assert (state.counts.published, state.counts.unchanged) == (1, 1)
    assert (store.get(ID).revision.number, store.get(ID).revision.source.origin[-40:]) == (1, first)


def test_a_commit_is_made_as_a_whole_or_not_at_all(feed: GitFeed, work: Work, store: MemoryStore) -> None:
    """New, changed, broken and deleted policies of a commit are one change of the store."""
    for name in ("changed", "broken", "gone"):
        work.write(f"g/{name}/1.0")
    work.push()
    feed.sync()
    before = store.stamp()
    work.write("g/changed/1.0", "package g.changed\n\nn := 2\n")
    work.write("g/broken/1.0", "package g.broken\n\nn := }\n")
    work.write("g/new/1.0")
    work.remove("g/gone/1.0")
    work.push()
    applied: list[int] = []
    apply = store.apply

    def away(_changes: object) -> list[Applied]:
        raise StoreUnavailable

    def count(changes: Iterable[Change]) -> Sequence[Applied]:
        done = apply(changes)
        applied.append(len(done))
        return done

    store.apply = away  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        feed.sync()
    assert store.stamp() == before

    store.apply = count  # type: ignore[method-assign]
    state = feed.sync()

    assert applied == [4]
    assert store.stamp() == before + 4
    counts = state.counts
    assert (counts.published, counts.failed, counts.deleted, counts.unchanged) == (2, 1, 1, 0)
    told = {(change.id.name, change.what) for change in store.changes(before)}
    assert told == {("changed", "published"), ("new", "published"), ("broken", "failed"), ("gone", "deleted")}


def test_a_restart_publishes_nothing(make_feed: Feed, daemon: Daemon, work: Work, store: MemoryStore) -> None:
    """A new feed sees that the store has this very source."""
    work.write("g/n/1.0")
    work.push()
    make_feed(daemon.url(work)).sync()
    stamp = store.stamp()

    state = make_feed(daemon.url(work)).sync()

    assert (state.counts.unchanged, store.stamp()) == (1, stamp)


def test_a_broken_policy_keeps_its_last_good_revision_and_the_others_go_on(feed: GitFeed, work: Work, store) -> None:
    """The state names it and says why."""
    work.write("g/n/1.0", "package g.n\n\nx := 1\n")
    work.write("g/other/1.0", "package g.other\n\nx := 1\n")
    work.push()
    feed.sync()
    work.write("g/n/1.0", "package g.n\n\nx := \n")
    work.write("g/other/1.0", "package g.other\n\nx := 2\n")
    work.push()

    state = feed.sync()

    broken, other = store.get(ID), store.get(PolicyId("policies", "g", "other", "1.0"))
    assert (broken.state, broken.revision.source.rego) == (PolicyState.STALE, "package g.n\n\nx := 1\n")
    assert (other.state, other.revision.number) == (PolicyState.READY, 2)
    assert (state.counts.published, state.counts.failed, state.broken[0][0]) == (1, 1, str(ID))
    assert "policy.rego:4" in state.broken[0][1]


def test_nothing_is_published_before_everything_is_compiled(make_feed, daemon, work: Work, publisher, store) -> None:
    """While the last policy is compiled, the store still has the old revision of the first one."""
    work.write("g/a/1.0")
    work.write("g/b/1.0")
    work.push()
    feed = make_feed(daemon.url(work))
    feed.sync()
    for name in "ab":
        work.write(f"g/{name}/1.0", f"package g.{name}\n\nx := 2\n")
    work.push()
    numbers: list[int] = []
    compile_one = publisher.compile

    def compile_and_look(source: PolicySource, **known: object) -> CompiledPolicy:
        numbers.append(store.get(PolicyId("policies", "g", "a", "1.0")).revision.number)
        return compile_one(source, **known)

    publisher.compile = compile_and_look
    feed.sync()

    assert numbers == [1, 1]
    assert store.get(PolicyId("policies", "g", "a", "1.0")).revision.number == 2


@pytest.mark.parametrize(("mode", "left"), [("delete", None), ("keep", PolicyState.READY), ("mark", PolicyState.STALE)])
def test_what_is_gone_from_git_is_deleted_kept_or_marked(make_feed, daemon, work: Work, store, mode, left) -> None:
    """As it is set; what is marked or kept goes on answering, and comes back when it is back."""
    work.write("g/n/1.0")
    work.write("g/stays/1.0")
    work.push()
    feed = make_feed(daemon.url(work), deleted=mode)
    feed.sync()
    work.remove("g/n")
    work.push()

    counts = feed.sync().counts

    assert {"delete": counts.deleted, "keep": counts.kept, "mark": counts.marked}[mode] == 1
    if left is None:
        with pytest.raises(PolicyNotFound):
            store.get(ID)
    else:
        assert (store.get(ID).state, store.get(ID).revision is None) == (left, False)
    work.write("g/n/1.0")
    work.push()
    feed.sync()
    assert store.get(ID).state is PolicyState.READY


def test_policies_of_others_in_the_same_repository_are_left_alone(feed: GitFeed, work: Work, publisher, store) -> None:
    """Only what came from Git is deleted."""
    theirs = PolicyId("policies", "g", "theirs", "1.0")
    publisher.publish(PolicySource(theirs, "package g.theirs\n\nx := 1\n", origin="api"), author="ada")
    work.write("g/n/1.0")
    work.push()

    feed.sync()

    assert store.get(theirs).state is PolicyState.READY


def test_what_somebody_takes_over_at_that_moment_is_not_deleted(feed: GitFeed, work: Work, publisher, store) -> None:
    """Whose it is counts when it is deleted, not when that was decided."""
    work.write("g/n/1.0")
    work.push()
    feed.sync()
    work.remove("g/n/1.0")
    work.push()
    apply = store.apply

    def take_over(changes: Iterable[Change]) -> Sequence[Applied]:
        store.apply = apply
        publisher.publish(PolicySource(ID, "package g.n\n\nours := 1\n", origin="api"), author="ada")
        return apply(changes)

    store.apply = take_over
    state = feed.sync()

    assert store.get(ID).revision.author == "ada"
    assert state.counts.deleted == 0


def test_locks_are_kept(feed: GitFeed, work: Work, store: MemoryStore) -> None:
    """A new revision of a locked policy is locked."""
    work.write("g/n/1.0")
    work.push()
    feed.sync()
    store.lock(ID, AT)
    work.write("g/n/1.0", "package g.n\n\nx := 2\n")
    work.push()

    feed.sync()

    assert (store.get(ID).locked, store.get(ID).revision.number) == (True, 2)


def test_fetched_data_and_git_do_not_fight(feed: GitFeed, work: Work, publisher, store: MemoryStore) -> None:
    """Fetched data survives further looks and a change of the Rego; a change of its configuration ends it."""
    work.write("g/n/1.0", data='{"from": "git"}', data_config=CONFIG)
    work.push()
    feed.sync()
    publisher.publish_data(ID, '{"from": "refresh"}', author="refresh")
    stamp = store.stamp()
    feed.sync()
    assert store.stamp() == stamp

    work.write("g/n/1.0", "package g.n\n\nx := 2\n", data='{"from": "git"}', data_config=CONFIG)
    work.push()
    feed.sync()
    assert store.get(ID).revision.data == '{"from": "refresh"}'

    work.write("g/n/1.0", data='{"from": "git"}', data_config=CONFIG.replace("/x", "/y"))
    work.push()
    feed.sync()
    assert store.get(ID).revision.data == '{"from": "git"}'


def test_git_wins_over_a_change_made_here(feed: GitFeed, work: Work, publisher, store: MemoryStore) -> None:
    """What somebody published over it is put back at the next look, though no commit is new."""
    work.write("g/n/1.0")
    work.push()
    feed.sync()
    publisher.publish(PolicySource(ID, "package g.n\n\nmine := 1\n", origin="api"), author="ada")

    feed.sync()

    assert store.get(ID).revision.author == "git:policies"


def test_a_forced_push_is_followed(feed: GitFeed, work: Work, store: MemoryStore) -> None:
    """History that was rewritten is no obstacle."""
    work.write("g/n/1.0", "package g.n\n\nx := 1\n")
    work.push()
    work.write("g/n/1.0", "package g.n\n\nx := 2\n")
    work.push()
    feed.sync()
    git("checkout", "-q", "--orphan", "again", cwd=work.directory)
    work.write("g/n/1.0", "package g.n\n\nx := 3\n")
    commit = work.push("--force")

    state = feed.sync()

    assert (state.commit, store.get(ID).revision.source.rego) == (commit, "package g.n\n\nx := 3\n")


def test_branch_and_folder_choose_what_is_followed(make_feed: Feed, daemon: Daemon, work: Work, store) -> None:
    """What lies elsewhere is not there."""
    work.write("g/wrong/1.0")
    work.push()
    work.write("production/eu/g/n/1.0")
    work.push(branch="release/1")

    make_feed(daemon.url(work), branch="release/1", folder="/production/eu/").sync()

    assert [record.id for record in store.find(PolicyFilter(), limit=10).records] == [ID]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"branch": "nowhere"}, "no branch nowhere"),
        ({"folder": "nowhere"}, "no directory nowhere"),
        ({"folder": "g/n/1.0/policy.rego"}, "no directory g/n/1.0/policy.rego"),
    ],
)
def test_a_branch_or_folder_that_is_not_there_changes_nothing(make_feed, daemon, work, store, table, told) -> None:
    """A typing mistake must not delete all policies."""
    work.write("g/n/1.0")
    work.push()
    make_feed(daemon.url(work)).sync()

    state = make_feed(daemon.url(work), **table).sync()

    assert state.condition is GitCondition.FAILING
    assert told in state.error
    assert store.get(ID).state is PolicyState.READY


def test_an_unreachable_server_is_told_and_asked_less_and_less(
    feed: GitFeed, daemon: Daemon, work: Work, store
) -> None:
    """What is published goes on; the first success ends it."""
    work.write("g/n/1.0")
    commit = work.push()
    feed.sync()
    daemon.stop()

    states = [feed.sync() for _ in range(9)]

    assert [state.failures for state in states] == list(range(1, 10))
    pauses = [(state.next_attempt - AT).total_seconds() for state in states]
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert "cannot be reached" in states[-1].error
    assert (states[-1].commit, store.get(ID).state) == (commit, PolicyState.READY)
    requests = GitRequests([feed.repository], store.cache, lambda: AT)
    assert requests.status().state is State.DEGRADED
    daemon.start()
    assert (feed.sync().error, requests.status().state) == (None, State.READY)


def test_when_the_compiler_is_missing_the_commit_is_looked_at_again(feed, work: Work, publisher, store) -> None:
    """It was not the source's fault."""
    work.write("g/n/1.0")
    work.push()
    compile_one = publisher.compile

    def fail(_source: PolicySource, **_known: object) -> CompiledPolicy:
        raise ToolkitMissing

    publisher.compile = fail
    assert feed.sync().counts.failed == 1
    publisher.compile = compile_one

    assert feed.sync().counts.published == 1


def test_two_processes_do_not_synchronise_one_repository_at_a_time(feed: GitFeed, store: MemoryStore) -> None:
    """A lease in the store decides."""
    assert store.acquire("git:policies", "other", until=AT + timedelta(minutes=1), at=AT)

    with pytest.raises(Busy):
        feed.sync()


def test_an_empty_repository_is_told(feed: GitFeed) -> None:
    """There is no commit yet."""
    assert "no commit yet" in feed.sync().error


def test_versions_with_the_same_rego_are_compiled_once(feed: GitFeed, work: Work, publisher, store) -> None:
    """Each with its own data."""
    for version in ("1", "2", "3"):
        work.write(f"g/n/{version}", "package g.n\n\nx := data.v\n", data=f'{{"v": {version}}}')
    work.push()
    known: list[bool] = []
    compile_one = publisher.compile

    def compile_and_look(source: PolicySource, **also: object) -> CompiledPolicy:
        known.append(also["known"] is not None)
        return compile_one(source, **also)

    publisher.compile = compile_and_look
    feed.sync()

    assert known == [False, True, True]
    assert [store.get(PolicyId("policies", "g", "n", v)).revision.data for v in "123"] == [
        '{"v": 1}',
        '{"v": 2}',
        '{"v": 3}',
    ]


def test_who_watches_hears_of_requests(make_feed: Feed, daemon: Daemon, work: Work, store, publisher, tmp_path) -> None:
    """A request in the store, from any process, is answered by whoever watches."""
    work.write("g/n/1.0")
    work.push()
    (repository,) = read_repositories({"policies": {"url": daemon.url(work), "interval": "1h"}}).items
    feed = GitFeed(repository, publisher, store, tmp_path / "state", poll=0.01)
    requests = GitRequests([repository], store.cache, lambda: datetime.now(UTC))
    stop = threading.Event()
    thread = threading.Thread(target=feed.watch, args=(stop,))
    thread.start()
    try:
        _, first, over = requests.ask("policies", wait=30)
        work.write("g/n/1.0", "package g.n\n\nx := 2\n")
        commit = work.push()
        _, second, again = requests.ask("policies", wait=30)
    finally:
        stop.set()
        thread.join(30)

    assert (over, again, first.commit != commit, second.commit) == (True, True, True, commit)


def test_each_look_is_a_trace(feed: GitFeed, work: Work, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the commit that is published, or that it failed."""
    work.write("g/n/1.0")
    commit = work.push()
    with recording(monkeypatch) as recorder:
        watched(feed, recorder)
        daemon.stop()
        watched(feed, recorder)

    first, second = (each for each in recorder.spans if each.name == "git.sync")
    assert (first.parent, first.failure) == (None, None)
    assert first.attributes == {"git.repository": "policies", "git.commit": commit}
    assert second.failure == "failed"


def watched(feed: GitFeed, recorder: Recorder) -> None:
    """Watch until one more look is over."""
    stop, before = threading.Event(), len(recorder.spans)
    thread = threading.Thread(target=feed.watch, args=(stop,))
    thread.start()
    while len(recorder.spans) == before or not recorder.spans[-1].ended:
        stop.wait(0.01)
    stop.set()
    thread.join()

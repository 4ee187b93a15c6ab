"""What lies in a folder becomes policies, and what happens to it happens to them."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from policy_server.model.errors import PolicyNotFound, SettingsError, StoreUnavailable, ToolkitMissing
from policy_server.model.policy import CompiledPolicy, PolicyId, PolicySource, PolicyState
from policy_server.model.status import State
from policy_server.publishing.publisher import SourcePublisher
from policy_server.sources.folder import FolderFeed
from policy_server.storage.memory import MemoryStore

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = PolicyId("repo", "g", "n", "1.0")
CONFIG = '{"url": "h.test", "method": "GET", "period": "1m"}'


@pytest.fixture
def feed(root: Path, publisher: SourcePublisher, store: MemoryStore) -> FolderFeed:
    """Give a feed over the folder."""
    return FolderFeed([("repo", root)], publisher, store, clock=lambda: AT)


def reasons(skipped: Sequence[object]) -> str:
    """Join what was skipped."""
    return "\n".join(map(str, skipped))


def test_a_policy_directory_becomes_a_policy(feed: FolderFeed, write, store: MemoryStore) -> None:
    """All five files arrive."""
    write("g/n/1.0", data='{"a": 1}', data_config=CONFIG, output_schema="{}", export_config='{"key": "k"}')

    report = feed.sync()

    active = store.get(ID).revision
    assert report.published == (ID,)
    assert active is not None
    assert (active.author, active.source.origin, active.data) == ("folder:repo", "folder:repo/g/n/1.0", '{"a": 1}')
    assert (active.source.data_config, active.source.output_schema) == (CONFIG, "{}")
    assert active.source.export_config == '{"key": "k"}'


def test_the_last_three_directories_name_a_policy(feed: FolderFeed, write, store: MemoryStore) -> None:
    """Whatever lies above them does not matter."""
    write("deep/down/in/here/g/n/1.0")

    feed.sync()

    assert store.get(ID).state is PolicyState.READY


def test_legacy_rego_is_understood(feed: FolderFeed, write, store: MemoryStore) -> None:
    """Existing policies of the policy service are written in Rego v0."""
    write("g/n/1.0", "package g.n\n\nallow { input.x == 1 }\n")

    assert feed.sync().published == (ID,)


def test_a_second_look_finds_nothing_new(feed: FolderFeed, write, store: MemoryStore) -> None:
    """Nothing is written when nothing changed."""
    write("g/n/1.0")
    feed.sync()
    stamp = store.stamp()

    report = feed.sync()

    assert (report.published, report.unchanged, store.stamp()) == ((), (ID,), stamp)


def test_a_restart_publishes_nothing(feed, root: Path, write, publisher, store: MemoryStore) -> None:
    """A new feed sees that the store has this very source, and does not compile it."""
    write("g/n/1.0")
    feed.sync()
    stamp = store.stamp()

    report = FolderFeed([("repo", root)], publisher, store).sync()

    assert (report.unchanged, store.stamp()) == ((ID,), stamp)


@pytest.mark.parametrize("part", ["rego", "data", "output_schema"])
def test_a_change_of_any_file_is_a_new_revision(feed: FolderFeed, write, store: MemoryStore, part: str) -> None:
    """One revision a change."""
    write("g/n/1.0", data="{}", output_schema="{}")
    feed.sync()

    write(
        "g/n/1.0",
        **{"data": "{}", "output_schema": "{}", part: "package g.n\n\nx := 1\n" if part == "rego" else '{"x": 1}'},
    )

    assert feed.sync().published == (ID,)
    assert store.get(ID).revision.number == 2


def test_a_file_that_vanishes_counts(feed: FolderFeed, write, store: MemoryStore) -> None:
    """Without data.json the policy has no data."""
    directory = write("g/n/1.0", data='{"a": 1}')
    feed.sync()

    (directory / "data.json").unlink()

    assert feed.sync().published == (ID,)
    assert store.get(ID).revision.data is None


def test_a_broken_change_leaves_the_last_good_one(feed: FolderFeed, write, store: MemoryStore) -> None:
    """It is compiled and recorded once, listed each time, and forgotten when it is mended."""
    write("g/n/1.0")
    feed.sync()
    write("g/n/1.0", "package g.n\n\nallow := \n")
    feed.sync()
    stamp = store.stamp()

    report = feed.sync()

    record = store.get(ID)
    assert [failed.policy for failed in report.failed] == [ID]
    assert (record.state, record.revision.number, store.stamp()) == (PolicyState.STALE, 1, stamp)
    assert record.failure.message.startswith("policy.rego:")
    write("g/n/1.0")
    feed.sync()
    assert store.get(ID).state is PolicyState.READY


def test_the_package_must_fit_the_path(feed: FolderFeed, write, store: MemoryStore) -> None:
    """The error names both."""
    write("g/n/1.0", "package other.name\n")

    feed.sync()

    record = store.get(ID)
    assert record.state is PolicyState.FAILED
    assert "other.name" in record.failure.message
    assert "g.n" in record.failure.message


def test_one_broken_policy_does_not_stop_the_others(feed: FolderFeed, write, store: MemoryStore) -> None:
    """Every policy stands for itself."""
    write("g/a/1.0", "nonsense")
    write("g/b/1.0", data="[1]")
    write("g/c/1.0")

    report = feed.sync()

    assert (len(report.failed), report.published) == (2, (PolicyId("repo", "g", "c", "1.0"),))


def test_misplaced_files_are_named(feed: FolderFeed, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file too high up cannot be a policy; the warning is given once."""
    (root / "n" / "1.0").mkdir(parents=True)
    (root / "n" / "1.0" / "policy.rego").write_text("package g.n")

    skipped = feed.sync().skipped
    feed.sync()

    assert "n/1.0/policy.rego: lies too high" in reasons(skipped)
    assert len([record for record in caplog.records if "lies too high" in record.getMessage()]) == 1


@pytest.mark.parametrize("name", ["main.rego", "data.json", "data-config.json"])
def test_files_without_a_policy_are_named(feed: FolderFeed, root: Path, write, name: str) -> None:
    """Who calls the policy something else is told what it has to be; other files may lie where they like."""
    write("g/a/1.0")
    (root / "g" / "b" / "1.0").mkdir(parents=True)
    (root / "g" / "b" / "1.0" / name).write_text("{}")
    (root / "g" / "b" / "README.md").write_text("notes")

    report = feed.sync()

    assert reasons(report.skipped) == f"{root}/g/b/1.0/{name}: has no policy.rego beside it"
    assert report.published == (PolicyId("repo", "g", "a", "1.0"),)


def test_other_files_do_not_matter(feed: FolderFeed, write, store: MemoryStore) -> None:
    """Tests, read-mes and hidden directories are none of the feed's business."""
    directory = write("g/n/1.0")
    write(".git/g/n/2.0")
    (directory / "policy_test.rego").write_text("package g.n_test\nnonsense")
    (directory / "README.md").write_bytes(b"\xff\xfe")

    report = feed.sync()

    assert (report.published, report.skipped) == ((ID,), ())


def test_two_files_for_one_policy_are_both_named(feed: FolderFeed, write, store: MemoryStore) -> None:
    """The first in sorted order wins."""
    write("a/g/n/1.0", "package g.n\n\nfrom_a := 1\n")
    write("b/g/n/1.0", "package g.n\n\nfrom_b := 1\n")

    report = feed.sync()

    assert "b/g/n/1.0: is the policy repo/g/n/1.0 too; " in reasons(report.skipped)
    assert "a/g/n/1.0 is used" in reasons(report.skipped)
    assert "from_a" in store.get(ID).revision.source.rego


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("policy.rego", b"package g.n # \xff", "policy.rego:1: is not UTF-8"),
        ("data.json", b'{\n"a": "\xff"}', "data.json:2: is not UTF-8"),
        ("export-config.json", b" " * 70_000, "export-config.json: has 70000 bytes; at most 65536 are accepted"),
    ],
)
def test_unusable_files_fail_the_policy(
    feed: FolderFeed, write, store: MemoryStore, name: str, content: bytes, message: str
) -> None:
    """A policy is never published without the part its author wrote; the last good one stays."""
    directory = write("g/n/1.0", data="{}")
    feed.sync()
    (directory / name).write_bytes(content)

    feed.sync()

    record = store.get(ID)
    assert (record.state, record.revision.number) == (PolicyState.STALE, 1)
    assert record.failure.message == message


def test_a_byte_order_mark_does_not_matter(feed: FolderFeed, write, store: MemoryStore) -> None:
    """Some editors write one."""
    write("g/n/1.0", data=b'\xef\xbb\xbf{"a": 1}')

    feed.sync()

    assert store.get(ID).revision.data == '{"a": 1}'


def test_links_that_leave_the_folder_are_refused(feed: FolderFeed, write, tmp_path: Path, store: MemoryStore) -> None:
    """A policy author does not get to read the server's disk."""
    secret = tmp_path / "secret.json"
    secret.write_text('{"secret": 1}')
    directory = write("g/n/1.0")
    (directory / "data.json").symlink_to(secret)

    report = feed.sync()

    assert report.failed[0].message == "data.json: is a link that leaves the folder"
    assert store.get(ID).revision is None


def test_linked_directories_are_not_followed(feed: FolderFeed, write, root: Path, tmp_path: Path) -> None:
    """Neither out of the folder nor in circles."""
    write("g/n/1.0")
    (tmp_path / "outside").mkdir()
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "g" / "loop").symlink_to(root)

    report = feed.sync()

    assert report.published == (ID,)
    assert reasons(report.skipped).count("links to directories are not followed") == 2


def test_files_mounted_by_kubernetes_are_found(feed: FolderFeed, root: Path, store: MemoryStore) -> None:
    """There each file is a link to a hidden directory beside it."""
    hidden = root / "g" / "n" / "1.0" / "..2026_01"
    hidden.mkdir(parents=True)
    (hidden / "policy.rego").write_text("package g.n\n\nx := 1\n")
    (hidden.parent / "..data").symlink_to(hidden.name)
    (hidden.parent / "policy.rego").symlink_to("..data/policy.rego")

    assert feed.sync().published == (ID,)


@pytest.mark.parametrize("kind", ["pipe", "directory", "dangling link", "circle"])
def test_what_is_no_file_is_told(feed: FolderFeed, write, store: MemoryStore, kind: str) -> None:
    """A pipe of that name does not stop the feed."""
    directory = write("g/n/1.0")
    path = directory / "data.json"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "dangling link":
            path.symlink_to("nowhere.json")
        case _:
            path.symlink_to("data.json")

    report = feed.sync()

    assert report.failed[0].message.startswith("data.json: ")
    assert store.get(ID).revision is None


def test_a_removed_policy_is_deleted(feed: FolderFeed, write, store: MemoryStore) -> None:
    """Also when its data was refreshed in between."""
    directory = write("g/n/1.0", data_config=CONFIG)
    write("g/other/1.0")
    feed.sync()
    feed._publisher.publish_data(ID, '{"fetched": 1}', author="refresh")
    (directory / "policy.rego").unlink()

    assert feed.sync().deleted == (ID,)
    with pytest.raises(PolicyNotFound):
        store.get(ID)


def test_a_removed_policy_that_never_worked_is_deleted(
    feed: FolderFeed, write, root: Path, publisher, store: MemoryStore
) -> None:
    """Its error does not stay in the list, not even after a restart."""
    directory = write("g/n/1.0", "nonsense")
    write("g/other/1.0")
    feed.sync()
    (directory / "policy.rego").unlink()

    assert FolderFeed([("repo", root)], publisher, store).sync().deleted == (ID,)


def test_a_policy_removed_while_the_folder_was_away_is_deleted(
    feed: FolderFeed, write, root: Path, tmp_path: Path, publisher, store: MemoryStore
) -> None:
    """A feed that starts without its folder still finds out later what is gone."""
    directory = write("g/n/1.0")
    write("g/other/1.0")
    feed.sync()
    root.rename(tmp_path / "away")
    restarted = FolderFeed([("repo", root)], publisher, store)
    restarted.sync()
    (tmp_path / "away").rename(root)
    (directory / "policy.rego").unlink()

    assert restarted.sync().deleted == (ID,)


def test_policies_of_others_are_left_alone(feed: FolderFeed, write, publisher, store: MemoryStore) -> None:
    """What somebody else published into the repository stays."""
    other = PolicyId("repo", "g", "api", "1.0")
    publisher.publish(PolicySource(other, "package g.api\n\nx := 1\n", origin="api"), author="admin")
    elsewhere = PolicyId("elsewhere", "g", "n", "1.0")
    publisher.publish(PolicySource(elsewhere, "package g.n\n\nx := 1\n", origin="folder:elsewhere/g/n/1.0"), author="x")
    write("g/n/1.0")

    assert feed.sync().deleted == ()


def test_a_policy_deleted_by_hand_comes_back(feed: FolderFeed, write, publisher, store: MemoryStore) -> None:
    """The folder is the truth."""
    write("g/n/1.0")
    feed.sync()
    publisher.delete(ID, author="admin")

    assert feed.sync().published == (ID,)


def test_refreshed_data_is_not_reset(feed: FolderFeed, write, publisher, store: MemoryStore) -> None:
    """Another look at the folder is no reason to forget what was fetched."""
    write("g/n/1.0", data='{"a": 1}', data_config=CONFIG)
    feed.sync()
    publisher.publish_data(ID, '{"fetched": 1}', author="refresh")

    assert feed.sync().unchanged == (ID,)
    assert store.get(ID).revision.data == '{"fetched": 1}'


@pytest.mark.parametrize("loss", ["gone", "empty", "a file"])
def test_a_folder_that_vanishes_deletes_nothing(
    feed: FolderFeed, write, root: Path, tmp_path: Path, store: MemoryStore, loss: str
) -> None:
    """An unmounted volume is not an order to forget everything."""
    write("g/n/1.0")
    feed.sync()
    root.rename(tmp_path / "away")
    if loss == "empty":
        root.mkdir()
    elif loss == "a file":
        root.write_text("")

    report = feed.sync()

    assert (report.deleted, len(report.skipped)) == ((), 1)
    assert store.get(ID).state is PolicyState.READY


def test_a_directory_that_cannot_be_read_deletes_nothing(
    feed: FolderFeed, write, root: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be seen is not gone (patched, because root may read everything)."""
    write("g/n/1.0")
    write("g/other/1.0")
    feed.sync()
    real = os.scandir

    def scandir(path: str) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("g/n"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    report = feed.sync()

    assert report.deleted == ()
    assert "g/n: cannot be read (Permission denied)" in reasons(report.skipped)


def test_several_folders_are_several_repositories(
    root: Path, tmp_path: Path, write, publisher, store: MemoryStore
) -> None:
    """Each pair has its own; one that is missing does not disturb the other."""
    write("g/n/1.0")
    feed = FolderFeed([("one", root), ("two", root), ("three", tmp_path / "missing")], publisher, store)

    assert [str(policy) for policy in feed.sync().published] == ["one/g/n/1.0", "two/g/n/1.0"]


@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_repository_needs_a_usable_name(name: str, publisher, store: MemoryStore) -> None:
    """A slash would make five parts of four."""
    with pytest.raises(SettingsError):
        FolderFeed([(name, Path())], publisher, store)


def test_a_missing_toolkit_is_tried_again(write, root: Path, store: MemoryStore) -> None:
    """It is not the source's fault, so the same source gets another chance."""

    class Missing:
        tries = 0

        def compile(self, source: PolicySource) -> CompiledPolicy:
            Missing.tries += 1
            raise ToolkitMissing

    write("g/n/1.0")
    feed = FolderFeed([("repo", root)], SourcePublisher(store, Missing(), lambda: AT, lambda: None), store)

    feed.sync()
    stamp = store.stamp()
    feed.sync()

    assert (Missing.tries, store.stamp()) == (2, stamp)


class Looking:
    """A feed that is being watched in a thread, and a way to wait for what it does."""

    def __init__(self, feed: FolderFeed, store: MemoryStore) -> None:
        self.feed = feed
        self.store = store
        self.stop = threading.Event()
        self.thread = threading.Thread(target=feed.watch, args=(self.stop,))

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; fails after ten seconds."""
        pause = threading.Event()
        for _ in range(1000):
            if holds():
                return
            pause.wait(0.01)
        raise AssertionError("it never came to that")

    def number(self) -> int:
        """Return the active revision's number, 0 for none."""
        try:
            active = self.store.get(ID).revision
        except PolicyNotFound:
            return 0
        return 0 if active is None else active.number


@contextmanager
def watching(feed: FolderFeed, store: MemoryStore) -> Iterator[Looking]:
    """Watch a feed in a thread, and end it."""
    looking = Looking(feed, store)
    looking.thread.start()
    try:
        yield looking
    finally:
        looking.stop.set()
        looking.thread.join(10)
    assert not looking.thread.is_alive()


@pytest.mark.parametrize("poll", [60.0, 0.05])
def test_changes_are_followed(root: Path, write, publisher, store: MemoryStore, poll: float) -> None:
    """By notification, and where there is none by looking; no restart is needed."""
    write("g/n/1.0")
    write("g/other/1.0")
    feed = FolderFeed([("repo", root)], publisher, store, poll=poll, grace=0.05)
    with watching(feed, store) as looking:
        looking.until(lambda: looking.number() == 1 and feed.status().state is State.READY)
        directory = write("g/n/1.0", "package g.n\n\nallow := false\n")
        looking.until(lambda: looking.number() == 2)
        write("g/n/1.0", "package g.n\n\nallow :=")
        looking.until(lambda: store.get(ID).failure is not None)
        assert looking.number() == 2
        (directory / "policy.rego").unlink()
        looking.until(lambda: looking.number() == 0)


def test_a_file_that_is_replaced_does_not_unpublish(root: Path, write, publisher, store: MemoryStore) -> None:
    """A policy that is gone for a moment is not believed to be gone."""
    directory = write("g/n/1.0")
    write("g/other/1.0")
    feed = FolderFeed([("repo", root)], publisher, store)
    feed.sync()
    aside = directory / "aside"
    (directory / "policy.rego").rename(aside)

    first = feed._sync(patient=True)
    aside.rename(directory / "policy.rego")
    second = feed._sync(patient=True)

    assert (first.missing, first.deleted, second.missing, second.deleted) == ((ID,), (), (), ())


def test_a_folder_may_appear_later(tmp_path: Path, root: Path, write, publisher, store: MemoryStore) -> None:
    """What cannot be watched yet is looked for."""
    write("g/n/1.0")
    root.rename(tmp_path / "away")
    feed = FolderFeed([("repo", root)], publisher, store, poll=0.05, grace=0.05)
    with watching(feed, store) as looking:
        looking.until(lambda: feed.status().state is State.READY)
        (tmp_path / "away").rename(root)
        looking.until(lambda: looking.number() == 1)
        write("g/n/1.0", "package g.n\n\nallow := false\n")
        looking.until(lambda: looking.number() == 2)


def test_a_store_that_is_away_is_waited_for(root: Path, write, toolkit, publisher) -> None:
    """The feed says that it is degraded, and goes on when the store is back."""

    class Away(MemoryStore):
        away = True

        def stamp(self) -> int:
            if Away.away:
                raise StoreUnavailable
            return super().stamp()

    store = Away()
    write("g/n/1.0")
    publisher._store = store
    feed = FolderFeed([("repo", root)], publisher, store, poll=0.05)
    with watching(feed, store) as looking:
        looking.until(lambda: feed.status().state is State.DEGRADED)
        Away.away = False
        looking.until(lambda: looking.number() == 1 and feed.status().state is State.READY)

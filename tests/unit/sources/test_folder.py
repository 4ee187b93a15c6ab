"""What lies in a folder becomes policies, and what changes there becomes revisions."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from policy_server.model.errors import SettingsError, ToolkitMissing
from policy_server.model.policy import CompiledPolicy, PolicyId, PolicySource, PolicyState
from policy_server.publishing.publisher import SourcePublisher
from policy_server.sources.folder import FolderFeed
from policy_server.storage.memory import MemoryStore

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = PolicyId("repo", "g", "n", "1.0")
CONFIG = '{"url": "h.test", "method": "GET", "period": "1m"}'


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

"""What happens to policies whose directories go away, and when nothing is deleted."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from policy_server.model.errors import PolicyNotFound
from policy_server.model.policy import PolicyId, PolicySource, PolicyState
from policy_server.sources.folder import FolderFeed
from policy_server.storage.memory import MemoryStore

ID = PolicyId("repo", "g", "n", "1.0")
CONFIG = '{"url": "h.test", "method": "GET", "period": "1m"}'


def reasons(skipped: Sequence[object]) -> str:
    """Join what was skipped."""
    return "\n".join(map(str, skipped))


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


def test_what_somebody_takes_over_at_that_moment_is_not_deleted(feed: FolderFeed, write, publisher, store) -> None:
    """Whose it is counts when it is deleted, not when that was decided."""
    directory = write("g/n/1.0")
    write("g/other/1.0")
    feed.sync()
    (directory / "policy.rego").unlink()
    apply = store.apply

    def take_over(changes):
        store.apply = apply
        publisher.publish(PolicySource(ID, "package g.n\n\nours := 1\n", origin="api"), author="ada")
        return apply(changes)

    store.apply = take_over
    assert feed.sync().deleted == ()

    assert store.get(ID).revision.author == "ada"


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

"""Files in a folder: which count, which are named, and which are refused."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from policy_server.model.policy import PolicyId, PolicyState
from policy_server.sources.folder import FolderFeed
from policy_server.storage.memory import MemoryStore

ID = PolicyId("repo", "g", "n", "1.0")


def reasons(skipped: Sequence[object]) -> str:
    """Join what was skipped."""
    return "\n".join(map(str, skipped))


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

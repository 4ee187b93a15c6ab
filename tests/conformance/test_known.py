"""The list of known differences is easy to renew, and hard to fool."""

from pathlib import Path

from opa_suite import known


def test_a_renewed_list_keeps_reasons_and_what_did_not_run() -> None:
    """What passes goes, what is new has no reason yet."""
    before = {"old": "because", "mended": "once", "elsewhere": "not run"}

    after = known.renewed(before, {"old": False, "mended": True, "new": False, "good": True})

    assert after == {"old": "because", "elsewhere": "not run", "new": ""}


def test_a_written_list_reads_as_it_was(tmp_path: Path) -> None:
    """Cases are grouped by reason."""
    path, listed = tmp_path / "known.json", {"a": "one", "b": "two", "c": "one"}

    known.write(listed, path)

    assert known.read(path) == listed
    assert path.read_text("utf-8").count("one") == 1

"""Peers that are not there."""

from pathlib import Path

import pytest
from benchmarks import peers
from benchmarks.rounds import Unmeasured


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with an empty PATH and an empty cache; the environment is all that these programs are found by."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(peers, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(peers, "ROOT", tmp_path)
    return tmp_path


def test_without_opa_and_go_the_reason_says_what_is_needed(bare: Path) -> None:
    """The report can then tell the reader what to install."""
    with pytest.raises(Unmeasured, match="needs Go"):
        peers.opa()


def test_without_wrk_the_reason_says_how_to_install_it(bare: Path) -> None:
    """One sentence, ready to paste."""
    with pytest.raises(Unmeasured, match="apt-get install -y wrk"):
        peers.wrk()


def test_an_opa_of_another_version_does_not_count(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are quoted with a version, so it must be that one."""
    place = bare / "programs"
    place.mkdir()
    opa = place / "opa"
    opa.write_text("#!/bin/sh\necho 'Version: 0.1.0'\n", encoding="utf-8")
    opa.chmod(0o755)
    # Absolute, so that the program itself needs no PATH.
    monkeypatch.setenv("PATH", str(place))

    with pytest.raises(Unmeasured, match="there is no opa"):
        peers.opa()

"""The family `bundle`, on real stores."""

import getpass
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_samples import KINDS, bundle, pem, private, public_jwk
from cli_ran import Ran

from policy_server.jose.keys import thumbprint

EXPORT = '{"namespace": "any", "key": "any"}'


@pytest.fixture
def peer_file(tmp_path: Path) -> Path:
    """A bundle that a peer has signed, with the permission to export it again."""
    file = tmp_path / "peer.zip"
    file.write_bytes(bundle(export_config=EXPORT))
    return file


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """The peer's public key."""
    file = tmp_path / "peer.jwk"
    file.write_text(public_jwk("P-256"))
    return file


def test_a_bundle_is_imported_once_its_key_is_trusted(
    command: Callable[..., Ran], peer_file: Path, key_file: Path
) -> None:
    """Not before, and not after the key was taken away."""
    refused = command("bundle", "import", peer_file)
    trusted = command("bundle", "trust", "peer", key_file, "--repository", "shared")
    done = command("bundle", "import", peer_file)

    assert (refused.code, "No pinned key" in refused.err) == (5, True)
    key = thumbprint(private("P-256").public_key())
    assert trusted.out.split() == [key]
    assert json.loads(done.out)["name"] == "p"
    assert command("bundle", "keys").out.split() == [key, "peer", "shared"]
    assert json.loads(command("bundle", "keys", "--format", "json").out)[0]["repositories"] == ["shared"]
    assert command("bundle", "distrust", key).code == 0
    assert command("bundle", "import", peer_file).code == 5
    assert command("bundle", "distrust", key).code == 1


def test_who_trusts_a_key_is_on_record(command: Callable[..., Ran], key_file: Path) -> None:
    """By the key's id; trusting the same again changes nothing, a repository more does."""
    key = command("bundle", "trust", "peer", key_file).out.strip()
    command("bundle", "trust", "peer", key_file)
    command("bundle", "trust", "peer", key_file, "--repository", "shared")
    command("bundle", "distrust", key)

    records = json.loads(command("audit", "--policy", f"key/{key}", "--format", "json").out)
    assert [each["action"] for each in records[::-1]] == ["trust-key", "trust-key", "distrust-key"]
    assert {each["actor"] for each in records} == {f"cli:{getpass.getuser()}"}
    changes = [(each["before"], each["after"]) for each in records[::-1]]
    assert changes == [(None, "peer"), ("peer", "peer: shared"), ("peer: shared", None)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_is_verified_by_the_public_key(
    command: Callable[..., Ran],
    peer_file: Path,
    key_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Signed with a key in a file, for each kind."""
    (tmp_path / "key.pem").write_text(pem(kind))
    (tmp_path / "public.jwk").write_text(public_jwk(kind))
    monkeypatch.setenv("POLICY_BUNDLE_KEY", str(tmp_path / "key.pem"))
    command("bundle", "trust", "peer", key_file)
    command("bundle", "import", peer_file)

    made = command("bundle", "export", "shared/g/p/1.0", "-o", tmp_path / "ours.zip")
    good = command("bundle", "verify", tmp_path / "ours.zip", "--key", tmp_path / "public.jwk")
    bad = command("bundle", "verify", peer_file, "--key", tmp_path / "public.jwk")

    assert (made.code, made.out) == (0, f"{tmp_path}/ours.zip\n")
    assert (good.code, good.out) == (0, f"shared/g/p/1.0: signed by {tmp_path}/public.jwk\n")
    assert bad.code == (0 if kind == "P-256" else 5)


def test_a_bundle_is_verified_against_what_is_trusted(
    command: Callable[..., Ran], peer_file: Path, key_file: Path
) -> None:
    """Without importing it."""
    refused = command("bundle", "verify", peer_file)
    command("bundle", "trust", "peer", key_file)

    assert refused.code == 5
    assert command("bundle", "verify", peer_file) == Ran(0, "shared/g/p/1.0: signed by peer\n", "")
    assert "shared" not in command("policies", "list").out


def test_a_bundle_is_shown(command: Callable[..., Ran], peer_file: Path) -> None:
    """What it says about itself."""
    shown = json.loads(command("bundle", "inspect", peer_file).out)

    assert (shown["kind"], shown["policy"], shown["locked"]) == ("signed", "shared/g/p/1.0", False)
    assert shown["files"] == ["metadata.json", "policy.rego", "export-config.json"]


def test_a_policy_goes_through_opas_bundle(command: Callable[..., Ran], tmp_path: Path) -> None:
    """Out, and back in under another name."""
    file = tmp_path / "b.tar.gz"
    command("seed")

    assert command("bundle", "export", "bundled/pexip/avatar/1.0", "--opa", "-o", file).code == 0
    assert json.loads(command("bundle", "inspect", file).out)["policy"] == "bundled/pexip/avatar/1.0"
    assert json.loads(command("bundle", "import", file, "--as", "mine/pexip/avatar/2.0").out)["revision"] == 1
    (record,) = json.loads(command("audit", "--policy", "mine/pexip/avatar/2.0", "--format", "json").out)
    assert record["actor"] == f"cli:{getpass.getuser()}"
    config = tmp_path / "config.toml"
    config.write_text(f'[folders]\nfolder = "{tmp_path}"\n')
    refused = command("bundle", "import", file, "--as", "folder/pexip/avatar/2.0", "--config", config)
    assert (refused.code, "comes from the folder" in refused.err) == (5, True)
    assert "mine/pexip/avatar/2.0\tready" in command("policies", "list").out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["inspect", "none.zip"], 1, "cannot be read"),
        (["verify", "pyproject.toml"], 1, "not a ZIP file"),
        (["import", "pyproject.toml"], 1, "not a ZIP file"),
        (["export", "a/b"], 1, "repository/group/name/version"),
        (["export", "a/b/c/d"], 1, "no policy a/b/c/d"),
        (["trust", "x", "pyproject.toml"], 1, "neither PEM nor JSON"),
    ],
)
def test_what_cannot_be_done_is_told(
    command: Callable[..., Ran],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    """In one line, and with an exit code."""
    (tmp_path / "pyproject.toml").write_text("a = 1\n")
    monkeypatch.chdir(tmp_path)

    ran = command("bundle", *arguments)

    assert (ran.code, ran.out) == (code, "")
    assert told in ran.err


def test_the_name_of_a_policy_is_for_opas_bundles(command: Callable[..., Ran], peer_file: Path) -> None:
    """A signed one cannot be given another name."""
    ran = command("bundle", "import", peer_file, "--as", "a/b/c/d")

    assert (ran.code, "--as" in ran.err) == (1, True)


def test_opas_bundles_are_for_the_local_store(command: Callable[..., Ran], tmp_path: Path) -> None:
    """Over HTTP nobody would vouch for them."""
    (tmp_path / "b.tar.gz").write_bytes(b"\x1f\x8b")

    assert command("bundle", "import", tmp_path / "b.tar.gz", "--server", "http://127.0.0.1:1").code == 1

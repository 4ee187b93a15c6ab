"""Push hooks are told from forged ones."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from policy_server.api.hooks import check_hook
from policy_server.model.errors import HookRefused
from policy_server.sources.git_config import GitRepository, read_repositories

BODY = b'{"ref": "refs/heads/main"}'
SECRET = "s3cret"


def repository(**table: str) -> GitRepository:
    """Make a repository."""
    return read_repositories(json.dumps({"a": {"url": "https://h/a", **table}})).items[0]


def signed(secret: str = SECRET, body: bytes = BODY, algorithm: str = "sha256") -> str:
    """Sign as Git hosts do."""
    return hmac.new(secret.encode(), body, getattr(hashlib, algorithm)).hexdigest()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Hub-Signature-256": f"sha256={signed()}", "X-Hub-Signature": f"sha1={signed(algorithm='sha1')}"},
        {"X-Gitlab-Token": SECRET},
        {"X-Gitea-Signature": signed()},
        {"X-Forgejo-Signature": signed(), "X-Gitea-Signature": signed(), "X-Hub-Signature-256": f"sha256={signed()}"},
        {"X-Hub-Signature": f"sha256={signed()}"},
    ],
    ids=["github", "gitlab", "gitea", "forgejo", "bitbucket"],
)
def test_each_hosts_signature_is_understood(headers: dict[str, str], tmp_path: Path) -> None:
    """With the secret in the settings or in a file."""
    check_hook(repository(hook_secret=SECRET), headers.get, BODY)
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    check_hook(repository(hook_secret_file=str(file)), headers.get, BODY)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": f"sha256={signed('other')}"},
        {"X-Hub-Signature-256": signed()},
        {"X-Hub-Signature-256": f"sha256={signed(body=b'{}')}"},
        {"X-Hub-Signature": f"sha1={signed(algorithm='sha1')}"},
        {"X-Gitlab-Token": ""},
        {"X-Gitlab-Token": "s3cret "},
        {"X-Gitlab-Token": "wröng"},
        {"X-Gitlab-Token": "wrong", "X-Gitea-Signature": signed()},
        {"X-Gitea-Signature": signed().upper()},
    ],
)
def test_everything_else_is_refused(headers: dict[str, str]) -> None:
    """Missing, wrong, made of another body, too weak; the secret is not told."""
    with pytest.raises(HookRefused) as caught:
        check_hook(repository(hook_secret=SECRET), headers.get, BODY)

    assert SECRET not in caught.value.message


def test_without_a_secret_no_hook_is_taken() -> None:
    """An empty secret would let everybody in."""
    for headers in ({"X-Gitlab-Token": ""}, {"X-Gitea-Signature": signed("")}):
        with pytest.raises(HookRefused, match="no hook_secret"):
            check_hook(repository(), headers.get, BODY)

"""Checks that a push hook comes from the host that knows the repository's secret."""

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from policy_server.model.errors import HookRefused
from policy_server.sources.git_config import GitRepository

# By header: what stands before the HMAC-SHA256 in hex, or None for a token as it is. The first that is there counts.
# GitHub sends the first and, with SHA-1, the last; Gitea its own and both of GitHub's; Bitbucket the last with SHA-256.
_HEADERS: Final = (
    ("X-Gitlab-Token", None),
    ("X-Forgejo-Signature", ""),
    ("X-Gitea-Signature", ""),
    ("X-Hub-Signature-256", "sha256="),
    ("X-Hub-Signature", "sha256="),
)


def check_hook(repository: GitRepository, header: Callable[[str], str | None], body: bytes) -> None:
    """Compare, in constant time; HookRefused when nothing fits, FetchError when the secret's file cannot be read."""
    secret = repository.hook_secret.read().encode()
    if not secret:
        raise HookRefused(f"{repository.name} has no hook_secret, so no hook can be told from a forged one.")
    for name, prefix in _HEADERS:
        given = header(name)
        if given is None:
            continue
        wanted = (
            secret if prefix is None else prefix.encode() + hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
        )
        if hmac.compare_digest(given.encode("utf-8", "replace"), wanted):
            return
        raise HookRefused(f"The {name} of this hook is not what the hook_secret of {repository.name} makes.")
    raise HookRefused(f"This hook carries none of {', '.join(name for name, _ in _HEADERS)}.")

"""Names what a caller has seen of a policy, and refuses edits of anything else (RFC 9110, 13.1)."""

import re
from collections.abc import Callable
from typing import Final

import falcon

from policy_server.api.request import refused
from policy_server.model.errors import ManagedElsewhere, PreconditionFailed
from policy_server.model.policy import PolicyId, PolicyRecord, Revision
from policy_server.ports import Condition

Managed = Callable[[PolicyId], str | None]
"""Says where a policy is edited when that is not here: ``the folder /srv/policies``."""

_TAGS: Final = re.compile(r'\s*(?:(?:W/)?"[^"]*"\s*(?:,\s*|$))+')
_TAG: Final = re.compile(r'(W/)?"([^"]*)"')


def edit_tag(revision: Revision) -> str:
    """Return the entity tag of a revision, without quotes.

    Numbers begin anew after a deletion, and content may come back: both together name one state.
    """
    return f"{revision.number}-{revision.digest[:32]}"


def show_tag(resp: falcon.Response, revision: Revision | None) -> None:
    """Set the ETag header; a policy that was never good has none."""
    if revision is not None:
        resp.set_header("etag", f'"{edit_tag(revision)}"')


def condition_of(req: falcon.Request, policy: PolicyId, managed: Managed) -> Condition:
    """Return what must hold for this request to change a policy.

    The condition raises ManagedElsewhere and PreconditionFailed; a header that
    cannot be read is an InvalidParameter at once.
    """
    wanted, unwanted = _read(req, "if-match"), _read(req, "if-none-match")

    def check(record: PolicyRecord | None) -> None:
        where = managed(policy)
        if where is not None:
            raise ManagedElsewhere(f"{policy} comes from {where}, and is edited there.")
        revision = None if record is None else record.revision
        if wanted is not None and not _fits(wanted, record is not None, revision):
            raise PreconditionFailed(
                f"{policy} is not what If-Match names any more; read it again."
                if record is not None
                else f"{policy} does not exist, and If-Match wants it to."
            )
        if unwanted is not None and _fits(unwanted, record is not None, revision):
            raise PreconditionFailed(f"{policy} is there already, and If-None-Match does not want it to be.")

    return check


def _read(req: falcon.Request, name: str) -> frozenset[str] | None:
    """Return the tags of a header; weak ones cannot match. None: no header, ``*`` stands for any."""
    text = req.get_header(name)
    if text is None:
        return None
    if text.strip() == "*":
        return frozenset("*")
    if not _TAGS.fullmatch(text):
        raise refused(name, f'{name} must be * or entity tags in quotes, such as "3-9f86d081"')
    return frozenset(tag for weak, tag in _TAG.findall(text) if not weak)


def _fits(tags: frozenset[str], exists: bool, revision: Revision | None) -> bool:
    if tags == {"*"}:
        return exists
    return revision is not None and edit_tag(revision) in tags

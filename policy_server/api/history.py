"""Shows what a policy was before, and what changed."""

import falcon
import msgspec

from policy_server.api import query
from policy_server.api.admin_models import PartDiff, RevisionDetail, RevisionDiff, RevisionList, RevisionView
from policy_server.api.edit_tags import show_tag
from policy_server.api.request import ApiRequest, refused
from policy_server.model.policy import PolicyId, Revision, RevisionSummary
from policy_server.ports import PolicyStore
from policy_server.publishing.history import differences

USUAL = 20
MOST = 1000


class History:
    """The kept revisions of one policy."""

    def __init__(self, store: PolicyStore) -> None:
        """Take the store."""
        self._store = store

    def on_get(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """List them, newest first."""
        limit = query.integer(req, "limit", least=1, most=MOST) or USUAL
        before = query.integer(req, "cursor", least=1, most=999_999_999)
        named = PolicyId(repository, group, policy, version)
        active = _number_of(self._store.get(named).revision)
        found = self._store.revisions(named, limit=limit + 1, before=before)
        views = [_view(each, active) for each in found[:limit]]
        _answer(resp, RevisionList(views, str(views[-1].revision) if len(found) > limit else None))

    def on_get_item(
        self, _req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str, n: str
    ) -> None:
        """Show one with its texts."""
        named = PolicyId(repository, group, policy, version)
        revision = self._store.revision(named, _number(n, "n"))
        show_tag(resp, revision)
        _answer(resp, _detail(revision, _number_of(self._store.get(named).revision)))

    def on_get_diff(
        self,
        _req: ApiRequest,
        resp: falcon.Response,
        repository: str,
        group: str,
        policy: str,
        version: str,
        n: str,
        other: str,
    ) -> None:
        """Compare two."""
        named = PolicyId(repository, group, policy, version)
        old, new = self._store.revision(named, _number(n, "n")), self._store.revision(named, _number(other, "other"))
        found = [PartDiff(each.part, each.diff) for each in differences(old, new)]
        _answer(resp, RevisionDiff(old.number, new.number, found))


def _number(text: str, name: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text)
    raise refused(name, f'"{text}" is no number of a revision')


def _number_of(revision: Revision | None) -> int:
    return 0 if revision is None else revision.number


def _view(summary: RevisionSummary, active: int) -> RevisionView:
    return RevisionView(
        revision=summary.number,
        digest=summary.digest,
        source_digest=summary.source_digest,
        module_digest=summary.module,
        author=summary.author,
        created_at=summary.created_at,
        origin=summary.origin,
        active=summary.number == active,
    )


def _detail(revision: Revision, active: int) -> RevisionDetail:
    source, manifest = revision.source, revision.manifest
    return RevisionDetail(
        revision=revision.number,
        digest=revision.digest,
        source_digest=manifest.source_digest,
        module_digest=manifest.digest,
        author=revision.author,
        created_at=revision.created_at,
        origin=source.origin,
        active=revision.number == active,
        rego=source.rego,
        data=revision.data,
        dataConfig=source.data_config,
        outputSchema=source.output_schema,
        exportConfig=source.export_config,
        dialect=str(manifest.dialect),
        opa_version=manifest.opa_version,
        entrypoints=list(manifest.entrypoints),
        builtins=list(manifest.builtins),
    )


def _answer(resp: falcon.Response, document: msgspec.Struct) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode(document) + b"\n"

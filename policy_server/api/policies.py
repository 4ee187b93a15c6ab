"""Lists policies the way the policy service does, and says more about each."""

from collections.abc import Iterator
from dataclasses import dataclass

import falcon
import msgspec
from msgspec import UNSET

from policy_server.api import query
from policy_server.api.edit_tags import show_tag
from policy_server.api.models import FailureView, PolicyDetail, PolicyList, PolicyView, RefreshView
from policy_server.api.request import ApiRequest
from policy_server.model.policy import Page, PolicyFilter, PolicyId, PolicyRecord
from policy_server.model.principal import Role
from policy_server.model.refresh import RefreshState
from policy_server.ports import Store

BATCH = 500
MOST = 1000


@dataclass(frozen=True, slots=True)
class Extras:
    """Which texts a listing shows."""

    rego: bool = False
    data: bool = False
    data_config: bool = False


class Policies:
    """The policies of the store."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        """List; without ``limit`` all of them, because the policy service knew no pages."""
        wanted, extras = _filter(req), _extras(req)
        page = self._page(wanted, query.integer(req, "limit", least=1, most=MOST), query.text(req, "cursor"))
        states = {state.id: state for state in self._store.refresh_states()} if page.records else {}
        # A page may have fewer than its limit for who may not see all repositories.
        seen = req.principal.repositories(Role.READ)
        records = [record for record in page.records if seen is None or record.id.repository in seen]
        views = [_view(record, states.get(record.id), extras) for record in records]
        _answer(resp, PolicyList(views, page.next_cursor))

    def on_get_item(
        self, _req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Show everything about one."""
        record = self._store.get(PolicyId(repository, group, policy, version))
        show_tag(resp, record.revision)
        _answer(resp, _detail(record, self._store.refresh_state(record.id)))

    def _page(self, wanted: PolicyFilter, limit: int | None, cursor: str | None) -> Page:
        if limit is not None:
            return self._store.find(wanted, limit=limit, cursor=cursor)
        return Page(tuple(self._all(wanted, cursor)), None)

    def _all(self, wanted: PolicyFilter, cursor: str | None) -> Iterator[PolicyRecord]:
        while True:
            page = self._store.find(wanted, limit=BATCH, cursor=cursor)
            yield from page.records
            cursor = page.next_cursor
            if cursor is None:
                return


def _filter(req: ApiRequest) -> PolicyFilter:
    return PolicyFilter(
        repository=query.text(req, "repository"),
        group=query.text(req, "group"),
        version=query.text(req, "version"),
        name_contains=query.text(req, "policyName"),
        locked=query.boolean(req, "locked"),
    )


def _extras(req: ApiRequest) -> Extras:
    return Extras(
        rego=bool(query.boolean(req, "rego")),
        data=bool(query.boolean(req, "data")),
        data_config=bool(query.boolean(req, "dataConfig")),
    )


def _view(record: PolicyRecord, refresh: RefreshState | None, extras: Extras) -> PolicyView:
    revision, failure = record.revision, record.failure
    return PolicyView(
        repository=record.id.repository,
        policyName=record.id.name,
        group=record.id.group,
        version=record.id.version,
        locked=record.locked,
        lastUpdate=int(record.updated_at.timestamp()),
        state=str(record.state),
        revision=None if revision is None else revision.number,
        dialect=None if revision is None else str(revision.manifest.dialect),
        digest=None if revision is None else revision.digest,
        origin=None if revision is None else revision.source.origin,
        error=None if failure is None else FailureView(failure.code, failure.message, failure.at),
        refresh=None if refresh is None else refresh_view(refresh),
        rego=(revision.source.rego if revision else "") if extras.rego else UNSET,
        data=((revision.data if revision else None) or "") if extras.data else UNSET,
        dataConfig=((revision.source.data_config if revision else None) or "") if extras.data_config else UNSET,
    )


def _detail(record: PolicyRecord, refresh: RefreshState | None) -> PolicyDetail:
    revision = record.revision
    source = None if revision is None else revision.source
    manifest = None if revision is None else revision.manifest
    return PolicyDetail(
        **msgspec.structs.asdict(_view(record, refresh, Extras(rego=True, data=True, data_config=True))),
        package=record.id.package,
        entrypoints=list(manifest.entrypoints) if manifest else [],
        builtins=list(manifest.builtins) if manifest else [],
        opa_version=manifest.opa_version if manifest else None,
        module_digest=manifest.digest if manifest else None,
        source_digest=manifest.source_digest if manifest else None,
        author=revision.author if revision else None,
        created_at=revision.created_at if revision else None,
        output_schema=source.output_schema if source else None,
        export_config=source.export_config if source else None,
    )


def refresh_view(state: RefreshState) -> RefreshView:
    """Show how scheduled data is doing."""
    return RefreshView(
        next_run=state.next_run,
        last_attempt=state.last_attempt,
        last_success=state.last_success,
        error=state.error,
        size=state.size,
        digest=state.digest,
        failures=state.failures,
    )


def _answer(resp: falcon.Response, document: msgspec.Struct) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode(document) + b"\n"

"""Creates, replaces, checks and deletes policies and their data."""

import falcon
import msgspec

from policy_server.api import query
from policy_server.api.admin_models import Checked, Published, RollBack, TestRun
from policy_server.api.caller import actor_of
from policy_server.api.drafts import read_draft
from policy_server.api.edit_tags import Managed, condition_of, show_tag
from policy_server.api.errors import detail_of
from policy_server.api.request import ApiRequest, read_body
from policy_server.model.errors import InvalidJson, ManagedElsewhere, NotFound, PolicyNotFound
from policy_server.model.policy import PolicyId, Revision
from policy_server.ports import Publisher, Store
from policy_server.publishing.rehearsal import Rehearsal, Rehearsed


class Editing:
    """One policy, for those who may change it."""

    def __init__(
        self, store: Store, publisher: Publisher, rehearsal: Rehearsal, managed: Managed, *, max_body: int
    ) -> None:
        """Take who publishes, who only tries, and who knows what is edited elsewhere."""
        self._store = store
        self._publisher = publisher
        self._rehearsal = rehearsal
        self._managed = managed
        self._max_body = max_body

    def on_put(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Create or replace; with ``dry_run`` only check."""
        if query.boolean(req, "dry_run"):
            self.on_post_check(req, resp, repository, group, policy, version)
            return
        named = PolicyId(repository, group, policy, version)
        condition = condition_of(req, named, self._managed)
        source, _ = read_draft(req, named, self._max_body)
        before = self._active(named)
        made = self._publisher.publish(source, author=actor_of(req), condition=condition, keep_failure=False)
        resp.status = 201 if before is None else 200
        _show(resp, made, before)

    def on_delete(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Remove the policy with its history, lock and schedule."""
        named = PolicyId(repository, group, policy, version)
        self._publisher.delete(named, author=actor_of(req), condition=condition_of(req, named, self._managed))
        resp.status = 204

    def on_get_data(
        self, _req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Answer the data document as it is kept."""
        revision = self._store.get(PolicyId(repository, group, policy, version)).revision
        if revision is None or revision.data is None:
            raise NotFound("The policy has no data.")
        show_tag(resp, revision)
        resp.content_type = falcon.MEDIA_JSON
        resp.data = revision.data.encode()

    def on_put_data(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Replace the data document."""
        named = PolicyId(repository, group, policy, version)
        condition = condition_of(req, named, self._managed)
        text = _text(read_body(req, self._max_body))
        before = self._active(named)
        if before is not None and before.source.data_config is not None:
            raise ManagedElsewhere(f"The data of {named} is fetched as its dataConfig says; change it at its source.")
        made = self._publisher.publish_data(named, text, author=actor_of(req), condition=condition)
        _show(resp, made, before)

    def on_post_check(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Say what publishing would say, and run the tests that are given."""
        source, tests = read_draft(req, PolicyId(repository, group, policy, version), self._max_body)
        _answer(resp, _checked(self._rehearsal.rehearse(source, tests)))

    def on_post_rollback(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Make what a kept revision was the newest revision."""
        named = PolicyId(repository, group, policy, version)
        condition = condition_of(req, named, self._managed)
        number = _number(read_body(req, self._max_body))
        before = self._active(named)
        made = self._publisher.roll_back(named, number, author=actor_of(req), condition=condition)
        _show(resp, made, before)

    def _active(self, policy: PolicyId) -> Revision | None:
        try:
            return self._store.get(policy).revision
        except PolicyNotFound:
            return None


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidJson("the body is not UTF-8") from error


def _number(body: bytes) -> int:
    try:
        wanted = msgspec.json.decode(body, type=RollBack).revision
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f'the body must be an object such as {{"revision": 3}}: {error}') from error
    # Numbers are kept in 64 bits; what is larger names no revision either.
    return wanted if 0 < wanted < 1 << 31 else 0


def _show(resp: falcon.Response, made: Revision, before: Revision | None) -> None:
    show_tag(resp, made)
    changed = before is None or (before.number, before.digest) != (made.number, made.digest)
    _answer(
        resp,
        Published(
            repository=made.id.repository,
            policyName=made.id.name,
            group=made.id.group,
            version=made.id.version,
            revision=made.number,
            digest=made.digest,
            dialect=str(made.manifest.dialect),
            author=made.author,
            created_at=made.created_at,
            changed=changed,
        ),
    )


def _checked(seen: Rehearsed) -> Checked:
    manifest = seen.manifest
    return Checked(
        ok=seen.ok,
        problems=[detail_of(problem) for problem in seen.problems],
        warnings=[detail_of(warning) for warning in seen.warnings],
        digest=seen.digest,
        dialect=None if manifest is None else str(manifest.dialect),
        entrypoints=[] if manifest is None else list(manifest.entrypoints),
        builtins=[] if manifest is None else list(manifest.builtins),
        tests=None if seen.tests is None else msgspec.convert(seen.tests, _Run).shown(),
    )


class _Run(msgspec.Struct):
    """What the toolkit says about a run of tests."""

    passed: int
    failed: int
    errored: int
    skipped: int
    results: list[dict[str, object]]

    def shown(self) -> TestRun:
        results = [msgspec.Raw(msgspec.json.encode(result)) for result in self.results]
        return TestRun(self.passed, self.failed, self.errored, self.skipped, results)


def _answer(resp: falcon.Response, document: msgspec.Struct) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode(document) + b"\n"

"""Shows Git repositories and has them synchronised."""

import falcon
import msgspec

from policy_server.api import query
from policy_server.api.hooks import check_hook
from policy_server.api.models import GitFailure, GitList, GitView
from policy_server.api.request import ApiRequest, read_body
from policy_server.model.git import GitState
from policy_server.sources.git_config import GitRepository
from policy_server.sources.git_requests import GitRequests

LONGEST = 30
"""Seconds that a request may wait for a repository."""


class Git:
    """The Git repositories that are followed."""

    def __init__(self, requests: GitRequests, *, max_body: int) -> None:
        """Take who knows about them, and the largest hook that is read, in bytes."""
        self._requests = requests
        self._max_body = max_body

    def on_get(self, _req: ApiRequest, resp: falcon.Response) -> None:
        """List them."""
        _answer(resp, GitList([_view(*each) for each in self._requests.all()]))

    def on_get_item(self, _req: ApiRequest, resp: falcon.Response, repository: str) -> None:
        """Show one."""
        _answer(resp, _view(*self._requests.get(repository)))

    def on_post_sync(self, req: ApiRequest, resp: falcon.Response, repository: str) -> None:
        """Synchronise one now, and answer how that went; 202 when it is not over yet."""
        seconds = query.integer(req, "wait", least=0, most=LONGEST)
        found, state, over = self._requests.ask(repository, wait=10 if seconds is None else seconds)
        resp.status = 200 if over else 202
        _answer(resp, _view(found, state))

    def on_post_hook(self, req: ApiRequest, resp: falcon.Response, repository: str) -> None:
        """Synchronise one soon, because its host says that somebody pushed."""
        check_hook(self._requests.repository(repository), req.get_header, read_body(req, self._max_body))
        found, state, _ = self._requests.ask(repository, wait=0)
        resp.status = 202
        _answer(resp, _view(found, state))


def _view(repository: GitRepository, state: GitState) -> GitView:
    counts = state.counts
    return GitView(
        repository=repository.name,
        url=repository.url,
        branch=repository.branch,
        folder=repository.folder,
        deleted_policies=str(repository.deleted),
        interval=repository.interval,
        state=str(state.condition),
        commit=state.commit,
        last_attempt=state.last_attempt,
        last_success=state.last_success,
        next_attempt=state.next_attempt,
        error=state.error,
        failures=state.failures,
        seconds=state.seconds,
        published=counts.published,
        unchanged=counts.unchanged,
        failed=counts.failed,
        deleted=counts.deleted,
        kept=counts.kept,
        marked=counts.marked,
        skipped=counts.skipped,
        broken=[GitFailure(policy, message) for policy, message in state.broken],
        warnings=list(state.warnings),
    )


def _answer(resp: falcon.Response, document: msgspec.Struct) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode(document) + b"\n"

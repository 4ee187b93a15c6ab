"""Answers like OPA's data API: a path under ``data`` is the package of a policy, and what is in it."""

import time
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, unquote

import falcon
import msgspec

from policy_server.api import query
from policy_server.api.document import member
from policy_server.api.drafts import read_members
from policy_server.api.metrics import Metrics
from policy_server.api.parts import ApiOptions, Find
from policy_server.api.request import ApiRequest, Headers, read_body, refused
from policy_server.api.router import raw_path
from policy_server.auth.gate import require
from policy_server.engine.catalog import Ready
from policy_server.engine.evaluator import Evaluator
from policy_server.engine.versions import Versions
from policy_server.model.decision import Decision, Question
from policy_server.model.errors import PolicyServerError
from policy_server.model.policy import PolicyId
from policy_server.model.principal import Role

DEEPEST: Final = 32
"""How many parts of a path may belong to a package; deeper ones are looked up in its document."""

_PREFIX: Final = "/v1/data/"
_OFF: Final = frozenset({"0", "f", "F", "FALSE", "false", "False", "off"})
_NO_INPUT: Final = {"code": "api_usage_warning", "message": "'input' key missing from the request"}


class DataApi:
    """Evaluates what a path names, in the highest version there is."""

    def __init__(
        self, versions: Versions, find: Find, evaluator: Evaluator, options: ApiOptions, metrics: Metrics
    ) -> None:
        """Take who knows the policies, who has them loaded and who decides."""
        self._versions = versions
        self._find = find
        self._evaluator = evaluator
        self._options = options
        self._metrics = metrics

    def on_get(self, req: ApiRequest, resp: falcon.Response, path: str) -> None:
        """Ask with the input in the query, or with none."""
        text = query.text(req, "input")
        self._answer(req, resp, path, None if text is None else text.encode())

    def on_post(self, req: ApiRequest, resp: falcon.Response, path: str) -> None:
        """Ask with the input in the body, as ``{"input": …}``."""
        body = read_body(req, self._options.max_body)
        given = read_members(body).get("input") if body.strip() else None
        self._answer(req, resp, path, None if given is None else bytes(given))

    def _answer(self, req: ApiRequest, resp: falcon.Response, path: str, given: bytes | None) -> None:
        if query.text(req, "explain") not in {None, "off"}:
            raise refused("explain", "explanations are not part of this answer")
        answer: dict[str, object] = {}
        named = self._named(_parts(req, path), query.text(req, "repository"), query.text(req, "version"))
        if named is not None:
            policy, rest = named
            require(req.principal, Role.EVALUATE, policy.repository)
            ready = self._find(policy)
            entrypoint, rest = entry_of(ready.revision.manifest.entrypoints, rest)
            decision = self._decide(req, policy, entrypoint, given)
            found = None if decision.result is None else member(decision.result, rest)
            answer = self._describe(req, ready, decision)
            if found is not None:
                answer["result"] = msgspec.Raw(found)
        if given is None and req.method == "POST":
            answer["warning"] = _NO_INPUT
        _show(resp, answer, pretty=_asked(req, "pretty"))

    def _named(
        self, parts: Sequence[str], repository: str | None, version: str | None
    ) -> tuple[PolicyId, Sequence[str]] | None:
        """Return the policy with the longest package on the path, and the rest of the path."""
        for end in range(min(len(parts), DEEPEST), 1, -1):
            group, name = ".".join(parts[: end - 1]), parts[end - 1]
            found = self._versions.find(group, name, repository=repository, version=version)
            if found is not None:
                return found, parts[end:]
        return None

    def _decide(self, req: ApiRequest, policy: PolicyId, entrypoint: str, given: bytes | None) -> Decision:
        question = Question(
            policy=policy,
            input=given,
            entrypoint=entrypoint,
            headers=Headers(req.env),
            deadline=self._options.evaluation_deadline,
            strict=_asked(req, "strict-builtin-errors"),
        )
        try:
            decision = self._evaluator.decide(question)
        except PolicyServerError as error:
            self._metrics.decision("data", error.slug, "policy", 0.0)
            raise
        self._metrics.decision("data", "ok", "policy", decision.duration_ns / 1e9)
        return decision

    def _describe(self, req: ApiRequest, ready: Ready, decision: Decision) -> dict[str, object]:
        answer: dict[str, object] = {"decision_id": decision.id}
        if _asked(req, "metrics") or _asked(req, "instrument"):
            answer["metrics"] = {
                "timer_rego_query_eval_ns": decision.duration_ns,
                "timer_server_handler_ns": time.perf_counter_ns() - req.started_ns,
            }
        if _asked(req, "provenance"):
            answer["provenance"] = _provenance(ready)
        return answer


def _parts(req: ApiRequest, path: str) -> Sequence[str]:
    """Return the parts of the path as OPA does: each decoded by itself, so that ``%2F`` is a slash in a name."""
    raw = raw_path(req.env, req.path)
    if not raw.startswith(_PREFIX):  # encoded where it need not be: then it was decoded as a whole
        return path.strip("/").split("/")
    return [unquote(part, errors="replace") for part in raw.removeprefix(_PREFIX).strip("/").split("/")]


def entry_of(entrypoints: Sequence[str], path: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the deepest entrypoint on a path below the package, and what is left of the path."""
    package = entrypoints[0]
    for end in range(min(len(path), DEEPEST), 0, -1):
        candidate = "/".join([package, *(quote(part, safe="") for part in path[:end])])
        if candidate in entrypoints:
            return candidate, path[end:]
    return package, path


def _provenance(ready: Ready) -> Mapping[str, object]:
    revision = ready.revision
    return {
        "version": revision.manifest.opa_version,
        "build_commit": "",
        "build_timestamp": "",
        "build_host": "",
        "bundles": {str(revision.id): {"revision": str(revision.number)}},
    }


def _asked(req: falcon.Request, name: str) -> bool:
    """Tell whether a switch is there, with no value or one that does not turn it off."""
    value = req.params.get(name)
    return value is not None and value not in _OFF if not isinstance(value, list) else value[0] not in _OFF


def _show(resp: falcon.Response, answer: Mapping[str, object], *, pretty: bool) -> None:
    text = msgspec.json.encode(answer)
    resp.content_type = falcon.MEDIA_JSON
    resp.data = (msgspec.json.format(text, indent=2) if pretty else text) + b"\n"

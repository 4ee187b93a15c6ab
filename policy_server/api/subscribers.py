"""Webhooks of a policy: the policy service's ``notifychange``, and what it lacks."""

import dataclasses
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import falcon
import msgspec

from policy_server.api.caller import actor_of
from policy_server.api.event_views import (
    NewSubscriberView,
    SubscriberList,
    SubscriberView,
    SubscriptionRequest,
    TrialView,
    encode,
)
from policy_server.api.request import ApiRequest, read_body
from policy_server.events.subscriptions import Subscriptions
from policy_server.model.errors import InvalidJson, InvalidParameter, Problem
from policy_server.model.policy import PolicyId
from policy_server.model.principal import Role
from policy_server.model.subscriber import Subscriber

_SHORTEST: Final = 3
_LONGEST: Final = 100
_LONGEST_URL: Final = 2048


class Subscribers:
    """The subscribers of one policy."""

    def __init__(self, subscriptions: Subscriptions, *, max_body: int) -> None:
        """Take who keeps and calls them; ``max_body`` is in bytes."""
        self._subscriptions = subscriptions
        self._max_body = max_body

    def on_post(self, req: ApiRequest, resp: falcon.Response, **policy: str) -> None:
        """Subscribe; the answer shows the secret, once."""
        wanted = _read(read_body(req, self._max_body))
        made = self._subscriptions.subscribe(
            _id(policy), name=wanted.subscriber, url=wanted.webhook_url, by=actor_of(req)
        )
        # SECURITY: nobody in between may keep the secret.
        resp.set_header("cache-control", "no-store")
        _answer(resp, NewSubscriberView(**msgspec.structs.asdict(_view(made)), secret=made.secret))

    def on_get(self, req: ApiRequest, resp: falcon.Response, **policy: str) -> None:
        """List."""
        _answer(resp, SubscriberList([_shown(req, each) for each in self._subscriptions.of(_id(policy))]))

    def on_get_item(self, req: ApiRequest, resp: falcon.Response, subscriber: str, **policy: str) -> None:
        """Show one."""
        _answer(resp, _shown(req, self._subscriptions.get(_id(policy), subscriber)))

    def on_delete_item(self, req: ApiRequest, resp: falcon.Response, subscriber: str, **policy: str) -> None:
        """Unsubscribe."""
        self._subscriptions.unsubscribe(_id(policy), subscriber, by=actor_of(req))
        resp.data = b""

    def on_post_test(self, _req: ApiRequest, resp: falcon.Response, subscriber: str, **policy: str) -> None:
        """Call it now and answer how that went."""
        trial = self._subscriptions.test(_id(policy), subscriber)
        _answer(resp, TrialView(**dataclasses.asdict(trial)))


def _id(policy: dict[str, str]) -> PolicyId:
    return PolicyId(policy["repository"], policy["group"], policy["policy"], policy["version"])


def _view(subscriber: Subscriber) -> SubscriberView:
    policy = subscriber.policy
    return SubscriberView(
        id=subscriber.id,
        name=subscriber.name,
        url=subscriber.url,
        policy_repository=policy.repository,
        policy_name=policy.name,
        policy_group=policy.group,
        policy_version=policy.version,
        created_at=subscriber.created_at,
        updated_at=subscriber.updated_at,
        state=str(subscriber.state),
        signed=subscriber.secret is not None,
    )


def _shown(req: ApiRequest, subscriber: Subscriber) -> SubscriberView:
    """Return what the caller may see: the whole address is for those who may subscribe."""
    view = _view(subscriber)
    if req.principal.allows(Role.EDIT, subscriber.policy.repository):
        return view
    # SECURITY: user, password and query may be what lets us in at the receiver.
    parts = urlsplit(view.url)
    plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return msgspec.structs.replace(view, url=plain)


def _read(body: bytes) -> SubscriptionRequest:
    """Read a subscription; the messages are the policy service's."""
    if not body.strip():
        raise InvalidJson("missing required payload")
    try:
        given = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        url, name = (_text(given, member) for member in ("webhook_url", "subscriber"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"the body is not the JSON object that is needed: {error}") from error
    problems = list(_problems(url, name))
    if problems or url is None or name is None:
        raise InvalidParameter("; ".join(each.message for each in problems), problems=problems)
    return SubscriptionRequest(url, name)


def _text(given: dict[str, msgspec.Raw], member: str) -> str | None:
    raw = given.get(member)
    return None if raw is None else msgspec.json.decode(raw, type=str | None)


def _problems(url: str | None, name: str | None) -> Iterator[Problem]:
    for member, value in (("webhook_url", url), ("subscriber", name)):
        if value is None:
            yield Problem(f'"{member}" is missing from body', code="missing", parameter=f"/{member}")
    if url is not None and not _is_uri(url):
        said = f'body.webhook_url must be formatted as a uri but got value "{url[:200]}"'
        yield Problem(said, code="format", parameter="/webhook_url")
    if url is not None and len(url) > _LONGEST_URL:
        said = f"length of body.webhook_url must be lesser or equal than {_LONGEST_URL} (len={len(url)})"
        yield Problem(said, code="length", parameter="/webhook_url")
    if name is not None and not _SHORTEST <= len(name) <= _LONGEST:
        limit = f"greater or equal than {_SHORTEST}" if len(name) < _SHORTEST else f"lesser or equal than {_LONGEST}"
        said = f'length of body.subscriber must be {limit} but got value "{name[:200]}" (len={len(name)})'
        yield Problem(said, code="length", parameter="/subscriber")


def _is_uri(text: str) -> bool:
    if not text.isprintable() or " " in text:
        return False
    try:
        return bool(urlsplit(text).scheme)
    except ValueError:
        return False


def _answer(resp: falcon.Response, document: msgspec.Struct) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = encode(document)

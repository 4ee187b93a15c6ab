"""Answers Pexip Infinity's external policy requests."""

import logging

import falcon

from policy_server.api.credentials import Credentials
from policy_server.api.metrics import Metrics
from policy_server.api.request import ApiRequest, Headers, raw_query
from policy_server.pexip.answers import Answers
from policy_server.pexip.kinds import RequestKind

log = logging.getLogger(__name__)


class Pexip:
    """One method a request type; 200 or 404, 401 without the right password, nothing else."""

    def __init__(self, answers: Answers, credentials: Credentials, metrics: Metrics) -> None:
        """Take who answers and who may ask."""
        self._answers = answers
        self._credentials = credentials
        self._metrics = metrics

    def on_get_service(self, req: ApiRequest, resp: falcon.Response, mount: str) -> None:
        """Answer what an alias is."""
        self._answer(RequestKind.SERVICE, req, resp, mount)

    def on_get_participant(self, req: ApiRequest, resp: falcon.Response, mount: str) -> None:
        """Answer with which properties a participant joins, if at all."""
        self._answer(RequestKind.PARTICIPANT, req, resp, mount)

    def on_get_location(self, req: ApiRequest, resp: falcon.Response, mount: str) -> None:
        """Answer which location carries the media."""
        self._answer(RequestKind.MEDIA_LOCATION, req, resp, mount)

    def on_get_avatar(self, req: ApiRequest, resp: falcon.Response, alias: str, mount: str) -> None:
        """Answer a picture."""
        self._answer(RequestKind.AVATAR, req, resp, mount, alias)

    def on_get_audioavatar(self, _req: ApiRequest, _resp: falcon.Response, **_place: str) -> None:
        """Answer that there is none: Pexip gave these up long ago."""
        raise falcon.HTTPNotFound

    def on_get_directory(self, req: ApiRequest, resp: falcon.Response, mount: str) -> None:
        """Answer a search of the phone book."""
        self._answer(RequestKind.DIRECTORY, req, resp, mount)

    def on_get_registration(self, req: ApiRequest, resp: falcon.Response, alias: str, mount: str) -> None:
        """Answer whether a device may register."""
        self._answer(RequestKind.REGISTRATION, req, resp, mount, alias)

    def _answer(
        self, kind: RequestKind, req: ApiRequest, resp: falcon.Response, mount: str, alias: str | None = None
    ) -> None:
        environ = req.env
        if not self._credentials.accept(environ.get("HTTP_AUTHORIZATION")):
            self._challenge(req, resp)
            return
        reply = self._answers.answer(kind, alias=alias, query=raw_query(environ), headers=Headers(environ), mount=mount)
        resp.status = reply.status
        resp.data = reply.body
        if reply.content_type is not None:
            resp.content_type = reply.content_type

    def _challenge(self, req: ApiRequest, resp: falcon.Response) -> None:
        # To Pexip this is only a failed request: calls go on without a policy,
        # so an operator must be able to see it.
        self._metrics.auth_failure("pexip")
        log.warning(
            "a policy request had no right user and password",
            extra={"action": "refused", "request_id": req.request_id, "remote": req.remote_addr},
        )
        resp.status = 401
        resp.set_header("www-authenticate", self._credentials.challenge)
        resp.data = b""

"""Fetches a policy's scheduled data now."""

import falcon
import msgspec

from policy_server.api.policies import refresh_view
from policy_server.api.request import ApiRequest
from policy_server.model.policy import PolicyId
from policy_server.refresh.refresher import Refresher


class Refresh:
    """The scheduled data of one policy."""

    def __init__(self, refresher: Refresher) -> None:
        """Take who fetches."""
        self._refresher = refresher

    def on_post(
        self, _req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Fetch now and answer how it went; a failed fetch is told in ``error``."""
        state = self._refresher.refresh_now(PolicyId(repository, group, policy, version))
        resp.content_type = falcon.MEDIA_JSON
        resp.data = msgspec.json.encode(refresh_view(state)) + b"\n"

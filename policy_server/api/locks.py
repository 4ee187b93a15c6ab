"""Locks and unlocks policies; every worker refuses a locked one at once."""

import falcon

from policy_server.api.caller import actor_of
from policy_server.api.request import ApiRequest
from policy_server.model.policy import PolicyId
from policy_server.publishing.locks import PolicyLocks


class Locks:
    """The lock of one policy; bodies are ignored, answers are empty."""

    def __init__(self, locks: PolicyLocks) -> None:
        """Take who locks."""
        self._locks = locks

    def on_post(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Lock."""
        self._locks.lock(PolicyId(repository, group, policy, version), actor=actor_of(req))
        resp.data = b""

    def on_delete(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Unlock."""
        self._locks.unlock(PolicyId(repository, group, policy, version), actor=actor_of(req))
        resp.data = b""

"""Locks and unlocks policies; every worker refuses a locked one at once."""

import falcon

from policy_server.api.request import ApiRequest
from policy_server.model.policy import PolicyId
from policy_server.ports import Clock, PolicyStore


class Locks:
    """The lock of one policy; bodies are ignored, answers are empty."""

    def __init__(self, store: PolicyStore, clock: Clock) -> None:
        """Take the store, which is the truth about locks."""
        self._store = store
        self._clock = clock

    def on_post(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Lock."""
        self._store.lock(PolicyId(repository, group, policy, version), self._clock(), actor=req.principal.name)
        resp.data = b""

    def on_delete(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Unlock."""
        self._store.unlock(PolicyId(repository, group, policy, version), self._clock(), actor=req.principal.name)
        resp.data = b""

"""Policies that another program keeps in our store: the original policy service's, in MongoDB."""

import logging

from policy_server.model.errors import PublishError, ToolkitError
from policy_server.ports import PolicyStore, Publisher

AUTHOR = "policy service"

log = logging.getLogger(__name__)


class ForeignFeed:
    """Takes policies over: each is compiled and published once, and keeps its lock."""

    def __init__(self, store: PolicyStore, publisher: Publisher) -> None:
        """Take the collaborators; nothing is read yet."""
        self._store = store
        self._publisher = publisher

    def adopt(self) -> int:
        """Take over what there is; return how many. One that cannot be published is listed as failed, with the reason.

        Raises:
            StoreUnavailable: the store cannot be read or written.
        """
        count = 0
        for source in self._store.foreign():
            try:
                self._publisher.publish(source, author=AUTHOR)
            except (PublishError, ToolkitError) as error:
                log.warning("%s cannot be taken over: %s", source.id, error.message, extra={"action": "foreign.failed"})
            else:
                count += 1
        if count:
            log.info("took over %d policies of the original service", count, extra={"action": "foreign.adopted"})
        return count

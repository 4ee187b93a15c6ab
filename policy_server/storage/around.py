"""What a store keeps around policies, on the shelves of its backend."""

from collections.abc import Callable

from policy_server.storage import shelf
from policy_server.storage.access import Keys, Tokens
from policy_server.storage.audit import Audit
from policy_server.storage.decisions import Decisions
from policy_server.storage.outbox import ShelfOutbox
from policy_server.storage.registers import AutoImports, Subscribers
from policy_server.storage.values import Cache, Values


class Around:
    """Gives a store its smaller parts; they implement the ports of their names."""

    def __init__(self, make: Callable[[shelf.Kind], shelf.Shelf]) -> None:
        """Take what makes a shelf of a kind."""
        self.subscribers = Subscribers(make(shelf.SUBSCRIBERS))
        self.auto_imports = AutoImports(make(shelf.AUTO_IMPORTS))
        self.values = Values(make(shelf.VALUES))
        self.cache = Cache(make(shelf.CACHE))
        self.outbox = ShelfOutbox(make(shelf.EVENTS), make(shelf.DELIVERIES))
        self.audit = Audit(make(shelf.AUDIT))
        self.decisions = Decisions(make(shelf.DECISIONS))
        self.tokens = Tokens(make(shelf.TOKENS))
        self.keys = Keys(make(shelf.KEYS))

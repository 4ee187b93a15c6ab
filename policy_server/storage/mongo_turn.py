"""A turn for a writer that was overtaken again and again.

It is advice, not a lock: what it writes is right without it, and a writer that is killed
holding it keeps others waiting for seconds. Without it, whoever changes thousands of
policies at once would lose to everybody who changes one.
"""

import time
import uuid
from typing import Final

from pymongo.collection import Collection

from policy_server.storage.mongo_server import Document

OVERTAKEN: Final = 3
"""How often a writer loses before it asks for a turn."""

_TERM: Final = 5_000_000
_ID: Final = {"_id": "stamp"}


class Turn:
    """The turn of one change; it stands in the document that commits are made in."""

    def __init__(self, state: Collection[Document]) -> None:
        """Take where it stands; nothing is read or written yet."""
        self._state = state
        self._holder = uuid.uuid4().hex
        self._lost = 0

    def is_of_another(self, state: Document) -> bool:
        """Tell whether somebody else has the turn now, by the clock of this machine."""
        turn = state.get("turn")
        return turn is not None and turn["holder"] != self._holder and turn["until"] > _now()

    def lose(self) -> None:
        """Note that another writer came first; ask for the turn, or keep it, when that was so too often."""
        self._lost += 1
        if self._lost < OVERTAKEN:
            return
        mine = {"turn": {"holder": self._holder, "until": _now() + _TERM}}
        free = [{"turn": None}, {"turn.holder": self._holder}, {"turn.until": {"$lte": _now()}}]
        self._state.update_one({**_ID, "$or": free}, {"$set": mine})

    def end(self) -> None:
        """Give it back."""
        if self._lost >= OVERTAKEN:
            self._state.update_one({**_ID, "turn.holder": self._holder}, {"$set": {"turn": None}})


def _now() -> int:
    return time.time_ns() // 1000

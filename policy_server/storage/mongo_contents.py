"""Big texts and modules in MongoDB, kept once under their digest, in pieces that fit a document."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from pymongo import errors
from pymongo.collection import Collection

from policy_server.model.errors import ChangedMeanwhile
from policy_server.storage.mongo_server import Document, MongoServer

PIECE: Final = 4 << 20
CHUNK: Final = 500
"""How many names one question holds."""

_HELD: Final = 32 << 20


class Pieces:
    """Keeps bytes; each piece knows the stamp that last wanted it, so that nobody drops what another just kept."""

    def __init__(self, server: MongoServer) -> None:
        """Take the server; nothing is read yet."""
        self._server = server

    def keep(self, digest: str, body: bytes, stamp: int) -> int:
        """Keep a content for the change with this stamp; what is there is not sent again. Return how many pieces."""
        count = max(1, -(-len(body) // PIECE))
        if self.want([digest], stamp) != count:
            for number in range(count):
                piece = {"digest": digest, "number": number, "count": count}
                made = {**piece, "body": body[number * PIECE : (number + 1) * PIECE]}
                self._upsert(f"{digest}.{number}", {"$max": {"touched": stamp}, "$setOnInsert": made})
        return count

    def want(self, digests: Sequence[str], stamp: int) -> int:
        """Note that the change with this stamp wants contents; return how many pieces of them are there."""
        return self._pieces.update_many({"digest": {"$in": digests}}, {"$max": {"touched": stamp}}).matched_count

    def read(self, digests: Iterable[str]) -> dict[str, bytes]:
        """Return those contents that are there whole."""
        wanted = sorted(set(digests))
        pieces: dict[str, dict[int, Document]] = {}
        for start in range(0, len(wanted), CHUNK):
            for piece in self._pieces.find({"digest": {"$in": wanted[start : start + CHUNK]}}):
                pieces.setdefault(piece["digest"], {})[piece["number"]] = piece
        return {
            digest: b"".join(found[number]["body"] for number in sorted(found))
            for digest, found in pieces.items()
            if len(found) == found[min(found)]["count"]
        }

    def drop(self, digests: Iterable[str], *, before: int) -> None:
        """Drop contents that no change with this stamp or a newer one wanted."""
        dropping = list(digests)
        for start in range(0, len(dropping), CHUNK):
            unwanted = {"$in": dropping[start : start + CHUNK]}
            self._pieces.delete_many({"digest": unwanted, "touched": {"$lt": before}})

    def kept(self, *, before: int) -> Iterator[str]:
        """Yield what was last wanted before this stamp; some more than once."""
        for piece in self._pieces.find({"touched": {"$lt": before}, "number": 0}, {"digest": 1}):
            yield piece["digest"]

    @property
    def _pieces(self) -> Collection[Document]:
        return self._server.collection("policy_server_contents")

    def _upsert(self, name: str, update: Document) -> None:
        try:
            self._pieces.update_one({"_id": name}, update, upsert=True)
        except errors.DuplicateKeyError:
            self._pieces.update_one({"_id": name}, update, upsert=True)  # now it is there


class Contents:
    """Keeps what the changes of one writer need until they are committed.

    It was kept for the stamp that seemed to be the next; when another writer came first, it is
    wanted for a later one. So that a lost race costs no second reading, some of it is held here, too.
    """

    def __init__(self, pieces: Pieces) -> None:
        """Take where contents are."""
        self._pieces = pieces
        self._held: dict[str, bytes] = {}
        self._size = 0
        self._counts: dict[str, int] = {}
        self._stamps: dict[str, int] = {}

    def keep(self, contents: Mapping[str, bytes], stamp: int) -> None:
        """Keep contents for the change with this stamp."""
        for name, body in contents.items():
            if name in self._counts:
                continue
            self._counts[name] = self._pieces.keep(name, body, stamp)
            self._stamps[name] = stamp
            if self._size + len(body) <= _HELD:
                self._held[name] = body
                self._size += len(body)

    def want(self, names: Iterable[str], stamp: int) -> None:
        """Make sure that contents are there for the change with this stamp; ChangedMeanwhile when one has gone."""
        late = sorted({name for name in names if self._stamps[name] != stamp})
        for start in range(0, len(late), CHUNK):
            chunk = late[start : start + CHUNK]
            if self._pieces.want(chunk, stamp) != sum(self._counts[name] for name in chunk):
                self._restore(chunk, stamp)
            self._stamps.update(dict.fromkeys(chunk, stamp))

    def _restore(self, names: Iterable[str], stamp: int) -> None:
        for name in names:
            if name in self._held:
                self._pieces.keep(name, self._held[name], stamp)
            elif self._pieces.want([name], stamp) != self._counts[name]:
                raise ChangedMeanwhile("Contents were dropped while they waited to be committed; try again.")


def module_key(digest: str) -> str:
    """Return under which name a module is kept."""
    return f"module.{digest}"


def text_key(text: str) -> str:
    """Return under which name a text is kept."""
    return f"text.{hashlib.sha256(text.encode()).hexdigest()}"

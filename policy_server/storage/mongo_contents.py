"""Big texts and modules in MongoDB, kept once under their digest, in pieces that fit a document."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pymongo import errors
from pymongo.collection import Collection

from policy_server.storage.mongo_server import Document, MongoServer

PIECE: Final = 4 << 20


class Contents:
    """Keeps bytes; each piece knows the stamp that last wanted it, so that nobody drops what another just kept."""

    def __init__(self, server: MongoServer) -> None:
        """Take the server; nothing is read yet."""
        self._server = server

    def keep(self, contents: Mapping[str, bytes], stamp: int) -> None:
        """Keep contents for the change with this stamp; what is there is not sent again."""
        for digest, body in contents.items():
            count = max(1, -(-len(body) // PIECE))
            wanted = {"$max": {"touched": stamp}}
            if self._pieces.update_many({"digest": digest}, wanted).matched_count == count:
                continue
            for number in range(count):
                piece = {"digest": digest, "number": number, "count": count}
                made = {**piece, "body": body[number * PIECE : (number + 1) * PIECE]}
                self._upsert(f"{digest}.{number}", {**wanted, "$setOnInsert": made})

    def read(self, digests: Iterable[str]) -> dict[str, bytes]:
        """Return those contents that are there whole."""
        wanted = sorted(set(digests))
        pieces: dict[str, dict[int, Document]] = {}
        for start in range(0, len(wanted), 500):
            for piece in self._pieces.find({"digest": {"$in": wanted[start : start + 500]}}):
                pieces.setdefault(piece["digest"], {})[piece["number"]] = piece
        return {
            digest: b"".join(found[number]["body"] for number in sorted(found))
            for digest, found in pieces.items()
            if len(found) == found[min(found)]["count"]
        }

    def drop(self, digests: Iterable[str], *, before: int) -> None:
        """Drop contents that no change with this stamp or a newer one wanted."""
        for digest in digests:
            self._pieces.delete_many({"digest": digest, "touched": {"$lt": before}})

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


def module_key(digest: str) -> str:
    """Return under which name a module is kept."""
    return f"module.{digest}"


def text_key(text: str) -> str:
    """Return under which name a text is kept."""
    return f"text.{hashlib.sha256(text.encode()).hexdigest()}"

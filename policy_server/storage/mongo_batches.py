"""The changes of one commit: in the commit itself, or beside it when they are too big for a document."""

import uuid
from collections.abc import Iterator, Sequence
from typing import Final

import bson
from pymongo.collection import Collection

from policy_server.storage.mongo_contents import CHUNK
from policy_server.storage.mongo_server import Document, MongoServer

INLINE: Final = 1 << 20


class Batches:
    """Keeps the changes of commits that are under way; MongoDB's documents end at 16 MB."""

    def __init__(self, server: MongoServer, *, inline: int = INLINE) -> None:
        """Take the server; changes of up to ``inline`` bytes go into the commit itself."""
        self._server = server
        self._inline = inline

    def write(self, changes: Sequence[Document], first: int) -> Document:
        """Keep changes for a commit that begins with the stamp ``first``; return what the commit says of them."""
        if sum(len(bson.encode(change)) for change in changes) <= self._inline:
            return {"changes": list(changes)}
        batch = uuid.uuid4().hex
        for start in range(0, len(changes), CHUNK):
            numbered = enumerate(changes[start : start + CHUNK], start)
            self._kept.insert_many(
                [{"_id": f"{batch}.{number:09}", "batch": batch, "first": first, **each} for number, each in numbered]
            )
        return {"batch": batch}

    def read(self, pending: Document) -> Iterator[list[Document]]:
        """Yield the changes of a commit, some at a time; none once they were carried out."""
        if "batch" not in pending:
            yield pending.get("changes") or [pending]  # one that an older version left is a change itself
            return
        last = ""
        while True:
            wanted = {"batch": pending["batch"], "_id": {"$gt": last}}
            found = list(self._kept.find(wanted).sort("_id", 1).limit(CHUNK))
            if not found:
                return
            yield found
            last = found[-1]["_id"]

    def drop(self, pending: Document) -> None:
        """Forget the changes of a commit that was carried out, or lost."""
        if "batch" in pending:
            self._kept.delete_many({"batch": pending["batch"]})

    def tidy(self, stamp: int) -> None:
        """Forget what was written for commits that can never be, once everything up to ``stamp`` is carried out."""
        self._kept.delete_many({"first": {"$lte": stamp}})

    @property
    def _kept(self) -> Collection[Document]:
        return self._server.collection("policy_server_batches")

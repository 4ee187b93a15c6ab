"""What a policy is like before it is changed, and trying again when somebody else changed it first."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final, TypeVar

from policy_server.model.errors import ChangedMeanwhile, PolicyNotFound, PolicyServerError, StoreUnavailable
from policy_server.model.policy import Failure, PolicyFilter, PolicyId, PolicyRecord, PolicySource, Revision
from policy_server.ports import PolicyStore
from policy_server.publishing.config import config_digest, parse_config
from policy_server.publishing.document import explain

T = TypeVar("T")

_LONGEST: Final = 8000
_TRIES: Final = 50
_PAGE: Final = 200


def until_settled(attempt: Callable[[], T]) -> T:
    """Decide and write again, by what is true then, for as long as another writer comes first; StoreUnavailable."""
    for _ in range(_TRIES):
        try:
            return attempt()
        except ChangedMeanwhile as error:
            last = error
    raise StoreUnavailable(f"Others write all the time, so that nothing could be written: {last.message}") from last


def record_of(store: PolicyStore, policy: PolicyId) -> PolicyRecord | None:
    """Return a policy, None when there is none."""
    try:
        return store.get(policy)
    except PolicyNotFound:
        return None


def records(store: PolicyStore, wanted: PolicyFilter) -> Iterator[PolicyRecord]:
    """Yield the wanted policies, ordered by id, a page at a time: they are read whole, with their data."""
    cursor: str | None = None
    while True:
        page = store.find(wanted, limit=_PAGE, cursor=cursor)
        yield from page.records
        cursor = page.next_cursor
        if cursor is None:
            return


def stamp_of(record: PolicyRecord | None) -> int:
    """Return what a change that is decided by this record has ``seen``."""
    return 0 if record is None else record.stamp


def digest_of(record: PolicyRecord | None) -> str | None:
    """Return the digest of the active revision, if there is one."""
    return None if record is None or record.revision is None else record.revision.digest


def belongs_to(record: PolicyRecord, feed: str) -> bool:
    """Tell whether a policy came from this feed, or never got anywhere."""
    active = record.revision
    return active is None or active.author == feed or active.source.origin.startswith(f"{feed}/")


def current_data(source: PolicySource, active: Revision | None, own: str | None) -> str | None:
    """Return the data a new revision answers with: what was fetched, or else its own."""
    if source.data_config is None or active is None or active.source.data_config is None:
        return own
    if active.data == active.source.data:
        return own  # nothing was fetched yet
    same = config_digest(parse_config(source.data_config)) == config_digest(parse_config(active.source.data_config))
    return active.data if same else own


def described(error: PolicyServerError) -> str:
    """Say what is wrong with a source, as it is listed."""
    return explain(error.message, error.problems)[:_LONGEST]


def failure_of(error: PolicyServerError, digest: str, at: datetime) -> Failure:
    """Write down why a source could not be published."""
    return Failure(error.slug, described(error), at, digest)


def is_known(known: Failure | None, new: Failure) -> bool:
    """Tell whether the same failure is recorded already."""
    if known is None:
        return False
    return (known.code, known.message, known.source_digest) == (new.code, new.message, new.source_digest)

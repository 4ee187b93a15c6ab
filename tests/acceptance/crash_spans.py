"""Which requests to the database belong to which operation.

Opening a transaction and taking the turn to write are not counted: who dies there
leaves what one leaves who dies at the statement that follows.
"""

from typing import Final

_WRITES: Final = ("INSERT", "UPDATE", "DELETE")
_SQL: Final = ("policies", "revisions", "documents", "modules", "audit_records", "stamps", "changes")
_MONGO: Final = ("policies", "contents", "audit", "state")
_POLICY: Final = frozenset({*_SQL, *_MONGO})
_WATCHING: Final = frozenset({("SELECT", "state"), ("SELECT", "changes")})


def publishing(label: str) -> bool:
    """Tell whether a request is of a publish; looking for changes, which all workers do, is not."""
    verb, noun, lease = _parts(label)
    if noun == "leases":
        return lease == "publish"
    if noun == "events":
        return verb == "INSERT"
    return noun in _POLICY and (verb, noun) not in _WATCHING


def refreshing(label: str) -> bool:
    """Tell whether a request is of a refresh; what it only reads, its worker also reads for other reasons."""
    verb, noun, lease = _parts(label)
    if noun == "leases":
        return lease in {"refresh", "publish"}
    return verb in _WRITES and (noun == "refreshes" or publishing(label))


def delivering(label: str) -> bool:
    """Tell whether a request is of a delivery."""
    verb, noun, _ = _parts(label)
    return noun == "subscribers" or (noun == "deliveries" and verb in _WRITES) or (noun, verb) == ("events", "UPDATE")


def _parts(label: str) -> tuple[str, str, str]:
    """Return verb, noun and lease; a commit belongs to what was done last before it."""
    verb, noun, lease, *_ = [*label.removeprefix("COMMIT (").removesuffix(")").split(), "", "", ""]
    return verb, noun, lease

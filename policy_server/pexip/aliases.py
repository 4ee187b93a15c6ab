"""What callers dial, taken apart."""

from typing import Final

from policy_server.model.values import Json

_SCHEMES: Final = frozenset({"sip", "sips", "h323", "tel"})
_PARAMETERS: Final = (";", "?")

NO_ALIAS: Final[dict[str, Json]] = {"raw": None, "scheme": None, "user": None, "domain": None, "bare": None}
"""An alias that was not sent."""


def _cut(text: str, marks: tuple[str, ...] = _PARAMETERS) -> str:
    for mark in marks:
        text = text.partition(mark)[0]
    return text


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    name, _, port = host.rpartition(":")
    return name if name and ":" not in name and port.isdigit() else host


def split_alias(raw: str | None) -> dict[str, Json]:
    """Return an alias as ``raw``, ``scheme``, ``user``, ``domain`` and ``bare``.

    ``raw`` is what was sent. The other parts are lower case, because Pexip
    compares aliases without regard to case, and carry no ``;parameters`` and no
    port, so that ``sip:Sales@vc.example:5060;transport=tls`` and
    ``sales@vc.example`` have the same ``bare``. Parts that are not there are None.
    """
    if raw is None or not raw.strip():
        return dict(NO_ALIAS)
    text = raw.strip().lower()
    head, colon, rest = text.partition(":")
    scheme = head if colon and head in _SCHEMES else None
    if scheme is not None:
        text = rest.removeprefix("//")
    user, at, host = text.partition("@")
    user, at, host = f"{user}{at}{_cut(host)}".rpartition("@") if at else (text, "", "")
    user, host = _cut(user, (";",)), _without_port(host)
    bare = f"{user}@{host}" if user and host else user or host
    return {"raw": raw, "scheme": scheme, "user": user or None, "domain": host or None, "bare": bare or None}

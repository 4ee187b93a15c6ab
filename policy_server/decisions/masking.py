"""Hides what must not be kept: secrets by their names, and the places that the settings name.

Works on what was read again from the texts of a decision, which stay as they are.
What is hidden in one place is covered everywhere else in the record, too: an error,
an alias or a message of the policy may repeat a PIN.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from policy_server.decisions.config import Action, Mask, pointer_of
from policy_server.model.secrets import COVERED, cover_text, has_credentials, names_secret
from policy_server.model.values import Json

MOUNT: Final = Mask(("input", "mount"), Action.TEXT, COVERED)
"""The prefix in front of Pexip's addresses, which some make hard to guess."""

_SHORT: Final = 4
"""Shorter values are too common to be looked for elsewhere."""

_SAFE: Final = 8
"""Shorter values are looked for as words only: digits of a PIN are in many a number."""

_MOST: Final = 200
"""How many secrets are looked for in a text; each costs time at every place of it."""

_COMMON: Final = frozenset({"true", "false", "null", "none", "None", COVERED})

Object = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Masked:
    """A document without secrets; where something was taken out, and where something else was put."""

    document: Object
    erased: tuple[str, ...]
    masked: tuple[str, ...]


@dataclass(slots=True)
class _Work:
    """What is found while one document is masked: secrets, paths, and every text that stays."""

    secrets: set[str] = field(default_factory=set)
    erased: list[tuple[str, ...]] = field(default_factory=list)
    masked: list[tuple[str, ...]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


class Masker:
    """Masks documents; safe for threads."""

    def __init__(self, masks: Sequence[Mask] = (), key: bytes = b"") -> None:
        """Take the masks of the settings, and the key of their hashes."""
        self._masks = tuple(masks)
        self._key = key

    def mask(self, document: Object, *, also: Sequence[Mask] = ()) -> Masked:
        """Return a document without secrets; whatever goes wrong is raised, and then nothing may be kept.

        ``document`` has any of ``input``, ``result``, ``alias``, ``requested_by`` and texts besides; it was made for
        this, and is changed. ``also`` are masks for this document only.

        Raises:
            ValueError: too many secrets are repeated elsewhere.
        """
        work = _Work()
        for mask in (*also, *self._masks):
            self._point(document, mask, mask.parts, (), work)
        for name, value in document.items():
            _hide(value, (name,), work)
        cover = _coverer(work)
        if cover is not None:
            document = {name: _cover(value, cover) for name, value in document.items()}
        pointers = [
            tuple(pointer_of(path if cover is None else [cover(part) for part in path]) for path in paths)
            for paths in (work.erased, work.masked)
        ]
        return Masked(document, *pointers)

    def _point(self, inside: Json, mask: Mask, parts: Sequence[str], path: tuple[str, ...], work: _Work) -> None:
        """Apply a mask to whatever its pointer leads to; it may lead nowhere."""
        head, rest = parts[0], parts[1:]
        for key in _members(inside, head):
            name = str(key)
            if rest:
                self._point(inside[key], mask, rest, (*path, name), work)  # type: ignore[index] # a member
            else:
                self._replace(inside, key, mask, (*path, name), work)

    def _replace(self, inside: Json, key: str | int, mask: Mask, path: tuple[str, ...], work: _Work) -> None:
        value = inside[key]  # type: ignore[index] # it was found there
        if mask is MOUNT and not value:
            return  # there is no prefix
        if not isinstance(value, dict | list):
            work.secrets |= set(_texts(value))
        if mask.action is Action.ERASE and isinstance(inside, dict):
            del inside[key]
        else:
            inside[key] = self._instead(value, mask)  # type: ignore[index]
        (work.erased if mask.action is Action.ERASE else work.masked).append(path)

    def _instead(self, value: Json, mask: Mask) -> Json:
        if mask.action is Action.HASH:
            text = value.encode() if isinstance(value, str) else _encoder.encode(value)
            return f"hmac-sha256:{hmac.new(self._key, text, hashlib.sha256).hexdigest()[:32]}"
        # An element of a list cannot go without moving the others.
        return mask.text if mask.action is Action.TEXT else None


_encoder: Final = msgspec.json.Encoder(decimal_format="number", order="sorted")


def _members(inside: Json, head: str) -> Sequence[str | int]:
    """Return the keys or indexes that one part of a pointer means."""
    if isinstance(inside, dict):
        return list(inside) if head == "*" else [head] if head in inside else []
    if isinstance(inside, list):
        if head == "*":
            return range(len(inside))
        return [int(head)] if re.fullmatch(r"\d{1,9}", head) and int(head) < len(inside) else []
    return []


def _hide(value: Json, path: tuple[str, ...], work: _Work) -> None:
    """Cover what stands under the name of a secret, in place, and note every text that stays."""
    if isinstance(value, dict):
        for key, member in value.items():
            work.kept.append(key)
            if names_secret(key) and _is_telling(member):
                work.secrets.update(_texts(member))
                work.masked.append((*path, key))
                value[key] = COVERED  # no key is added, so that going on is safe
            elif isinstance(member, str):
                work.kept.append(member)
            elif member is not None and member is not True and member is not False:
                _hide(member, (*path, key), work)
    elif isinstance(value, list):
        for index, element in enumerate(value):
            _hide(element, (*path, str(index)), work)
    elif value is not None and not isinstance(value, bool):
        work.kept.append(str(value))


def _is_telling(value: Json) -> bool:
    """Tell whether a value can be a secret; that there is none, or whether there is one, is no secret."""
    return value is not None and not isinstance(value, bool) and value not in ("", [], {})


def _texts(value: Json) -> Iterator[str]:
    """Yield the texts and numbers inside of a value that are worth looking for elsewhere."""
    if isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _texts(member)
    elif value is not None and not isinstance(value, bool):
        text = str(value)
        if len(text) >= _SHORT and text not in _COMMON:
            yield text


def _coverer(work: _Work) -> Callable[[str], str] | None:
    """Return what covers the secrets in a text that stays; None when no text has any."""
    # PERF: one look at all texts together; nearly always there is nothing to cover, and no copy is made.
    everything = "\0".join(work.kept)
    repeated = sorted((text for text in work.secrets if text in everything), key=lambda text: (-len(text), text))
    if len(repeated) > _MOST:
        raise ValueError("too many secrets are repeated elsewhere")
    has_others = has_credentials(everything)
    if not repeated:
        return cover_text if has_others else None
    alternatives = (re.escape(text) if len(text) >= _SAFE else rf"(?<!\w){re.escape(text)}(?!\w)" for text in repeated)
    found = re.compile("|".join(alternatives))
    return lambda text: cover_text(found.sub(COVERED, text))


def _cover(value: Json, cover: Callable[[str], str]) -> Json:
    if isinstance(value, str):
        return cover(value)
    if isinstance(value, dict):
        return {cover(key): _cover(member, cover) for key, member in value.items()}
    if isinstance(value, list):
        return [_cover(member, cover) for member in value]
    if value is None or isinstance(value, bool):
        return value
    return COVERED if cover(str(value)) != str(value) else value

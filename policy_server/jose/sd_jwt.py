"""SD-JWTs (RFC 9901): taken apart, and put together again with what was disclosed. Nothing is verified here."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from policy_server.jose.jws import Compact, decode, read_compact, read_json, read_members
from policy_server.jose.keys import encode
from policy_server.model.values import Json

LONGEST: Final = 1 << 20
"""The longest SD-JWT that is read, in characters."""

DIGESTS: Final = "_sd"
ELEMENT: Final = "..."
ALGORITHM: Final = "_sd_alg"
HASHES: Final[Mapping[str, str]] = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
"""The hashes of IANA's registry (named information) that are understood."""


@dataclass(frozen=True, slots=True)
class SdJwt:
    """An SD-JWT: what the issuer has signed, the disclosures as they stand, and the holder's token, if any.

    ``presented`` is what ``sd_hash`` of the holder's token covers (4.3.1).
    """

    issued: Compact
    disclosures: tuple[str, ...]
    key_binding: Compact | None
    presented: bytes = field(repr=False)

    def claims(self) -> dict[str, Json]:
        """Return what the issuer has signed, digests and all; ValueError when it is no JSON object."""
        return read_members(self.issued.payload)

    def opened(self) -> list[list[Json]]:
        """Return the disclosures as arrays: salt, name (but for elements of arrays) and value; ValueError."""
        return [_opened(each) for each in self.disclosures]

    def resolved(self) -> dict[str, Json]:
        """Return the claims with everything that was disclosed (7.1, steps 3 to 5).

        Raises:
            ValueError: a disclosure is damaged, fits no digest, or is there twice; a digest is; digests or
                placeholders are where none may be; a claim would be there twice; the hash is not known.
        """
        return _Resolving(self).payload()

    def hash(self, content: bytes) -> str:
        """Return the base64url digest of ASCII bytes by the hash that the claims name; ValueError."""
        return encode(hashlib.new(_hash_of(self.claims()), content).digest())


def read_sd_jwt(token: str) -> SdJwt:
    """Take an SD-JWT apart (section 4): ``<JWT>~<disclosure>~…~<key binding JWT, or nothing>``.

    Raises:
        ValueError: it is none, or too long.
    """
    if len(token) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} characters")
    parts = token.split("~")
    if len(parts) < 2:
        raise ValueError("an SD-JWT has a tilde (~) behind its issuer's part")
    issued, *disclosures, binding = parts
    if not all(disclosures):
        raise ValueError("a disclosure is empty")
    return SdJwt(
        read_compact(issued),
        tuple(disclosures),
        read_compact(binding) if binding else None,
        token[: len(token) - len(binding)].encode(),
    )


def _hash_of(claims: Mapping[str, Json]) -> str:
    """Return Python's name of the hash of a token (4.1.1); ValueError when it is not known, or not good enough."""
    named = claims.get(ALGORITHM, "sha-256")
    if not isinstance(named, str) or named not in HASHES:
        raise ValueError(f"{ALGORITHM} names no hash that is known here")
    return HASHES[named]


def _opened(disclosure: str) -> list[Json]:
    content = read_json(decode(disclosure))
    if not isinstance(content, list) or len(content) not in {2, 3} or not isinstance(content[0], str):
        raise ValueError("a disclosure is no array of a salt, a name and a value")
    if len(content) == 3 and not isinstance(content[1], str):
        raise ValueError("the name in a disclosure is no text")
    return content


class _Resolving:
    """One run over the claims; every digest may be met once, and every disclosure must be."""

    def __init__(self, token: SdJwt) -> None:
        self._claims = token.claims()
        hashing = _hash_of(self._claims)
        self._left: dict[str, list[Json]] = {}
        self._met: set[str] = set()
        for disclosure, content in zip(token.disclosures, token.opened(), strict=True):
            digest = encode(hashlib.new(hashing, disclosure.encode()).digest())
            if digest in self._left:
                raise ValueError("a disclosure is there twice")
            self._left[digest] = content

    def payload(self) -> dict[str, Json]:
        claims = {name: value for name, value in self._claims.items() if name != ALGORITHM}
        try:
            found = self._object(claims)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        if self._left:
            raise ValueError("a disclosure fits no digest")
        return found

    def _value(self, value: Json) -> Json:
        if isinstance(value, dict):
            return self._object(value)
        return self._array(value) if isinstance(value, list) else value

    def _object(self, given: Mapping[str, Json]) -> dict[str, Json]:
        if ELEMENT in given or ALGORITHM in given:
            raise ValueError(f"{ELEMENT} or {ALGORITHM} is where it may not be")
        found = {name: self._value(value) for name, value in given.items() if name != DIGESTS}
        digests = given.get(DIGESTS, [])
        if not isinstance(digests, list):
            raise ValueError(f"{DIGESTS} is no list")  # noqa: TRY004 - the caller knows one error
        for digest in digests:
            content = self._disclosed(digest)
            if content is None:
                continue
            if len(content) != 3:
                raise ValueError("a disclosure of an array's element stands for a claim")
            name = cast(str, content[1])
            if name in {DIGESTS, ELEMENT, ALGORITHM} or name in found:
                raise ValueError(f"the claim {name[:100]!r} may not be disclosed here, or is there already")
            found[name] = self._value(content[2])
        return found

    def _array(self, given: Sequence[Json]) -> list[Json]:
        found: list[Json] = []
        for element in given:
            if not isinstance(element, dict) or ELEMENT not in element:
                found.append(self._value(element))
                continue
            if len(element) != 1:
                raise ValueError("a placeholder in an array has other members")
            content = self._disclosed(element[ELEMENT])
            if content is not None:
                if len(content) != 2:
                    raise ValueError("a disclosure of a claim stands for an array's element")
                found.append(self._value(content[1]))
        return found

    def _disclosed(self, digest: Json) -> list[Json] | None:
        """Return what a digest stands for, None when that is not disclosed (or a decoy)."""
        if not isinstance(digest, str):
            raise ValueError("a digest is no text")  # noqa: TRY004 - the caller knows one error
        if digest in self._met:
            raise ValueError("a digest is there twice")
        self._met.add(digest)
        return self._left.pop(digest, None)

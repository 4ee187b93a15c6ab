"""OPA's signatures of bundles: ``.signatures.json``, one signed token that names every file with its hash.

The format is OPA's (its documentation, "Bundles", section "Signing"), the rules of hashing are those of its
packages ``v1/bundle`` (``hash.go``, ``verify.go``). Stricter here: no MD5 and SHA-1, no file named twice.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, cast

from policy_server.jose.jws import Compact, read_compact, read_members
from policy_server.model.errors import BundleUnverified, InputError, InvalidBundle
from policy_server.model.values import Json, JsonObject

SIGNATURES: Final = ".signatures.json"
STRUCTURED: Final = frozenset({"data.json", ".manifest"})
"""Files whose meaning is hashed, not their bytes. OPA does the same with data in YAML, which is not read here."""

_HASHES: Final[Mapping[str, str]] = {
    "SHA-224": "sha224",
    "SHA-256": "sha256",
    "SHA-384": "sha384",
    "SHA-512": "sha512",
    "SHA-512-224": "sha512_224",
    "SHA-512-256": "sha512_256",
}
_OURS: Final = "SHA-256"
_PLUGINS: Final = ("", "_default")


@dataclass(frozen=True, slots=True)
class OpaSignature:
    """A signature, not verified yet: the token, and what it says. ``files`` are algorithm and hash by name."""

    token: Compact
    files: Mapping[str, tuple[str, str]]
    scope: str
    issuer: str
    issued_at: int | None


def find_signature(files: Mapping[str, bytes]) -> OpaSignature | None:
    """Read the signature among a bundle's files; None where there is none.

    Raises:
        BundleUnverified: there are several, or it is none that can be read.
    """
    named = [name for name in files if _is_signature(name)]
    if not named:
        return None
    if len(named) > 1:
        raise BundleUnverified(f"The bundle has {SIGNATURES} twice.")
    try:
        document = read_members(files[named[0]])
        tokens = document.get("signatures")
        if document.get("plugin", "") not in _PLUGINS:
            raise ValueError("it was made by a plugin that is not known here")  # noqa: TRY301 - one answer to all
        if not isinstance(tokens, list) or len(tokens) != 1 or not isinstance(tokens[0], str):
            raise ValueError("it must hold exactly one token")  # noqa: TRY301
        return _read(read_compact(tokens[0]))
    except ValueError as error:
        raise BundleUnverified(f"{SIGNATURES} cannot be read: {error}.") from error


def check_files(signature: OpaSignature, files: Mapping[str, bytes], *, exclude: Iterable[str] = ()) -> None:
    """Compare a bundle's files with those that were signed.

    ``exclude`` are patterns of names that need not be signed: ``*`` and ``?`` stand for
    anything but a slash.

    Raises:
        BundleUnverified: a file was not signed, is missing, or is another one now.
        InputError: a pattern cannot be used.
    """
    excluded = [_pattern(each) for each in exclude]
    missing = dict(signature.files)
    for name, content in files.items():
        said = missing.pop(name, None)
        if not _is_signature(name) and not any(each.fullmatch(name) for each in excluded):
            _check(name, content, said)
    gone = [name for name in missing if not any(each.fullmatch(name) for each in excluded)]
    if gone:
        raise BundleUnverified(f"{min(gone)} was signed, and is not in the bundle.")


def add_signature(
    files: Mapping[str, bytes], sign: Callable[[JsonObject], str], *, claims: JsonObject
) -> dict[str, bytes]:
    """Return a bundle's files with their signature.

    ``sign`` makes the token of a payload. ``claims`` go into it besides the files, such as ``scope``.
    """
    hashed: list[Json] = [
        {"name": name, "hash": _digest(name, content, _OURS), "algorithm": _OURS} for name, content in files.items()
    ]
    token = sign({"files": hashed, **claims})
    return {**files, SIGNATURES: json.dumps({"signatures": [token]}).encode()}


def canonical(content: bytes) -> bytes:
    """Return the text of a JSON document that is hashed; InvalidBundle when it is none.

    No white space, members ordered by name, numbers as they are spelled, strings as Go writes them.
    A member that is there twice counts with its last value, as it does for policies.
    """
    try:
        text = content.decode().removeprefix("\ufeff")
        value = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_refuse)
        return _write(value).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidBundle("it is no JSON document") from error


def _read(token: Compact) -> OpaSignature:
    claims = read_members(token.payload)
    listed = claims.get("files", [])
    if not isinstance(listed, list):
        raise ValueError("its files are no list")  # noqa: TRY004 - the caller knows one error
    files: dict[str, tuple[str, str]] = {}
    for each in listed:
        parts = [each.get(name) for name in ("name", "algorithm", "hash")] if isinstance(each, dict) else []
        if len(parts) != 3 or not all(isinstance(part, str) for part in parts):
            raise ValueError("a file has no name, hash or algorithm")
        name, algorithm, digest = cast("list[str]", parts)
        if name in files:
            raise ValueError("a file is there twice")
        files[name] = (algorithm, digest)
    scope, issuer, issued = claims.get("scope", ""), claims.get("iss", ""), claims.get("iat")
    if not isinstance(scope, str) or not isinstance(issuer, str):
        raise ValueError("scope and iss must be texts")  # noqa: TRY004 - the caller knows one error
    whole = isinstance(issued, int) and not isinstance(issued, bool)
    return OpaSignature(token, files, scope, issuer, cast(int, issued) if whole else None)


def _check(name: str, content: bytes, said: tuple[str, str] | None) -> None:
    if said is None:
        raise BundleUnverified(f"{name} is not in the bundle's signature.")
    algorithm, expected = said
    if algorithm not in _HASHES:
        raise BundleUnverified(f"{name}: the hash {algorithm[:20]!r} is not accepted.")
    if not hmac.compare_digest(_digest(name, content, algorithm).encode(), expected.lower().encode()):
        raise BundleUnverified(f"{name} is not the file that was signed.")


def _is_signature(name: str) -> bool:
    return name.rpartition("/")[2] == SIGNATURES


def _digest(name: str, content: bytes, algorithm: str) -> str:
    base = name.rpartition("/")[2]
    if base in {"data.yaml", "data.yml"}:
        raise BundleUnverified(f"{name}: data in YAML is not read; write it as data.json.")
    if base in STRUCTURED:
        try:
            content = canonical(content)
        except InvalidBundle as error:
            raise BundleUnverified(f"{name} cannot be hashed: {error.message}.") from error
    return hashlib.new(_HASHES[algorithm], content).hexdigest()


def _pattern(text: str) -> re.Pattern[str]:
    if not text or any(letter in text for letter in "[]\\{}"):
        raise InputError(f"The pattern {text!r} cannot be used: only * and ? stand for other letters.")
    parts = (("[^/]*" if letter == "*" else "[^/]") if letter in "*?" else re.escape(letter) for letter in text)
    return re.compile("".join(parts))


class _Number(str):
    """A number as it is spelled."""

    __slots__ = ()


def _write(value: object) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return f"{{{','.join(f'{_write(key)}:{_write(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_write, value))}]"
    # Go escapes the line separators of JavaScript, Python does not; they stand in strings only.
    return json.dumps(value, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")

"""Values as a Rego author writes them, and as OPA prints them."""

from collections.abc import Sequence
from typing import Final

from policy_server.wasm.text import Number, RegoObject, RegoSet, Value, order

_ESCAPES: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}
_WORDS: Final = {None: "null", True: "true", False: "false"}


def rego(value: Value) -> str:
    """Write a value on one line, sets and keys sorted; RecursionError when it nests too deeply."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, RegoObject):
        pairs = sorted(value.pairs, key=lambda pair: order(pair[0]))
        return "{" + ", ".join(f"{rego(key)}: {rego(member)}" for key, member in pairs) + "}"
    if isinstance(value, RegoSet):
        return "{" + _listed(sorted(value.members, key=order)) + "}" if value.members else "set()"
    if isinstance(value, list):
        return f"[{_listed(value)}]"
    return _WORDS[value]


def quoted(text: str) -> str:
    """Quote a text as Go does: what cannot be printed is escaped."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_letter, text)) + '"'


def _listed(values: Sequence[Value]) -> str:
    return ", ".join(map(rego, values))


def _letter(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    code = ord(letter)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

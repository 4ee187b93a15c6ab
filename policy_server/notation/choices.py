"""Switches, and one word of several."""

from typing import Final

from policy_server.notation.kinds import Kind

_YES: Final = frozenset({"1", "t", "true", "yes", "on"})
_NO: Final = frozenset({"0", "f", "false", "no", "off"})


def _yes_or_no(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _YES or word in _NO:
        return word in _YES
    raise ValueError("true or false")


def choice(*words: str, **also: str) -> Kind[str]:
    """Describe one of some words, in any case; ``also`` maps other spellings to them."""

    def read(value: object) -> str:
        word = str(value).strip().lower()
        word = also.get(word, word)
        if word not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return word

    return Kind("one of " + ", ".join(f"`{word}`" for word in words), read)


SWITCH: Final = Kind("`true` or `false`", _yes_or_no)

"""How a setting is declared: its kind, its help and its default, in one line."""

from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from policy_server.model.policy import PolicyId
from policy_server.notation import choices, numbers, texts
from policy_server.notation.kinds import Kind
from policy_server.pexip.kinds import Fallback

T = TypeVar("T")

_FALLBACKS: Final = choices.choice(*Fallback, not_found="404").then(Fallback)
NOT_FOUND: Final = choices.choice("404", not_found="404").then(Fallback)
"""For requests whose only other answer would be an invention."""


@dataclass(frozen=True, slots=True)
class About:
    """What is declared about a setting besides its name and default; ``shown`` describes a computed default."""

    kind: Kind[Any]  # the kinds of all settings lie side by side here
    help: str
    group: str
    secret: bool
    shown: str | None


def setting(group: str, kind: Kind[T], about: str, *, default: T, secret: bool = False, shown: str | None = None) -> T:
    """Declare a setting; ``about`` is its line in the reference."""
    return field(default=default, metadata={"about": About(kind, about, group, secret, shown)})


def enabled(what: str) -> bool:
    """Declare whether a kind of Pexip request is answered."""
    return setting(
        "Pexip", choices.SWITCH, f"Answer {what} requests; off means 404, Pexip's own behaviour.", default=True
    )


def policy(what: str, name: str) -> PolicyId:
    """Declare which policy answers a kind of Pexip request."""
    default = PolicyId("bundled", "pexip", name, "1.0")
    return setting("Pexip", texts.POLICY, f"The policy that answers {what} requests.", default=default)


def fallback(what: str, kind: Kind[Fallback] = _FALLBACKS) -> Fallback:
    """Declare what a kind of Pexip request is answered without its policy."""
    return setting(
        "Pexip", kind, f"The answer to {what} requests when their policy cannot give one.", default=Fallback.NOT_FOUND
    )


def deadline(what: str) -> float:
    """Declare how long a kind of Pexip request may take, in seconds."""
    about = f"How long {what} requests may take before the fallback answers; Pexip waits 5 s."
    return setting("Pexip", numbers.duration(0.01, 5), about, default=2.0)

"""The requests Pexip makes, and what an operator may answer when a policy cannot."""

from enum import StrEnum


class RequestKind(StrEnum):
    """One of the six questions an Infinity node asks."""

    SERVICE = "service"
    PARTICIPANT = "participant"
    MEDIA_LOCATION = "media_location"
    AVATAR = "avatar"
    DIRECTORY = "directory"
    REGISTRATION = "registration"


class Fallback(StrEnum):
    """What Pexip hears when there is no usable decision.

    NOT_FOUND: Pexip uses its own configuration. CONTINUE: success, without an
    opinion. REJECT: the call or registration is refused.
    """

    NOT_FOUND = "404"
    CONTINUE = "continue"
    REJECT = "reject"

"""The shapes of AuthZEN's Authorization API 1.0."""

from enum import StrEnum

import msgspec
from msgspec import UNSET, Struct, UnsetType


class Entity(Struct, frozen=True):
    """A subject or a resource."""

    type: str
    id: str
    properties: dict[str, msgspec.Raw] | UnsetType = UNSET


class Action(Struct, frozen=True):
    """What the subject wants to do."""

    name: str
    properties: dict[str, msgspec.Raw] | UnsetType = UNSET


class Semantic(StrEnum):
    """Whether several evaluations are all run, or end at the first denial, or at the first permission."""

    EXECUTE_ALL = "execute_all"
    DENY_ON_FIRST_DENY = "deny_on_first_deny"
    PERMIT_ON_FIRST_PERMIT = "permit_on_first_permit"


class AccessRequest(Struct, frozen=True):
    """May this subject do this to that resource?"""

    subject: Entity
    action: Action
    resource: Entity
    context: dict[str, msgspec.Raw] | UnsetType = UNSET


class AccessItem(Struct, frozen=True):
    """One of several; what is absent is taken from the request."""

    subject: Entity | UnsetType = UNSET
    action: Action | UnsetType = UNSET
    resource: Entity | UnsetType = UNSET
    context: dict[str, msgspec.Raw] | UnsetType = UNSET


class AccessOptions(Struct, frozen=True):
    """How several are run."""

    evaluations_semantic: Semantic = Semantic.EXECUTE_ALL


class AccessRequests(AccessItem, frozen=True, kw_only=True):
    """Several questions, with what they have in common."""

    evaluations: list[AccessItem] | UnsetType = UNSET
    options: AccessOptions | UnsetType = UNSET


class AccessDecision(Struct, frozen=True):
    """The answer to one question; a policy may add a context."""

    decision: bool
    context: msgspec.Raw | UnsetType = UNSET


class AccessDecisions(Struct, frozen=True):
    """The answers to several questions, in their order."""

    evaluations: list[AccessDecision]


class AccessMetadata(Struct, frozen=True):
    """What this decision point can do, and where."""

    policy_decision_point: str
    access_evaluation_endpoint: str
    access_evaluations_endpoint: str

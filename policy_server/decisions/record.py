"""Makes records of what was taken: OPA's names, masked, as JSON."""

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from policy_server.decisions.masking import MOUNT, Masked, Masker, Object
from policy_server.decisions.taking import LONGEST, Slip
from policy_server.model.logged import LoggedDecision
from policy_server.model.policy import PolicyId, Revision
from policy_server.model.values import Json

log = logging.getLogger(__name__)

PEXIP: Final = "pexip"
BODIES: Final = ("/input", "/result")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DOORS: Final = (("/v1/data", "data"), ("/access/", "authzen"), ("/policy/v1/", PEXIP))
# Numbers keep all their digits.
_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept of a record: ``bodies`` says whether input and result are, up to ``most`` bytes together."""

    bodies: bool = True
    most: int = 32 << 10


class Recorder:
    """Makes records; whatever happens there is one, without the bodies when they cannot be masked."""

    def __init__(
        self, masker: Masker, keeping: Keeping, labels: Mapping[str, str], erased: Callable[[str], None]
    ) -> None:
        """Take who masks, what is kept, what each record says of this server, and who hears why bodies were erased."""
        self._masker = masker
        self._keeping = keeping
        self._labels = dict(labels)
        self._erased = erased

    def record(self, slip: Slip) -> LoggedDecision:
        """Make the record of one decision."""
        masked, note = self._masked(slip)
        try:
            return self._join(slip, masked, note)
        except Exception as error:  # noqa: BLE001 - SECURITY: a text that cannot be written is not kept either
            return self._join(slip, *self._bare(slip, error))

    def _join(self, slip: Slip, masked: Masked, note: str | None) -> LoggedDecision:
        known, seen, revision = masked.document, slip.seen, slip.revision
        alias, failed = known.get("alias"), "error" in known
        policy = slip.policy or (None if seen is None else seen.policy)
        made = LoggedDecision(
            id=f"{slip.at_ns // 1000:016x}{secrets.token_hex(8)}",
            decision_id=(slip.id if seen is None else seen.decision_id) or secrets.token_hex(16),
            at=_EPOCH + timedelta(microseconds=slip.at_ns // 1000),
            policy=policy,
            path=slip.entrypoint or _package(policy, revision),
            endpoint=door_of(slip.request.handler) if seen is None else PEXIP,
            outcome=str(seen.outcome) if seen is not None else "failed" if failed else "answered",
            requested_by=str(known.get("requested_by", "")),
            failed=failed,
            body="",
            kind=None if seen is None else str(seen.kind),
            alias=alias if isinstance(alias, str) else None,
        )
        document = self._document(slip, made, masked)
        if note is not None:
            document["note"] = note
        return replace(made, body=_encoder.encode(_without_nothing(document, known)).decode())

    def _document(self, slip: Slip, made: LoggedDecision, masked: Masked) -> Object:
        known, request = masked.document, slip.request
        return {
            "decision_id": made.decision_id,
            "timestamp": made.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "path": made.path,
            "policy": None if made.policy is None else str(made.policy),
            "bundles": None if slip.revision is None else _bundle(slip.revision),
            "endpoint": made.endpoint,
            "kind": made.kind,
            "alias": known.get("alias"),
            "outcome": made.outcome,
            "reason": None if slip.seen is None else slip.seen.reason,
            "input": known.get("input"),
            "result": known.get("result"),
            "erased": list(masked.erased),
            "masked": list(masked.masked),
            "error": known.get("error"),
            "errors": known.get("errors"),
            "requested_by": made.requested_by,
            "http_status": request.status,
            "request_id": request.id,
            "trace_id": request.trace.get("trace_id"),
            "span_id": request.trace.get("span_id"),
            "metrics": _metrics(slip),
            "labels": self._labels,
        }

    def _masked(self, slip: Slip) -> tuple[Masked, str | None]:
        """Return what may be kept of what others wrote, and a note when the bodies may not."""
        document: Object = {"requested_by": _clean(slip.request.requested_by)}
        if slip.seen is not None and slip.seen.alias is not None:
            document["alias"] = _clean(slip.seen.alias)
        document |= _failure(slip)
        gone, note = self._missing(slip)
        also = () if slip.seen is None else (MOUNT,)
        try:
            document |= {name: body for name, body in _bodies_of(slip).items() if f"/{name}" not in gone}
            masked = self._masker.mask(document, also=also)
        except Exception as error:  # noqa: BLE001 - SECURITY: whatever it is, what could not be masked is not kept
            return self._bare(slip, error)
        return replace(masked, erased=(*gone, *masked.erased)), note

    def _bare(self, slip: Slip, error: Exception) -> tuple[Masked, str]:
        """Return what is kept when the rest cannot be."""
        # Not the error itself: it may quote what was to be masked.
        log.warning(
            "a decision could not be masked (%s) and is kept without its contents",
            type(error).__name__,
            extra={"action": "decisions.unmasked"},
        )
        self._erased("mask_failed")
        bare: Object = {"error": {"code": _code(slip)}} if _failure(slip).get("error") else {}
        return Masked(bare, BODIES, ()), "The contents could not be masked."

    def _missing(self, slip: Slip) -> tuple[tuple[str, ...], str | None]:
        """Return which bodies are not kept, and why."""
        if not self._keeping.bodies:
            return BODIES, None
        if slip.oversize:
            self._erased("too_large")
            return slip.oversize, f"Input and result together are larger than {self._keeping.most} bytes."
        return (), None


def door_of(handler: str) -> str:
    """Return through which door a decision was asked for, by the path template of the request."""
    for start, door in _DOORS:
        if handler.startswith(start):
            return door
    return "validation" if "/validation" in handler else "evaluation"


def _clean(text: str) -> str:
    """Replace what a store cannot keep: half characters and NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _bodies_of(slip: Slip) -> Object:
    found: Object = {}
    if slip.input is not None:
        found["input"] = _decoder.decode(slip.input)
    if slip.result is not None:
        found["result"] = _decoder.decode(slip.result)
    return found


def _package(policy: PolicyId | None, revision: Revision | None) -> str:
    if revision is not None:
        return revision.manifest.entrypoints[0]
    return "" if policy is None else policy.entrypoint


def _failure(slip: Slip) -> Object:
    found: Object = {}
    if slip.error is not None:
        found["error"] = {"code": slip.error[0], "message": slip.error[1]}
    elif slip.seen is not None and slip.seen.reason is not None:
        found["error"] = {"code": slip.seen.reason, "message": (slip.seen.detail or "")[:LONGEST]}
    if slip.errors:
        found["errors"] = [text[:LONGEST] for text in slip.errors]
    return found


def _code(slip: Slip) -> str:
    return slip.error[0] if slip.error is not None else str(slip.seen and slip.seen.reason)


def _bundle(revision: Revision) -> Json:
    about = {"revision": str(revision.number), "digest": revision.digest, "origin": revision.source.origin}
    return {str(revision.id): about}


def _metrics(slip: Slip) -> Json:
    found = {"timer_rego_query_eval_ns": slip.duration_ns}
    if slip.seen is not None:
        found["timer_server_handler_ns"] = round(slip.seen.duration * 1e9)
    return found


def _without_nothing(document: Object, known: Object) -> Object:
    """Leave out what is not known; a body that is null is there."""
    return {name: value for name, value in document.items() if value not in (None, []) or name in known}

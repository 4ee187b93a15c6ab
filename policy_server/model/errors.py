"""The one family of errors.

PolicyServerError
├── InputError                bad input, HTTP 400
│   ├── InvalidJson           not JSON, or not the JSON that is needed here
│   ├── InputTooLarge         HTTP 413
│   ├── InvalidParameter
│   ├── UnusableKey
│   ├── NotABundle
│   └── InvalidBundle
├── NotFound                  HTTP 404
│   ├── PolicyNotFound
│   ├── EntrypointNotFound
│   ├── SchemaNotFound
│   ├── RevisionNotFound
│   ├── SubscriberNotFound
│   ├── AutoImportNotFound
│   ├── ValueNotFound
│   ├── DeliveryNotFound
│   ├── TokenNotFound
│   ├── RepositoryNotFound
│   └── KeyNotFound
├── Refused                   HTTP 403 / 409
│   ├── PolicyLocked
│   ├── AlreadyLocked
│   ├── NotLocked
│   ├── HookRefused
│   ├── RefreshRunning        HTTP 409
│   ├── AlreadyExists         HTTP 409
│   ├── ManagedElsewhere      HTTP 409
│   ├── Ambiguous             HTTP 409
│   ├── PreconditionFailed    HTTP 412
│   ├── ChangedMeanwhile      HTTP 409
│   ├── NotExportable
│   ├── BundleUnverified
│   └── ForeignPolicy
├── NotAuthenticated          HTTP 401
├── Forbidden                 HTTP 403, known but not allowed
├── KeysUnavailable           the issuer of tokens cannot be asked, HTTP 503
├── PublishError              a source that cannot become a revision, HTTP 422
│   ├── InvalidSource         path, package, data, schema or data-config do not fit
│   │   ├── WrongPackage
│   │   └── InvalidSchema
│   ├── CompileError          Rego errors, each with file, line and column
│   └── CompileLimit          the compiler ran out of time or memory
├── EvaluationError           HTTP 500
│   ├── EvaluationTimeout
│   ├── MemoryExceeded
│   ├── ResultTooLarge
│   ├── RuleConflict
│   ├── BuiltinFailed         a builtin error where strict
│   ├── EvaluationAborted     the module aborted
│   └── EvaluationTrapped     the module trapped
├── LoadError                 wasm that cannot be run here
│   ├── InvalidModule
│   └── UnknownBuiltin
├── PolicyUnusable            no revision of the policy was ever good
│   ├── PackageMissing
│   └── SchemaUnusable
├── OutputInvalid             the result does not fit the output schema
├── ToolkitError              OPA's toolkit is missing, wrong or broke, HTTP 503
│   └── ToolkitMissing
├── StoreUnavailable          HTTP 503
├── Busy                      HTTP 503
├── BrokenBundle              the signature is good, the content is not, HTTP 500
├── ExportConfigInvalid
├── SigningFailed             the signer is missing or did not sign
├── TargetRefused             an outgoing request to a forbidden network
├── FetchError                an outgoing request that failed
└── SettingsError             configuration that cannot be used
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where; lines and columns count from 1, 0 means unknown.

    ``parameter`` names the request's parameter or header when that is at fault.
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    code: str = ""
    parameter: str = ""

    def __str__(self) -> str:
        """Write it the way editors can jump to: ``file:line:column: message``."""
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return f"{where}: {self.message}" if where else self.message


class PolicyServerError(Exception):
    """Something went wrong in the policy server."""

    slug = "internal"
    status = 500

    def __init__(self, message: str | None = None, *, problems: Sequence[Problem] = ()) -> None:
        """Take the class docstring as message unless a better one is given."""
        self.message = message or (self.__doc__ or "").strip().splitlines()[0]
        self.problems = tuple(problems)
        super().__init__(self.message)


class InputError(PolicyServerError):
    """The request cannot be understood."""

    slug = "bad-request"
    status = 400


class InvalidJson(InputError):
    """The body is not valid JSON."""

    slug = "invalid-json"


class InputTooLarge(InputError):
    """The request is larger than this server accepts."""

    slug = "too-large"
    status = 413


class InvalidParameter(InputError):
    """A parameter has a value that cannot be used."""

    slug = "invalid-parameter"


class UnusableKey(InputError):
    """This is no key that bundles are signed with."""

    slug = "unusable-key"


class NotABundle(InputError):
    """This is not a ZIP file."""

    slug = "not-a-bundle"


class InvalidBundle(InputError):
    """This is not a policy bundle."""

    slug = "invalid-bundle"


class NotFound(PolicyServerError):
    """There is no such thing."""

    slug = "not-found"
    status = 404


class PolicyNotFound(NotFound):
    """There is no such policy."""

    slug = "policy-not-found"


class EntrypointNotFound(NotFound):
    """The policy has no such rule."""

    slug = "entrypoint-not-found"


class SchemaNotFound(NotFound):
    """The policy has no output schema."""

    slug = "schema-not-found"
    status = 400


class RevisionNotFound(NotFound):
    """The policy has no such revision, or no longer."""

    slug = "revision-not-found"


class SubscriberNotFound(NotFound):
    """There is no such subscriber."""

    slug = "subscriber-not-found"


class AutoImportNotFound(NotFound):
    """There is no such automatic import."""

    slug = "auto-import-not-found"


class ValueNotFound(NotFound):
    """There is no value with this key."""

    slug = "value-not-found"


class DeliveryNotFound(NotFound):
    """There is no such delivery."""

    slug = "delivery-not-found"


class DecisionNotFound(NotFound):
    """There is no record of such a decision."""

    slug = "decision-not-found"


class TokenNotFound(NotFound):
    """There is no such token."""

    slug = "token-not-found"


class RepositoryNotFound(NotFound):
    """No such Git repository is set."""

    slug = "repository-not-found"


class KeyNotFound(NotFound):
    """There is no such key."""

    slug = "key-not-found"


class Refused(PolicyServerError):
    """This is not allowed now."""

    slug = "refused"
    status = 403


class PolicyLocked(Refused):
    """The policy is locked."""

    slug = "policy-locked"


class AlreadyLocked(Refused):
    """The policy is already locked."""

    slug = "already-locked"


class NotLocked(Refused):
    """The policy is unlocked."""

    slug = "not-locked"


class HookRefused(Refused):
    """The push hook does not carry the signature that the repository's hook_secret makes."""

    slug = "hook-refused"


class RefreshRunning(Refused):
    """The data is being fetched right now."""

    slug = "refresh-running"
    status = 409


class AlreadyExists(Refused):
    """There is one like it already."""

    slug = "already-exists"
    status = 409


class NotAuthenticated(PolicyServerError):
    """Who asks is not known: the request has no credentials, or none that count."""

    slug = "not-authenticated"
    status = 401

    def __init__(self, message: str | None = None, *, kind: str = "missing") -> None:
        """Say why; ``kind`` is the word that failures are counted under."""
        super().__init__(message)
        self.kind = kind


class Forbidden(PolicyServerError):
    """Who asks is known, but may not do this."""

    slug = "forbidden"
    status = 403

    def __init__(self, message: str | None = None, *, kind: str = "role", needed: str = "") -> None:
        """Say why; ``kind`` is the word that failures are counted under, ``needed`` the scope that would do."""
        super().__init__(message)
        self.kind = kind
        self.needed = needed


class KeysUnavailable(PolicyServerError):
    """The keys of the issuer could not be fetched, so no token of its can be checked."""

    slug = "keys-unavailable"
    status = 503
    kind = "keys"


class NotExportable(Refused):
    """The policy has no export-config.json, which permits its export."""

    slug = "not-exportable"


class BundleUnverified(Refused):
    """No key that is trusted here has signed this bundle."""

    slug = "bundle-unverified"


class ForeignPolicy(Refused):
    """The bundle's signer may not write this policy."""

    slug = "foreign-policy"


class ManagedElsewhere(Refused):
    """This is edited somewhere else."""

    slug = "managed-elsewhere"
    status = 409


class Ambiguous(Refused):
    """Several policies fit; say which one."""

    slug = "ambiguous"
    status = 409


class ChangedMeanwhile(Refused):
    """Another writer changed the policy at the same moment; try again."""

    slug = "changed-meanwhile"
    status = 409


class PreconditionFailed(Refused):
    """It has changed since it was read."""

    slug = "precondition-failed"
    status = 412


class PublishError(PolicyServerError):
    """This source cannot be published."""

    slug = "publish-failed"
    status = 422


class InvalidSource(PublishError):
    """The files of the policy do not fit together."""

    slug = "invalid-source"


class WrongPackage(InvalidSource):
    """The package is not the one that the policy's path demands."""

    slug = "wrong-package"


class InvalidSchema(InvalidSource):
    """The output schema cannot be used; all else was not looked at, or is good."""

    slug = "invalid-schema"


class CompileError(PublishError):
    """The Rego does not compile."""

    slug = "compile-error"


class CompileLimit(PublishError):
    """The compiler ran out of time or memory on this source."""

    slug = "compile-limit"


class EvaluationError(PolicyServerError):
    """The evaluation failed."""

    slug = "evaluation-failed"


class EvaluationTimeout(EvaluationError):
    """The evaluation did not finish before its deadline."""

    slug = "evaluation-timeout"


class MemoryExceeded(EvaluationError):
    """The evaluation needed more memory than it may use."""

    slug = "memory-exceeded"


class ResultTooLarge(EvaluationError):
    """The result is larger than this server hands out."""

    slug = "result-too-large"


class RuleConflict(EvaluationError):
    """Two rules gave different values for the same thing."""

    slug = "rule-conflict"


class BuiltinFailed(EvaluationError):
    """A function called by the policy failed.

    ``code`` says how in one word, for policies that take failures as values;
    ``answered`` is the HTTP status of the server that was asked, 0 when there is none.
    """

    slug = "builtin-failed"

    def __init__(
        self, message: str | None = None, *, code: str = "failed", answered: int = 0, problems: Sequence[Problem] = ()
    ) -> None:
        """Say what failed, and how."""
        super().__init__(message, problems=problems)
        self.code = code
        self.answered = answered


class EvaluationAborted(EvaluationError):
    """The policy module aborted."""

    slug = "evaluation-aborted"


class EvaluationTrapped(EvaluationError):
    """The policy module trapped."""

    slug = "evaluation-trapped"


class LoadError(PolicyServerError):
    """The module cannot be loaded."""

    slug = "load-failed"


class InvalidModule(LoadError):
    """This is not a policy module that OPA made for this ABI."""

    slug = "invalid-module"


class UnknownBuiltin(LoadError):
    """The module calls a function that this server does not have."""

    slug = "unknown-builtin"


class PolicyUnusable(PolicyServerError):
    """No revision of this policy could ever be published."""

    slug = "policy-unusable"

    def __init__(self, message: str | None = None, *, code: str = "", problems: Sequence[Problem] = ()) -> None:
        """Say why; ``code`` is the slug of the error that publishing met."""
        super().__init__(message, problems=problems)
        self.code = code


class PackageMissing(PolicyUnusable):
    """The policy's source has another package than its path demands."""

    slug = "package-missing"


class SchemaUnusable(PolicyUnusable):
    """The policy's output schema cannot be used."""

    slug = "schema-unusable"


class OutputInvalid(PolicyServerError):
    """The result does not fit the policy's output schema."""

    slug = "output-invalid"


class ToolkitError(PolicyServerError):
    """OPA's toolkit failed."""

    slug = "toolkit-failed"
    status = 503


class ToolkitMissing(ToolkitError):
    """OPA's toolkit is not installed; run scripts/setup, or policy-server toolkit build."""

    slug = "toolkit-missing"


class StoreUnavailable(PolicyServerError):
    """The store cannot be reached."""

    slug = "store-unavailable"
    status = 503


class Busy(PolicyServerError):
    """Too many requests are waiting."""

    slug = "busy"
    status = 503


class BrokenBundle(PolicyServerError):
    """The bundle is signed, but no policy can be made of it."""

    slug = "broken-bundle"


class ExportConfigInvalid(PolicyServerError):
    """The export-config.json of the policy does not name a namespace and a key."""

    slug = "export-config-invalid"


class SigningFailed(PolicyServerError):
    """The signer did not sign."""

    slug = "signing-failed"

    def __init__(self, message: str | None = None, *, status: int = 500) -> None:
        """Say why; ``status`` is what the signer answered, or what its absence means."""
        super().__init__(message)
        self.status = status


class TargetRefused(PolicyServerError):
    """Requests to that network are not allowed."""

    slug = "target-refused"
    status = 403


class FetchError(PolicyServerError):
    """The data could not be fetched.

    ``final``: asking again would not help, or is not safe because an answer had begun.
    """

    slug = "fetch-failed"
    status = 502
    final = False


class SettingsError(PolicyServerError):
    """The configuration cannot be used."""

    slug = "settings"

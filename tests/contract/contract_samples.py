"""Ready-made nouns for the contract tests."""

import hashlib
from datetime import UTC, datetime, timedelta

from policy_server.model.policy import CompiledPolicy, Dialect, Failure, Manifest, PolicyId, PolicySource, Revision
from policy_server.model.refresh import RefreshState
from policy_server.ports import Store

NOON = datetime(2026, 5, 17, 12, 0, 0, 123456, tzinfo=UTC)
POLICY = PolicyId("rooms", "pexip", "service", "1.0")
OTHER = PolicyId("rooms", "pexip", "participant", "1.0")


def later(seconds: float) -> datetime:
    """Return a moment after noon."""
    return NOON + timedelta(seconds=seconds)


def source(policy: PolicyId = POLICY, *, mark: str = "a", data: str | None = None) -> PolicySource:
    """Make a source with every part filled."""
    return PolicySource(
        id=policy,
        rego=f"package {policy.package}\n\nmark := {mark!r}\n",
        data=data,
        data_config='{"url": "http://127.0.0.1/data"}',
        output_schema='{"type": "object"}',
        export_config="{}",
        dialect=Dialect.V1,
        origin="test",
    )


def compiled(mark: str = "a") -> CompiledPolicy:
    """Make a module whose digest is true."""
    wasm = b"\0asm" + mark.encode() * 100
    manifest = Manifest(
        digest=hashlib.sha256(wasm).hexdigest(),
        source_digest=f"source-{mark}",
        opa_version="1.22.2",
        dialect=Dialect.V1,
        entrypoints=("pexip/service", "pexip/service/decision"),
        builtins=("time.now_ns",),
    )
    return CompiledPolicy(wasm, manifest)


def publish(
    store: Store,
    policy: PolicyId = POLICY,
    *,
    mark: str = "a",
    data: str | None = '{"a": 1}',
    own: str | None = None,
    at: datetime = NOON,
) -> Revision:
    """Publish a policy whose content is told apart by ``mark``; ``own`` is the source's data, else ``data``."""
    draft = source(policy, mark=mark, data=data if own is None else own)
    return store.publish(draft, compiled(mark), data=data, digest=f"digest-{mark}", author="ada", at=at)


def failure(message: str = "no such rule", at: datetime = NOON) -> Failure:
    """Make a failure."""
    return Failure("compile-error", message, at, "source-x")


def refresh(policy: PolicyId = POLICY, *, failures: int = 0) -> RefreshState:
    """Make a refresh state with every field filled."""
    return RefreshState(
        id=policy,
        config_digest="config",
        next_run=later(60),
        last_attempt=NOON,
        last_success=later(-60),
        error="timed out",
        size=12345678901,
        digest="abc",
        failures=failures,
    )


def active(store: Store, policy: PolicyId = POLICY) -> Revision:
    """Return the active revision of a policy that has one."""
    revision = store.get(policy).revision
    assert revision is not None
    return revision

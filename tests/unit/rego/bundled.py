"""The bundled policies, compiled from their sources."""

from pathlib import Path

from policy_server.compiler.compiler import RegoCompiler
from policy_server.engine.policy import Policy
from policy_server.model.policy import CompiledPolicy, PolicyId, PolicySource
from policy_server.pexip.kinds import RequestKind
from policy_server.toolkit.toolkit import Toolkit
from policy_server.wasm.module import ModuleCache

REGO = Path(__file__).parents[3] / "rego" / "pexip"


def folder(kind: RequestKind) -> Path:
    """Return where the sources of a kind's policy are."""
    return REGO / kind / "1.0"


def source(kind: RequestKind) -> str:
    """Return the Rego of a kind's policy."""
    return (folder(kind) / "policy.rego").read_text(encoding="utf-8")


def policy_id(kind: RequestKind) -> PolicyId:
    """Return the id of a kind's bundled policy."""
    return PolicyId("bundled", "pexip", str(kind), "1.0")


class Bundle:
    """Compiles and loads each policy once, when it is first asked for."""

    def __init__(self, toolkit: Toolkit, modules: ModuleCache) -> None:
        """Take OPA and a place for machine code."""
        self.toolkit = toolkit
        self._modules = modules
        self._compiled: dict[RequestKind, CompiledPolicy] = {}
        self._policies: dict[RequestKind, Policy] = {}

    def compiled(self, kind: RequestKind) -> CompiledPolicy:
        """Return a kind's policy, compiled."""
        if kind not in self._compiled:
            self._compiled[kind] = RegoCompiler(self.toolkit, []).compile(PolicySource(policy_id(kind), source(kind)))
        return self._compiled[kind]

    def policy(self, kind: RequestKind) -> Policy:
        """Return a kind's policy with its sample rule book, ready to run; tests may give it other data."""
        if kind not in self._policies:
            wasm = self.compiled(kind).wasm
            self._policies[kind] = Policy.load(wasm, data=self.data(kind), modules=self._modules, deadline=10.0)
        return self._policies[kind]

    @staticmethod
    def data(kind: RequestKind) -> bytes:
        """Return the sample rule book of a kind, as JSON text."""
        return (folder(kind) / "data.json").read_bytes()

    def close(self) -> None:
        """Free what was loaded."""
        for policy in self._policies.values():
            policy.close()

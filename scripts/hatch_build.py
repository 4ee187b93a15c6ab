"""Put what was built into the wheel: the toolkit (packed), the compiled policies and their sources, Swagger UI."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLED = "policy_server/_bundled"


class BundleHook(BuildHookInterface):  # type: ignore[type-arg] # hatchling's class needs no configuration of ours
    """Refuses to make a wheel that could not answer by itself."""

    PLUGIN_NAME = "bundle"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files, before the wheel is written."""
        if version == "editable":
            return
        root = Path(self.root)
        compiled, swagger = root / "compiled", root / "policy_server" / "api" / "assets" / "swagger"
        modules = sorted(compiled.glob("*/*/*/policy.wasm"))
        sources = sorted((root / "rego").glob("*/*/*/policy.rego"))
        if not (compiled / "opa-toolkit.wasm").is_file() or not modules or len(modules) != len(sources):
            raise SystemExit("compiled/ is not complete; run scripts/setup before the wheel is built")
        if not (swagger / "swagger-ui-bundle.js").is_file():
            raise SystemExit("Swagger UI is not there; run scripts/setup before the wheel is built")
        packed = self._pack(root, compiled / "opa-toolkit.wasm")
        added = build_data["force_include"]
        for part in (packed, compiled / "opa-toolkit.json"):
            added[str(part)] = f"{BUNDLED}/compiled/{part.name}"
        added[str(root / "rego")] = f"{BUNDLED}/rego"
        for module in modules:
            place = module.parent.relative_to(compiled)
            added[str(module.parent)] = f"{BUNDLED}/compiled/{place.as_posix()}"

    @staticmethod
    def _pack(root: Path, toolkit: Path) -> Path:
        sys.path.insert(0, str(root))
        from policy_server.toolkit.build import pack  # noqa: PLC0415 - the project is not installed here

        return pack(toolkit, progress=lambda line: print(line, file=sys.stderr))

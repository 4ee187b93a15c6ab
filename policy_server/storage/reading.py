"""What every backend that is a database keeps of a revision, and how one is made of it."""

from collections.abc import Mapping
from typing import Any, Final

from policy_server.model.policy import Dialect, Manifest, PolicyId, PolicySource, Revision

FIELDS: Final = (
    "number",
    "digest",
    "author",
    "created_at",
    "rego",
    "source_data",
    "data",
    "data_config",
    "output_schema",
    "export_config",
    "dialect",
    "origin",
    "module",
    "source_digest",
    "opa_version",
    "compiled_dialect",
    "entrypoints",
    "builtins",
)
"""What ``revision_of`` needs, by the names that columns and documents share."""


# The values are of the kinds that the backends wrote; ``Any`` is what both drivers say of a row.
def revision_of(policy: PolicyId, told: Mapping[str, Any]) -> Revision:
    """Make a revision of FIELDS: texts as texts, both documents whole, the time with its zone."""
    source = PolicySource(
        id=policy,
        rego=told["rego"],
        data=told["source_data"],
        data_config=told["data_config"],
        output_schema=told["output_schema"],
        export_config=told["export_config"],
        dialect=Dialect(told["dialect"]),
        origin=told["origin"],
    )
    manifest = Manifest(
        digest=told["module"],
        source_digest=told["source_digest"],
        opa_version=told["opa_version"],
        dialect=Dialect(told["compiled_dialect"]),
        entrypoints=tuple(told["entrypoints"]),
        builtins=tuple(told["builtins"]),
    )
    return Revision(
        id=policy,
        number=told["number"],
        source=source,
        manifest=manifest,
        data=told["data"],
        digest=told["digest"],
        author=told["author"],
        created_at=told["created_at"],
    )

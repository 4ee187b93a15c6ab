"""Digests of sources and revisions.

Canonical form: a first line with the format, then for each part, in fixed
order, a line ``<name> <length in bytes>``, the bytes, and a line feed; for an
absent part the line ``<name> -``. Id and origin are not part of it: equal
content has an equal digest wherever it comes from.
"""

import hashlib
from typing import Final

from policy_server.model.policy import PolicySource

REGO: Final = "policy.rego"
DATA: Final = "data.json"
DATA_CONFIG: Final = "data-config.json"
OUTPUT_SCHEMA: Final = "output-schema.json"
EXPORT_CONFIG: Final = "export-config.json"


def parts(source: PolicySource) -> dict[str, str | None]:
    """Return the files of a source by name, in the order in which they are digested."""
    return {
        REGO: source.rego,
        DATA: source.data,
        DATA_CONFIG: source.data_config,
        OUTPUT_SCHEMA: source.output_schema,
        EXPORT_CONFIG: source.export_config,
    }


def source_digest(source: PolicySource) -> str:
    """Return the SHA-256 in hex of everything an author wrote."""
    return _digest("policy-source 1", {"dialect": source.dialect.value, **parts(source)})


def revision_digest(source: PolicySource, data: str | None) -> str:
    """Return the SHA-256 in hex of a source and the data it answers with."""
    return _digest("policy-revision 1", {"source": source_digest(source), "data": data})


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text in hex, as manifests have it of the Rego."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _digest(form: str, named: dict[str, str | None]) -> str:
    state = hashlib.sha256(f"{form}\n".encode())
    for name, text in named.items():
        if text is None:
            state.update(f"{name} -\n".encode())
            continue
        content = text.encode(errors="surrogatepass")
        state.update(f"{name} {len(content)}\n".encode())
        state.update(content + b"\n")
    return state.hexdigest()

"""What a policy looks like in MongoDB: the original service's document, with what we add to it.

Ours are ``stamp`` (of the newest change; a document without it is still the
original's), ``live``, ``order``, ``folded``, ``updated``, ``failure``,
``changes``, ``history`` and ``refs`` (the contents that the history needs).
``locked``, ``lastUpdate`` and the four parts of the id are shared.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from policy_server.model.change import Publication
from policy_server.model.policy import (
    Failure,
    PolicyId,
    PolicyRecord,
    PolicySource,
    Revision,
    RevisionSummary,
)
from policy_server.storage.listing import fold, standing
from policy_server.storage.mongo_contents import module_key, text_key
from policy_server.storage.mongo_journal import order, policy_of
from policy_server.storage.mongo_micros import from_micros, to_micros
from policy_server.storage.mongo_server import Document
from policy_server.storage.reading import revision_of

LEGACY_TEXTS: Final = ("rego", "data", "dataConfig", "outputSchema", "exportConfig", "filename")
_INLINE: Final = 500


def touched(policy: PolicyId, what: str, stamp: int, at: datetime) -> Document:
    """Return the fields that every change sets."""
    return {
        "stamp": stamp,
        "live": True,
        "order": order(policy),
        "folded": fold(policy.name),
        "updated": to_micros(at),
        "lastUpdate": at,
        f"changes.{what}": stamp,
    }


def revision_document(made: Publication) -> tuple[Document, dict[str, bytes]]:
    """Write a revision that has no number yet; return it with the contents that are kept apart."""
    source, manifest = made.source, made.compiled.manifest
    apart = {module_key(manifest.digest): made.compiled.wasm}
    texts = {
        "rego": source.rego,
        "source_data": source.data,
        "data": made.data,
        "data_config": source.data_config,
        "output_schema": source.output_schema,
        "export_config": source.export_config,
    }
    document = {
        "number": 0,
        "digest": made.digest,
        "author": made.author,
        "at": to_micros(made.at),
        "dialect": str(source.dialect),
        "origin": source.origin,
        "module": manifest.digest,
        "source_digest": manifest.source_digest,
        "opa_version": manifest.opa_version,
        "compiled_dialect": str(manifest.dialect),
        "entrypoints": list(manifest.entrypoints),
        "builtins": list(manifest.builtins),
        "texts": {name: _write(text, apart) for name, text in texts.items()},
    }
    return document, apart


def refs_of(history: Iterable[Document]) -> list[str]:
    """Return which contents some revisions need."""
    found = set()
    for revision in history:
        found.add(module_key(revision["module"]))
        found.update(text["kept"] for text in revision["texts"].values() if text is not None and "kept" in text)
    return sorted(found)


def texts_of(revision: Document) -> set[str]:
    """Return under which names the texts of a revision are kept apart."""
    return {text["kept"] for text in revision["texts"].values() if text is not None and "kept" in text}


def bulk_of(document: Document) -> int:
    """Return how many characters of data the active revision of a policy holds."""
    history = document.get("history")
    if not history:
        return 0
    own, effective = (history[-1]["texts"][name] for name in ("source_data", "data"))
    return _size(effective) + (0 if own == effective else _size(own))


def read_revision(policy: PolicyId, revision: Document, contents: Mapping[str, bytes]) -> Revision:
    """Read a revision; KeyError when one of its contents has gone in between."""
    texts = {name: _read(text, contents) for name, text in revision["texts"].items()}
    texts["rego"] = texts["rego"] or ""
    return revision_of(policy, {**revision, **texts, "created_at": from_micros(revision["at"])})


def parts_of(history: Sequence[Document]) -> dict[str, object]:
    """Return the parts of the last of some revisions, as they are written; equal ones are written equally."""
    if not history:
        return {}
    texts = history[-1]["texts"]
    return {part: texts[part] for part in ("rego", "data", "data_config", "output_schema", "export_config")}


def read_summary(policy: PolicyId, revision: Document) -> RevisionSummary:
    """Read a revision without its texts."""
    return RevisionSummary(
        id=policy,
        number=revision["number"],
        digest=revision["digest"],
        module=revision["module"],
        source_digest=revision["source_digest"],
        author=revision["author"],
        created_at=from_micros(revision["at"]),
        origin=revision["origin"],
    )


def read_record(document: Document, contents: Mapping[str, bytes]) -> PolicyRecord:
    """Read a policy; KeyError when a content of it has gone in between."""
    policy = policy_of(document)
    history = document.get("history") or []
    revision = read_revision(policy, history[-1], contents) if history else None
    failure = read_failure(document)
    state = standing(revision, failure)
    updated, locked = from_micros(document["updated"]), bool(document.get("locked"))
    return PolicyRecord(policy, revision, locked, state, failure, updated, document["stamp"])


def failure_document(failure: Failure) -> Document:
    """Write a failure."""
    return {
        "code": failure.code,
        "message": failure.message,
        "at": to_micros(failure.at),
        "source_digest": failure.source_digest,
    }


def read_failure(document: Document) -> Failure | None:
    """Read the failure of a policy, if there is one."""
    found = document.get("failure")
    if found is None:
        return None
    return Failure(found["code"], found["message"], from_micros(found["at"]), found["source_digest"])


def legacy_source(document: Document) -> PolicySource:
    """Read a policy as the original service keeps it; fields may be missing, null or empty."""
    text = {name: document.get(name) or None for name in LEGACY_TEXTS}
    return PolicySource(
        id=policy_of(document),
        rego=text["rego"] or "",
        data=text["data"],
        data_config=text["dataConfig"],
        output_schema=text["outputSchema"],
        export_config=text["exportConfig"],
        origin=text["filename"] or "mongodb",
    )


def _write(text: str | None, apart: dict[str, bytes]) -> Document | None:
    if text is None:
        return None
    if len(text) <= _INLINE:
        return {"text": text}
    name = text_key(text)
    apart[name] = text.encode()
    return {"kept": name, "size": len(text)}


def _read(text: Document | None, contents: Mapping[str, bytes]) -> str | None:
    if text is None:
        return None
    return str(text["text"]) if "text" in text else contents[text["kept"]].decode()


def _size(text: Document | None) -> int:
    if text is None:
        return 0
    return int(text["size"]) if "size" in text else len(text["text"])

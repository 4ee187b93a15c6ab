"""The examples of docs/rules.md are read by the policies they are about."""

import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from policy_server.pexip.kinds import RequestKind
from rego.bundled import Bundle

DOCS = Path(__file__).parents[3] / "docs" / "rules.md"


def examples() -> list[Any]:
    """Return every JSON example that is a book, a rule or a condition."""
    found = []
    for block in re.findall(r"```json\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL):
        text = block if block.startswith("{") else "{" + block + "}"
        document = json.loads(text)
        if "decision" not in document:
            found.append(document)
    return found


def book_of(example: Any) -> dict[str, Any]:
    """Make a book of a book, a rule, an outcome or a condition."""
    if "rules" in example:
        return dict(example)
    if "when" in example:
        return {"rules": [example], "otherwise": {}}
    if {"field", "all"} & set(example):
        return {"rules": [{"when": example, "then": {}}], "otherwise": {}}
    return {"rules": [], "otherwise": example.get("then", {"result": example})}


def test_there_are_examples() -> None:
    """Books, rules, conditions and outcomes are shown."""
    assert len(examples()) >= 9


@pytest.mark.parametrize("example", examples(), ids=lambda example: ",".join(example)[:40])
def test_an_example_can_be_read(bundle: Bundle, example: Any) -> None:
    """No condition of the documentation has a mistake, and every book decides something."""
    policy = bundle.policy(RequestKind.PARTICIPANT)
    policy.set_data(orjson.dumps(book_of(example)))

    answer = orjson.loads(policy.evaluate_json(b"{}", entrypoint="pexip/participant/explain") or b"null")

    notes = {shown["note"] for rule in answer["rules"] for shown in rule["conditions"]}
    assert notes <= {"", "the field is not set"}
    assert answer["decision"]["rule_id"]

"""What every bundled policy must be."""

import re
from typing import Any

import orjson
import pytest

from policy_server.model.policy import Dialect
from policy_server.pexip.kinds import RequestKind
from rego.bundled import Bundle, folder, source

FIRST = "# ---- The rule book"
LAST = "# ---- End of the lines"


def files(kind: RequestKind) -> dict[str, str]:
    """Return policy and tests of a kind."""
    return {file.name: file.read_text(encoding="utf-8") for file in folder(kind).glob("*.rego")}


@pytest.mark.parametrize("kind", RequestKind)
def test_a_policy_does_not_need_the_toolkit(bundle: Bundle, kind: RequestKind) -> None:
    """Answers never wait for OPA's toolkit: patterns from data are matched in this process, all else in the module."""
    assert bundle.compiled(kind).manifest.builtins == ("exact.regex.match",)


@pytest.mark.parametrize("kind", RequestKind)
def test_a_policy_can_decide_and_explain(bundle: Bundle, kind: RequestKind) -> None:
    """Package, decision and explanation can be asked for."""
    package = f"pexip/{kind}"

    assert set(bundle.compiled(kind).manifest.entrypoints) == {package, f"{package}/decision", f"{package}/explain"}


@pytest.mark.parametrize("kind", RequestKind)
def test_a_policy_is_in_opas_layout(bundle: Bundle, kind: RequestKind) -> None:
    """Sources and tests are formatted and pass the strict checks."""
    for name, text in files(kind).items():
        assert bundle.toolkit.fmt(text, dialect=Dialect.V1, name=name) == text
    bundle.toolkit.check(files(kind), dialect=Dialect.V1, strict=True)


@pytest.mark.parametrize("kind", RequestKind)
def test_the_tests_of_a_policy_pass(bundle: Bundle, kind: RequestKind) -> None:
    """The Rego tests beside the source pass with the sample rule book as data."""
    report: Any = bundle.toolkit.test(files(kind), data=orjson.loads(bundle.data(kind)), dialect=Dialect.V1)

    assert [test["name"] for test in report["results"] if test["status"] != "pass"] == []
    assert report["passed"] >= 4


@pytest.mark.parametrize("kind", RequestKind)
def test_a_policy_describes_itself(kind: RequestKind) -> None:
    """Package and entrypoints carry titles for lists and documentation."""
    text = source(kind)

    assert re.search(
        rf"# METADATA\n# title: .+\n# description: .+\n# custom:\n#   semantics: fast\npackage pexip\.{kind}\n", text
    )
    for rule in ("default decision :=", "explain :="):
        assert re.search(rf"# METADATA\n# title: .+\n# description: .+\n# entrypoint: true\n{rule}", text)


def test_all_policies_read_the_rule_book_alike() -> None:
    """Each policy is compiled alone, so the lines that read rules are repeated; they must not drift apart."""
    blocks = {text[text.index(FIRST) : text.index(LAST)] for text in map(source, RequestKind)}

    assert len(blocks) == 1


@pytest.mark.parametrize("kind", RequestKind)
def test_every_sample_rule_can_be_read(bundle: Bundle, kind: RequestKind) -> None:
    """No condition of the sample books has a note about a mistake, and every rule has an id and a name."""
    bundle.policy(kind).set_data(bundle.data(kind))

    answer = bundle.policy(kind).evaluate_json(b"{}", entrypoint=f"pexip/{kind}/explain")

    rules = orjson.loads(answer or b"null")["rules"]
    notes = {shown["note"] for rule in rules for shown in rule["conditions"]}
    assert notes <= {"", "the field is not set"}
    assert all(rule["id"] and rule["name"] for rule in rules)
    assert len({rule["id"] for rule in rules}) == len(rules)

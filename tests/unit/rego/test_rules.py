"""The rule book in Rego against the same in Python."""

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, assume, given, settings

from policy_server.model.policy import Dialect
from policy_server.pexip.kinds import RequestKind
from rego import reference
from rego.bundled import Bundle, source
from rego.strategies import books, conditions, documents

KIND = RequestKind.PARTICIPANT
_SETTINGS = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}


def decided(bundle: Bundle, book: Any, document: Any, rule: str = "decision") -> Any:
    """Return what the compiled policy says."""
    policy = bundle.policy(KIND)
    policy.set_data(orjson.dumps(book))
    answer = policy.evaluate_json(orjson.dumps(document), entrypoint=f"pexip/{KIND}/{rule}")
    assert answer is not None
    return orjson.loads(answer)


@settings(max_examples=400, **_SETTINGS)
@given(book=books, document=documents)
def test_books_decide_as_they_are_documented(bundle: Bundle, book: Any, document: Any) -> None:
    """In WebAssembly, every book answers every document as the reference does."""
    assert decided(bundle, book, document) == reference.decide(book, document)


@settings(max_examples=40, **_SETTINGS)
@given(book=books, document=documents)
def test_opa_itself_decides_the_same(bundle: Bundle, book: Any, document: Any) -> None:
    """OPA's interpreter and WebAssembly agree on decision and explanation."""
    answer = bundle.toolkit.eval(
        f"data.pexip.{KIND}.explain", {"policy.rego": source(KIND)}, data=book, input=document, dialect=Dialect.V1
    )

    assert result_of(answer) == decided(bundle, book, document, "explain")


@settings(max_examples=150, **_SETTINGS)
@given(condition=conditions, document=documents)
def test_explanations_agree_with_decisions(bundle: Bundle, condition: Any, document: Any) -> None:
    """A rule that is told to match is the one that decides, and every leaf shows what it met."""
    book = {"rules": [{"id": "r", "when": condition, "then": {}}], "otherwise": {"action": "default"}}

    told = decided(bundle, book, document, "explain")

    rule = told["rules"][0]
    held = reference.holds(condition, document)
    assert (rule["matched"], rule["chosen"], told["decision"]["rule_id"] == "r") == (held, held, held)
    for shown in rule["conditions"]:
        if shown.get("field") and shown["note"] != "groups can be nested four deep":
            leaf = {key: shown[key] for key in ("field", "op", "value")}
            assert shown["actual"] == reference.value_of(document, leaf["field"])
            assert shown["note"] != "" or shown["op"] is not None


@pytest.mark.parametrize("place", [0, 7, 8, 31, 32, 127, 128, 511, 512, 2047, 2048, 2100])
def test_the_first_rule_that_holds_wins_wherever_it_is(bundle: Bundle, place: int) -> None:
    """The book is read in slices; a rule at any edge is found, and the one behind it is not."""
    always = {"all": []}
    rules = [{"when": {"any": []} if i < place else always, "then": {"n": i}} for i in range(place + 3)]

    decision = decided(bundle, {"rules": rules, "otherwise": {}}, {})

    assert decision == {"n": place, "rule_id": f"#{place + 1}"}


def test_a_broken_pattern_costs_only_its_condition(bundle: Bundle) -> None:
    """One bad rule among good ones does not disturb them."""
    bad = {"field": "alias", "op": "regex", "value": "["}
    good = {"field": "alias", "op": "regex", "value": "^a"}
    book = {"rules": [{"id": "r", "when": {"any": [bad, good]}, "then": {}}], "otherwise": {}}

    assert decided(bundle, book, {"alias": "ab"})["rule_id"] == "r"


def test_the_reference_can_fail() -> None:
    """The reference knows both answers: a property test that only sees one proves nothing."""
    leaf = {"field": "alias", "op": "equals", "value": "a"}

    assert reference.holds(leaf, {"alias": "a"})
    assert not reference.holds(leaf, {"alias": "b"})


def result_of(answer: Any) -> Any:
    """Return the one value of an answer of OPA."""
    assume(answer)
    if isinstance(answer, dict) and "result" in answer:
        answer = answer["result"]
    return answer[0]["expressions"][0]["value"] if isinstance(answer, list) else answer

"""What the runner says about good, bad and broken cases."""

from opa_suite.cases import Number
from opa_suite.laboratory import Laboratory
from opa_suite.verdict import Kind
from suite_cases import case, want


def kinds(laboratory: Laboratory, *rules: str) -> list[Kind]:
    """Run rules that all should answer one binding, x = 1."""
    batch = [case(f"n{number}", rule, want([{"x": Number("1")}])) for number, rule in enumerate(rules)]
    return [outcome.kind for outcome in laboratory.run(batch)]


def test_a_case_that_does_not_compile_leaves_the_others_of_its_batch_alone(laboratory: Laboratory) -> None:
    """The batch is halved until the culprit is found, in the order of the cases."""
    good, bad = 'answer := [{"x": 1}]', "answer := nowhere"

    assert kinds(laboratory, good, good, bad, good) == [Kind.PASS, Kind.PASS, Kind.COMPILE, Kind.PASS]


def test_a_wrong_answer_is_seen(laboratory: Laboratory) -> None:
    """The same goes for none at all."""
    assert kinds(laboratory, 'answer := [{"x": 2}]', 'answer := [{"x": 1} | false]') == [Kind.VALUE, Kind.VALUE]


def test_an_answer_that_changes_from_one_evaluation_to_the_next_is_seen(laboratory: Laboratory) -> None:
    """Each case is asked twice on one instance and once on another."""
    assert kinds(laboratory, 'answer := [{"x": time.now_ns()}]') == [Kind.UNSTABLE]


def test_a_conflict_passes_where_the_case_wants_one(laboratory: Laboratory) -> None:
    """And at the place it wants, in the words of OPA's compiler."""
    rule = "answer := p\n\np := 1 if true\n\np := 2 if true"
    here = want(error="hand.rego:7:1: var assignment conflict")
    there = want(error="hand.rego:1:1: var assignment conflict")

    outcomes = laboratory.run([case("here", rule, here), case("there", rule, there)])

    assert [each.kind for each in outcomes] == [Kind.PASS, Kind.ERROR]


def test_an_error_of_strict_mode_is_undefined_and_raised_where_that_is_asked_for(laboratory: Laboratory) -> None:
    """Both are told apart."""
    failing = case("strict", 'answer := [{} | hex.decode("x")]', want(code="eval_builtin_error", strict=True))

    (outcome,) = laboratory.run([failing])

    assert (outcome.kind, outcome.raised) == (Kind.PASS, True)

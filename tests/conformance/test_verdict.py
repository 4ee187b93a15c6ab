"""Answers are compared as OPA's own tests do."""

import pytest
from opa_suite.cases import Number
from opa_suite.verdict import Kind, judge
from suite_cases import want

from policy_server.model.errors import EvaluationAborted, Problem, RuleConflict

CONFLICT = RuleConflict("two values", problems=[Problem("two values", "m.rego", 3, 1)])


@pytest.mark.parametrize(
    ("wanted", "got"),
    [("1", "1.0"), ("100", "1e2"), ("0.10", "0.1"), ("18446744073709551617", "18446744073709551617")],
)
def test_numbers_are_compared_by_value(wanted: str, got: str) -> None:
    """However they are spelled."""
    assert judge(want([{"x": Number(wanted)}]), b'[{"x":%b}]' % got.encode()) == (Kind.PASS, "")


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        (Number("18446744073709551617"), b"18446744073709551616"),
        (Number("0.1"), b"0.1000000000000000055"),
        (Number("1"), b"true"),
        (Number("1"), b'"1"'),
        (None, b"false"),
        ({}, b"[]"),
        ([None], b"[]"),
        ({"a": None}, b"{}"),
        ("\u00e9", b'"e\\u0301"'),
    ],
)
def test_everything_else_is_compared_exactly(wanted: object, got: bytes) -> None:
    """Digits beyond a double count, and no type stands for another."""
    assert judge(want([{"x": wanted}]), b'[{"x":%b}]' % got)[0] is Kind.VALUE


def test_bindings_are_a_set() -> None:
    """Neither their order nor how often one is there counts."""
    wanted = want([{"x": "a"}, {"x": "b"}])

    assert judge(wanted, b'[{"x":"b"},{"x":"a"},{"x":"a"}]')[0] is Kind.PASS
    assert judge(wanted, b'[{"x":"b"}]')[0] is Kind.VALUE


def test_another_order_of_a_collection_is_a_difference_of_its_own_kind() -> None:
    """Unless the case says that bound arrays are to be sorted first; deeper ones never are."""
    flat, deep = b'[{"x":["b","a"]}]', b'[{"x":[["b","a"]]}]'

    assert judge(want([{"x": ["a", "b"]}]), flat)[0] is Kind.ORDER
    assert judge(want([{"x": ["a", "b"]}], sort=True), flat)[0] is Kind.PASS
    assert judge(want([{"x": [["a", "b"]]}], sort=True), deep)[0] is Kind.ORDER


def test_definedness_is_all_that_counts_where_it_is_all_that_is_wanted() -> None:
    """An answer without bindings is undefined."""
    assert judge(want(defined=True), b"[{}]")[0] is Kind.PASS
    assert judge(want(defined=True), b"[]")[0] is Kind.VALUE
    assert judge(want(defined=False), b"[]")[0] is Kind.PASS


def test_an_error_of_strict_mode_leaves_no_answer() -> None:
    """WebAssembly has no strict mode."""
    strict = want(code="eval_type_error", strict=True)

    assert judge(strict, b"[]")[0] is Kind.PASS
    assert judge(strict, b"[{}]")[0] is Kind.VALUE
    assert judge(strict, EvaluationAborted("broken"))[0] is Kind.ERROR


def test_a_wanted_conflict_is_a_conflict_and_nothing_else() -> None:
    """Every other failure, and every answer, is a difference."""
    conflict = want(code="eval_conflict_error")

    assert judge(conflict, CONFLICT)[0] is Kind.PASS
    assert judge(conflict, EvaluationAborted("broken"))[0] is Kind.ERROR
    assert judge(conflict, b"[]")[0] is Kind.MISSING

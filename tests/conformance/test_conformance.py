"""Rego means here what it means in OPA: OPA's own test cases, each with OPA's answer."""

from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from opa_suite import known
from opa_suite.cases import Case, batches
from opa_suite.laboratory import SEMANTICS, Laboratory

SHARES = 16
"""In how many tests the cases are run; the same number whatever the cases are, since every process collects alike."""


@pytest.mark.parametrize("semantics", SEMANTICS)
@pytest.mark.parametrize("share", range(SHARES))
def test_answers_are_those_of_opa_except_for_the_listed_differences(
    share: int, semantics: str, cases: Sequence[Case], laboratories: Callable[[str], Laboratory]
) -> None:
    """A case that fails and is not in the list fails this test, and so does a listed one that passes."""
    laboratory = laboratories(semantics)

    outcomes = [outcome for batch in batches(cases)[share::SHARES] for outcome in laboratory.run(batch)]

    listed = known.read(known.file(semantics))
    failed = {each.case.name: f"{each.kind}: {each.detail}" for each in outcomes if not each.passed}
    assert {name: how for name, how in failed.items() if name not in listed} == {}
    assert [each.case.name for each in outcomes if each.passed and each.case.name in listed] == []


@pytest.mark.parametrize("semantics", SEMANTICS)
def test_every_known_difference_is_a_case_and_has_a_reason(semantics: str, cases: Sequence[Case]) -> None:
    """Nothing stays in a list by mistake."""
    listed = known.read(known.file(semantics))

    assert listed.keys() - {each.name for each in cases} == set()
    assert [name for name, reason in listed.items() if not reason] == []


def test_the_suites_are_there_whole(cases: Sequence[Case]) -> None:
    """The numbers of OPA 1.22.2; a name stands for one case."""
    assert Counter(each.suite for each in cases) == {"v1": 2400, "v0": 2027, "wasm": 369}
    assert len(cases) == len({each.name for each in cases})


def test_nearly_all_cases_share_a_module(cases: Sequence[Case]) -> None:
    """Only those run alone that cannot be moved into a corner of their own without changing what they mean."""
    reasons = Counter(each.alone for each in cases if each.alone)

    assert reasons == {
        "its answer tells the path of its package": 10,
        "a module cannot be moved by changing its text": 7,
    }

"""OPA's cases, prepared once for all test processes, and what runs them."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from opa_suite.cases import Case, read
from opa_suite.laboratory import Laboratory
from opa_suite.source import prepared


@pytest.fixture(scope="session")
def cases() -> Sequence[Case]:
    """Every case of OPA's suites."""
    return read(prepared())


@pytest.fixture(scope="session")
def laboratories() -> Iterator[Callable[[str], Laboratory]]:
    """The compiler and the engine by semantics; one of each for all tests of a process."""
    made: dict[str, Laboratory] = {}

    def get(semantics: str) -> Laboratory:
        if semantics not in made:
            made[semantics] = Laboratory(semantics)
        return made[semantics]

    yield get
    for each in made.values():
        each.close()


@pytest.fixture
def laboratory(laboratories: Callable[[str], Laboratory]) -> Laboratory:
    """The one for policies that say nothing."""
    return laboratories("exact")

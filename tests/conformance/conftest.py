"""OPA's cases, prepared once for all test processes, and what runs them."""

from collections.abc import Iterator, Sequence

import pytest
from opa_suite.cases import Case, read
from opa_suite.laboratory import Laboratory
from opa_suite.source import prepared


@pytest.fixture(scope="session")
def cases() -> Sequence[Case]:
    """Every case of OPA's suites."""
    return read(prepared())


@pytest.fixture(scope="session")
def laboratory() -> Iterator[Laboratory]:
    """The compiler and the engine; one for all tests of a process."""
    made = Laboratory()
    yield made
    made.close()

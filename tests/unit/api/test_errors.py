"""The one table of errors."""

from collections.abc import Iterator

import pytest

from policy_server.api.errors import TABLES, located
from policy_server.api.problems import PAGES
from policy_server.model.errors import PolicyServerError, Problem

KINDS = {400: {1}, 401: {2}, 403: {3}, 404: {5}, 409: {4}, 412: {4}, 413: {1}, 422: {1}, 500: {0, 7}, 503: {8}}


def family(root: type[PolicyServerError]) -> Iterator[type[PolicyServerError]]:
    """Go through an error class and all below it."""
    yield root
    for child in root.__subclasses__():
        yield from family(child)


@pytest.mark.parametrize("operation", TABLES)
def test_every_error_has_an_answer_everywhere(operation: str) -> None:
    """No error of ours can surprise a route, and kinds fit statuses as the policy service has them."""
    for error in family(PolicyServerError):
        answer = next(found for found in map(TABLES[operation].get, error.__mro__) if found is not None)

        assert answer.kind in KINDS[answer.status]


def test_every_type_of_problem_has_its_own_title() -> None:
    """A page says something, and its address is its slug."""
    assert all(page.title and page.type == f"/problems/{slug}" for slug, page in PAGES.items())


def test_places_are_found_in_a_message() -> None:
    """Lines of the form file:line:column: text become problems again, others do not."""
    message = "policy.rego:3:5: bad rule\nnothing here\ndata.json:7: not an object\nhttp://x:80/: no"

    assert located(message) == (Problem("bad rule", "policy.rego", 3, 5), Problem("not an object", "data.json", 7))

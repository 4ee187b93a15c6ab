"""The types of problem this API reports, each with its page."""

from collections.abc import Iterator
from typing import Final

import falcon
import msgspec

from policy_server.api.models import ProblemPage
from policy_server.model.errors import PolicyServerError, SettingsError

PREFIX: Final = "/problems/"

_OF_STATUS: Final = {
    400: ("bad-request", "The request cannot be understood."),
    401: ("not-authenticated", "Who asks is not known: the request has no credentials, or none that count."),
    404: ("not-found", "There is no such thing."),
    405: ("method-not-allowed", "This address does not answer that method."),
    408: ("too-slow", "The request did not arrive in time."),
    413: ("too-large", "The request is larger than this server accepts."),
    414: ("too-large", "The request is larger than this server accepts."),
    431: ("too-large", "The request is larger than this server accepts."),
    500: ("internal", "Something went wrong in the policy server."),
    503: ("assets-missing", "Swagger UI is not installed; run scripts/setup."),
}


def of_status(status: int) -> tuple[str, str]:
    """Return slug and title for a problem that is known only by its HTTP status."""
    return _OF_STATUS.get(status, ("http-error", falcon.code_to_http_status(status).partition(" ")[2]))


def title_of(error: type[PolicyServerError]) -> str:
    """Return the first line of an error's docstring: what happened, in the user's words."""
    return (error.__doc__ or "").strip().splitlines()[0]


def _family(root: type[PolicyServerError]) -> Iterator[type[PolicyServerError]]:
    yield root
    for child in root.__subclasses__():
        yield from _family(child)


def _pages() -> dict[str, ProblemPage]:
    pages = {
        error.slug: ProblemPage(PREFIX + error.slug, title_of(error), error.status)
        for error in _family(PolicyServerError)
        if error is not SettingsError  # stops the server before it can answer
    }
    for status, (slug, title) in _OF_STATUS.items():
        pages.setdefault(slug, ProblemPage(PREFIX + slug, title, status))
    return dict(sorted(pages.items()))


PAGES: Final = _pages()
"""Every type by its slug."""


class ProblemPages:
    """Explains the types of problem."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response, slug: str) -> None:
        """Answer one page."""
        if slug not in PAGES:
            raise falcon.HTTPNotFound
        resp.content_type = falcon.MEDIA_JSON
        resp.data = msgspec.json.encode(PAGES[slug])

    def on_get_all(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer all of them."""
        resp.content_type = falcon.MEDIA_JSON
        resp.data = msgspec.json.encode(list(PAGES.values()))

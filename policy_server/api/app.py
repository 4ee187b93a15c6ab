"""Makes the WSGI application."""

import falcon

from policy_server.api.access import Access, Refusals
from policy_server.api.middleware import Telemetry
from policy_server.api.parts import Parts
from policy_server.api.request import ApiRequest
from policy_server.api.router import Router
from policy_server.api.routes import ROUTES, add_routes, error_answers
from policy_server.api.taking import Taking

App = falcon.App[ApiRequest, falcon.Response]


def make_app(parts: Parts) -> App:
    """Return the application; nothing is opened or started."""
    router = Router()
    add_routes(router, parts)
    app: App = falcon.App(
        request_type=ApiRequest,
        middleware=[
            Telemetry(parts.metrics, parts.gate),
            *([] if parts.take is None else [Taking(parts.take)]),
            Access(parts.gate, ROUTES),
        ],
        router=router,
    )
    # An answer without a body has no content type either.
    app.resp_options.default_media_type = None  # type: ignore[assignment] # Falcon reads it as "none"
    error_answers(Refusals(parts.metrics, parts.gate)).attach(app)
    return app

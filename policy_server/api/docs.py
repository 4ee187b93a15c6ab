"""Serves Swagger UI from files that set-up put beside this one."""

from pathlib import Path
from typing import Final

import falcon

from policy_server.api.request import ApiRequest

_TYPES: Final = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
"""The only files that are handed out."""

# SECURITY: nothing from elsewhere and nothing inline. Swagger UI's pictures are data URLs in its style sheet.
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>policy-server API</title>
<link rel="icon" href="docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>The API is described in <a href="openapi.json">openapi.json</a>.</noscript>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/assets/start.js"></script>
</body>
</html>
"""

_ELSEWHERE: Final = _PAGE.replace(b"docs/assets/", b"")
"""The same where files and document stand beside the page, as the policy service has them."""

_START: Final = b"""SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""


class DocsPages:
    """The page, its start script and its assets."""

    def __init__(self, assets: Path) -> None:
        """Take the folder of Swagger UI's files; it is looked at when somebody asks."""
        self._assets = assets

    def on_get(self, _req: ApiRequest, resp: falcon.Response) -> None:
        """Answer the page."""
        self._show(resp, _PAGE)

    def on_get_swagger(self, _req: ApiRequest, resp: falcon.Response) -> None:
        """Answer the page at the policy service's address."""
        self._show(resp, _ELSEWHERE)

    def on_get_asset(self, _req: ApiRequest, resp: falcon.Response, name: str) -> None:
        """Answer one file."""
        if name == "start.js":
            _send(resp, _START, "text/javascript; charset=utf-8")
            return
        if name not in _TYPES:
            raise falcon.HTTPNotFound
        file = self._assets / name
        if not file.is_file():
            raise _missing()
        _send(resp, file.read_bytes(), _TYPES[name])
        resp.set_header("cache-control", "public, max-age=3600")

    def _show(self, resp: falcon.Response, page: bytes) -> None:
        if not (self._assets / "swagger-ui-bundle.js").is_file():
            raise _missing()
        _send(resp, page, "text/html; charset=utf-8")


def _send(resp: falcon.Response, body: bytes, media: str) -> None:
    resp.content_type = media
    resp.set_header("content-security-policy", _CSP)
    resp.data = body


def _missing() -> falcon.HTTPServiceUnavailable:
    return falcon.HTTPServiceUnavailable(description="Swagger UI is not installed; run scripts/setup.")

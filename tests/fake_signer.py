"""A signer service on loopback: one key of each kind, requests are remembered by its server."""

import base64
import json
import re

from bundle_samples import private, public_jwk
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from policy_server.bundles.signatures import sign

NAMES = {"ec": "P-256", "rsa": "RSA", "ed": "Ed25519"}
"""The names of the keys, all in the namespace ``transit``."""


def run_signer(server: HTTPServer) -> str:
    """Make a server answer as the signer does; returns its address."""
    server.expect_request(re.compile(r"/v1/jwk/.*"), method="GET").respond_with_handler(_jwk)
    server.expect_request("/v1/sign", method="POST").respond_with_handler(_sign)
    return server.url_for("")


def _jwk(request: Request) -> Response:
    namespace, key = request.path.split("/")[3:]
    if namespace != "transit" or key not in NAMES:
        return Response("error getting key: no such key\n", 404)
    return Response(public_jwk(NAMES[key], "signer"), content_type="application/json")


def _sign(request: Request) -> Response:
    asked = json.loads(request.data)
    if set(asked) != {"key", "namespace", "data"} or asked["key"] not in NAMES:
        return Response("bad request", 400)
    signature = sign(private(NAMES[asked["key"]], "signer"), base64.b64decode(asked["data"], validate=True))
    return Response(json.dumps({"signature": base64.b64encode(signature).decode()}), content_type="application/json")

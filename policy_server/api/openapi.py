"""Describes the API as OpenAPI 3.1, from the route table and the models."""

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Final

import falcon
import msgspec

from policy_server.api.errors import PROBLEM_JSON, Shape
from policy_server.api.models import Fault, ProblemDocument, ServiceError
from policy_server.api.request import ApiRequest
from policy_server.api.roles import Open, need_of
from policy_server.api.table import Param, Route
from policy_server.model.principal import Role
from policy_server.model.values import Json
from policy_server.version import VERSION

JsonDict = dict[str, Json]

_FIELDS: Final = re.compile(r"{(\w+)(?::\w+)?}")
_REF: Final = "#/components/schemas/{name}"
_ABOUT: Final = (
    "Rego policies as WebAssembly. Pexip Infinity asks under /policy/v1 (behind any prefix), everybody else "
    "evaluates policies by repository, group, name and version."
)


class OpenApiDocument:
    """The description of the API as JSON."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Take the route table; the document is made when it is first asked for."""
        self._routes = tuple(routes)

    def on_get(self, _req: ApiRequest, resp: falcon.Response) -> None:
        """Answer the document."""
        resp.content_type = falcon.MEDIA_JSON
        resp.data = self.text

    @cached_property
    def text(self) -> bytes:
        """The document as JSON text."""
        return msgspec.json.encode(self.document())

    def document(self) -> JsonDict:
        """Make the document."""
        paths: dict[str, dict[str, Json]] = {}
        for route in self._routes:
            paths.setdefault(_FIELDS.sub(r"{\1}", route.path), {})[route.method.lower()] = _operation(route)
        shapes = (shape for route in self._routes for shape in (route.answer, route.other, route.body))
        answers = {shape for shape in shapes if shape not in {None, dict}}
        models = sorted({*answers, ServiceError, Fault, ProblemDocument}, key=lambda model: model.__name__)
        _, components = msgspec.json.schema_components(models, ref_template=_REF)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "policy-server",
                "version": VERSION,
                "description": _ABOUT,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "pexip": {"type": "http", "scheme": "basic"},
                    "bearer": {"type": "http", "scheme": "bearer", "description": "An API token or a JSON Web Token."},
                },
            },
        }


def _operation(route: Route) -> JsonDict:
    operation: JsonDict = {
        "operationId": route.operation,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": [*_path_parameters(route.path), *map(_parameter, route.params)],
        "responses": {
            **{str(status): _success(route) for status in route.good},
            **{str(status): _fault(route, status) for status in _faults(route)},
        },
    }
    if route.takes_input:
        operation["requestBody"] = {
            "description": "The input document: any JSON value, whatever the content type. No body means null.",
            "required": False,
            "content": {"application/json": {"schema": {}}},
        }
    if route.body is not None:
        schema: JsonDict = {"type": "object"} if route.body is dict else {"$ref": _REF.format(name=route.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if route.accepts:
        operation["requestBody"] = {"required": True, "content": {media: {"schema": {}} for media in route.accepts}}
    if route.shape is Shape.PEXIP:
        operation["security"] = [{}, {"pexip": []}]
    need = need_of(route.operation)
    if not isinstance(need, Open):
        operation["security"] = [{}, {"bearer": []}]
        operation["x-required-role"] = str(need if isinstance(need, Role) else need.role)
    return operation


def _faults(route: Route) -> list[int]:
    """Return what a route may answer instead, with what any route does that needs a role."""
    needy = not isinstance(need_of(route.operation), Open)
    return sorted({*route.faults, *((401, 403) if needy else ())})


def _path_parameters(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _FIELDS.findall(path)
    ]


def _parameter(param: Param) -> JsonDict:
    return {
        "name": param.name,
        "in": param.place,
        "required": False,
        "description": param.about,
        "schema": {"type": param.kind},
    }


def _success(route: Route) -> JsonDict:
    if route.answer is not None:
        schema: JsonDict = {"$ref": _REF.format(name=route.answer.__name__)}
        return {"description": "OK", "content": {route.media: {"schema": schema}}}
    if not route.media:
        return {"description": "OK, without a body"}
    other: JsonDict = {} if route.other is None else {"anyOf": [{}, {"$ref": _REF.format(name=route.other.__name__)}]}
    return {"description": "OK", "content": {route.media: {"schema": other}}}


def _fault(route: Route, status: int) -> JsonDict:
    described: JsonDict = {"description": falcon.code_to_http_status(status).partition(" ")[2]}
    if route.shape is Shape.PEXIP:
        return described
    content: dict[str, Json] = {PROBLEM_JSON: {"schema": {"$ref": _REF.format(name="ProblemDocument")}}}
    if route.shape is Shape.SERVICE:
        content["application/json"] = {"schema": {"$ref": _REF.format(name="ServiceError")}}
    if route.shape is Shape.TEXT:
        content["text/plain"] = {"schema": {"type": "string"}}
    return {**described, "content": content}

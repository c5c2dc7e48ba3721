"""The description of the API, and whatever is no route of it: FastAPI's part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from stepscan import __version__
from stepscan.serving.call import BYTES, JSON
from stepscan.serving.errors import ApiError
from stepscan.serving.routes.route import Route

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message", "param", "code"],
            "properties": {
                **{"type": {"type": "string"}, "message": {"type": "string"}},
                **{"param": {"type": ["string", "null"]}, "code": {"type": ["string", "null"]}},
            },
        }
    },
}
_REF = "#/components/schemas/{model}"
_JSON, _BYTES = JSON.decode(), BYTES.decode()
_KINDS = {404: "not_found", 405: "not_allowed"}


class _Api(FastAPI):
    """Describes routes together with the schemas that they refer to.

    Args:
        routes: all of them.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        super().__init__(title="Stepscan", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
        self._fields = {route.fields for route in routes if route.fields is not None}

    def openapi(self) -> dict[str, Any]:
        """The description."""
        if self.openapi_schema is None:
            kinds = sorted(self._fields, key=lambda kind: kind.__name__)
            _, schemas = models_json_schema([(kind, "validation") for kind in kinds], ref_template=_REF)
            described = super().openapi()
            described["components"] = {"schemas": {**schemas["$defs"], "Error": _ERROR}}
        assert self.openapi_schema is not None
        return self.openapi_schema


def describe_api(routes: Iterable[Route]) -> FastAPI:
    """An application that answers `/openapi.json`, and 404 for what it does not know. Requests of the routes do not
    reach it: they are answered without its layers, which would take as long as a step of a model."""
    api = _Api(routes := list(routes))
    for route in routes:
        api.add_api_route(
            route.path,
            _answered_before,
            methods=[route.method],
            summary=route.summary,
            operation_id=f"{route.method.lower()}{route.path}".replace("/", "_").replace("{", "").replace("}", ""),
            status_code=route.status,
            response_class=Response,
            responses={
                route.status: {"description": "The answer; see docs/serve.md", "content": _answers(route)},
                "4XX": _error("Refused"),
                "503": _error("The server is ending, or the disk does not take what is done"),
            },
            openapi_extra=_parameters(route) | _body(route),
        )
    api.add_exception_handler(HTTPException, _refused)
    return api


def _answers(route: Route) -> dict[str, Any]:
    return {} if route.status == 204 else {kind: {"schema": {}} for kind in route.answers}


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": {"$ref": _REF.format(model="Error")}}}}


def _parameters(route: Route) -> dict[str, Any]:
    names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    schema = {"type": "string", "minLength": 1}
    return {"parameters": [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]}


def _body(route: Route) -> dict[str, Any]:
    kinds: dict[str, Any] = {}
    if route.fields is not None:
        kinds[_JSON] = {"schema": {"$ref": _REF.format(model=route.fields.__name__)}}
    if route.takes_state:
        kinds[_BYTES] = {"schema": {}}
    if not kinds:
        return {}
    is_required = any(field.is_required() for field in route.fields.model_fields.values()) if route.fields else True
    return {"requestBody": {"required": is_required, "content": kinds}}


async def _answered_before(request: Request) -> Response:
    raise HTTPException(404)


async def _refused(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    refused = ApiError(status, _KINDS.get(status, "invalid"), "expected a route of docs/serve.md, got another")
    return Response(refused.content, status, media_type="application/json")

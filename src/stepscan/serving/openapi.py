"""The description of the API, and whatever is no route of it: FastAPI's part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from stepscan import __version__
from stepscan.serving.errors import ApiError
from stepscan.serving.routes.route import Route

_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                **{"type": {"type": "string"}, "message": {"type": "string"}},
                **{"param": {"type": ["string", "null"]}, "code": {"type": ["string", "null"]}},
            },
        }
    },
}
_KINDS = {404: "not_found", 405: "not_allowed"}


def describe_api(routes: Iterable[Route]) -> FastAPI:
    """An application that answers `/openapi.json`, and 404 for what it does not know. Requests of the routes do not
    reach it: they are answered without its layers, which would take as long as a step of a model."""
    api = FastAPI(title="Stepscan", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
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
                route.status: {"description": "The answer; see docs/serve.md", "content": _content(route)},
                "4XX": {"description": "Refused", "content": {"application/json": {"schema": _ERROR}}},
            },
            openapi_extra=_body(route),
        )
    api.add_exception_handler(HTTPException, _refused)
    return api


def _content(route: Route) -> dict[str, Any]:
    return {} if route.status == 204 else {route.answer: {"schema": {}}}


def _body(route: Route) -> dict[str, Any]:
    parameters = [
        {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
        for part in route.path.split("/")
        if part.startswith("{")
    ]
    extra: dict[str, Any] = {"parameters": parameters} if parameters else {}
    if route.fields is not None:
        schema = route.fields.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
        required = bool(schema.get("required"))
        extra["requestBody"] = {"required": required, "content": {"application/json": {"schema": schema}}}
    elif route.method == "PUT":
        extra["requestBody"] = {"required": True, "content": {"application/octet-stream": {"schema": {}}}}
    return extra


async def _answered_before(request: Request) -> Response:
    raise HTTPException(404)


async def _refused(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    refused = ApiError(status, _KINDS.get(status, "invalid"), "expected a route of docs/serve.md, got another")
    return Response(refused.content, status, media_type="application/json")

"""What the OpenAPI page says of what the framework does not see: the inference routes, and bodies read by hand."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from app.http.inference_routes import ROUTES, InferenceRoute

_ERRORS = {
    "400": "Malformed: says which input, what came and what was expected; or an unknown label.",
    "404": "No such model or version.",
    "413": "The body or its number of rows is over the limit.",
    "415": "A Content-Encoding other than gzip, deflate, identity.",
    "431": "The request line and the headers are over 64 KiB.",
    "500": "The engine failed, or something unforeseen did: logged under the request's id.",
    "501": "The model or the server, as it was started, has no answer of this kind.",
    "503": "Queue full, still loading, or stopping; Retry-After says when to try again.",
    "504": "The deadline came first.",
}
_ERROR_BODY = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def document(api: FastAPI) -> None:
    """Add an operation for every inference path to the application's OpenAPI document.

    And say of the framework's own ones what is true here: bad input is a 400 like every other error, no 422.
    """
    framework_openapi = api.openapi

    def openapi() -> dict[str, Any]:
        schema = framework_openapi()
        for operations in schema["paths"].values():
            for operation in operations.values():
                if operation["responses"].pop("422", None):
                    operation["responses"]["400"] = _error("Malformed: says what was wrong.")
        schema.pop("components", None)  # held the 422's body
        for route in ROUTES:
            for template in route.paths:
                schema["paths"].setdefault(template, {})["post"] = _operation(route, template)
        return schema

    api.openapi = openapi  # type: ignore[method-assign]


def takes_json(example: Mapping[str, object], *, required: bool = False) -> dict[str, Any]:
    """What an operation says of a body that is a JSON object; a router's path takes it as `openapi_extra`."""
    content = {"application/json": {"schema": {"type": "object"}, "example": example}}
    return {"requestBody": {"required": required, "content": content}}


def _operation(route: InferenceRoute, template: str) -> dict[str, Any]:
    names = [part.split("}")[0] for part in template.split("{")[1:]]
    kind = "string" if route.media_type.startswith("text/") else "object"
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    parameters += [
        _header("X-Request-Id", "string", "Echoed; made where absent."),
        _header("X-Request-Timeout-Ms", "number", "Time allowed, at most the model's deadline_ms."),
    ]
    return {
        "tags": ["inference"],
        "summary": route.summary,
        "operationId": template.strip("/").translate(str.maketrans("/:{}", "___ ")).replace(" ", ""),
        "parameters": parameters,
        **takes_json(route.example, required=True),
        "responses": {
            "200": {
                "description": "The model's answer.",
                "content": {route.media_type: {"schema": {"type": kind}}},
            },
            **{code: _error(text) for code, text in _ERRORS.items()},
        },
    }


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ERROR_BODY}}}


def _header(name: str, kind: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": {"type": kind}}

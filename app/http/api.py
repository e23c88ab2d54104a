"""The FastAPI application: everything but inference, and the pages that document both."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from app.errors import OctetError, rule_for, text_for
from app.http.inference_routes import ROUTES
from app.http.openapi import document
from app.http.routers.health import health_router
from app.http.routers.jobs import jobs_router
from app.http.routers.open_inference import open_inference_router
from app.http.routers.reports import reports_router
from app.http.routers.repository import repository_router
from app.http.routers.shared_memory import shared_memory_router
from app.http.routers.triton_models import triton_models_router
from app.http.routers.triton_settings import triton_settings_router
from app.http.routers.unanswered import unanswered_router
from app.http.routers.versions import versions_router
from app.lifespan import Service
from engines.errors import EngineError
from model_store.errors import StoreError

_TAGS = [
    {"name": name} for name in ("inference", "models", "jobs", "health", "open inference protocol", "triton extensions")
]


def make_api(service: Service) -> FastAPI:
    """The control plane of one service. `/docs` brings its scripts along, so it works without the internet."""
    api = FastAPIOffline(
        title="Octet", version=service.version, redoc_url=None, redirect_slashes=False, openapi_tags=_TAGS
    )
    api.include_router(health_router(service))
    for router in (versions_router(service), jobs_router(service), unanswered_router(service)):
        api.router.routes.extend(router.routes)
    api.include_router(reports_router(service))
    api.include_router(repository_router(service))
    api.include_router(shared_memory_router(service))
    api.include_router(triton_models_router(service))
    api.include_router(triton_settings_router(service))
    api.include_router(open_inference_router(service))  # after Triton's: `/v2/models/stats` is no model's metadata
    api.add_exception_handler(HTTPException, _unrouted)
    api.add_exception_handler(RequestValidationError, _invalid)
    for known in (OctetError, EngineError, StoreError, Exception):
        api.add_exception_handler(known, _failed)
    document(api)
    return api


def _failed(_: Request, error: Exception) -> JSONResponse:
    """The one shape of every error. An unforeseen one is raised on by the framework and logged by the server."""
    rule = rule_for(error)
    headers = {} if rule.retry_after_seconds is None else {"retry-after": str(rule.retry_after_seconds)}
    return JSONResponse({"error": text_for(error)}, rule.status, headers)


def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return JSONResponse({"error": faults}, HTTPStatus.BAD_REQUEST)


def _unrouted(request: Request, error: Exception) -> JSONResponse:
    """Paths nobody has. Under `/v1/` TensorFlow Serving calls them malformed requests, whatever is wrong with them."""
    assert isinstance(error, HTTPException)
    path = request.scope["raw_path"].decode("latin-1")
    if error.status_code == HTTPStatus.NOT_FOUND and any(route.match(path) for route in ROUTES):
        # the doors' own path, asked with a method that they leave to the framework
        error = HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"allow": "POST"})
    if path.lower().startswith("/v1/") and error.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        return JSONResponse({"error": f"Malformed request: {request.method} {path}"}, HTTPStatus.BAD_REQUEST)
    return JSONResponse({"error": f"{error.detail}: {request.method} {path}"}, error.status_code, error.headers)

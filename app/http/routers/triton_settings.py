"""Triton's settings of a running server: what it logs, and which requests it traces."""

from typing import Any

from fastapi import APIRouter, Request

from app.http.json_body import json_object
from app.http.openapi import takes_json
from app.lifespan import Service
from app.protocols.triton_logging import change_log_settings, log_settings
from app.serving.table import folded

_EVERY_REQUEST = {"trace_level": ["TIMESTAMPS"], "trace_rate": "1"}


def triton_settings_router(service: Service) -> APIRouter:
    """`/v2/logging` and `trace/setting`. What is set here holds until the server stops."""
    router = APIRouter(tags=["triton extensions"])

    @router.get("/v2/logging", summary="Which levels are logged (Triton)")
    async def logging() -> dict[str, Any]:
        return log_settings(service.levels)

    @router.post("/v2/logging", summary="Log other levels (Triton)", openapi_extra=takes_json({"log_verbose_level": 1}))
    async def change_logging(request: Request) -> dict[str, Any]:
        change_log_settings(await json_object(request), service.levels)
        service.observe()
        return log_settings(service.levels)

    @router.get("/v2/trace/setting", summary="Which requests are traced in the log (Triton)")
    async def trace() -> dict[str, Any]:
        return service.traces.settings()

    @router.post("/v2/trace/setting", summary="Trace other requests (Triton)", openapi_extra=takes_json(_EVERY_REQUEST))
    async def change_trace(request: Request) -> dict[str, Any]:
        service.traces.change(await json_object(request))
        service.observe()
        return service.traces.settings()

    @router.get("/v2/models/{model}/trace/setting", summary="Which requests of a model are traced (Triton)")
    async def trace_of_model(model: str) -> dict[str, Any]:
        return service.traces.settings(_known(model))

    @router.post(
        "/v2/models/{model}/trace/setting",
        summary="Trace other requests of a model (Triton)",
        openapi_extra=takes_json(_EVERY_REQUEST),
    )
    async def change_trace_of_model(model: str, request: Request) -> dict[str, Any]:
        known = _known(model)
        service.traces.change(await json_object(request), known)
        service.observe()
        return service.traces.settings(known)

    def _known(model: str) -> str:
        """The model's name as traces know it. Raises ModelNotFound."""
        return folded(service.table.model(model).name)

    return router

"""Triton's model repository: what is there, and what of it is to be served."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, StrictBool

from app.errors import BodyTooLarge
from app.http.json_body import json_as
from app.http.openapi import takes_json
from app.lifespan import Service
from app.protocols.triton_repository import check_load_parameters, check_unload_parameters, index, loads_no_files


class IndexRequest(BaseModel):
    """Whether only versions that answer are to be listed."""

    ready: StrictBool | None = None


class ChangeRequest(BaseModel):
    """What a load or an unload asks for beyond its path."""

    parameters: dict[str, Any] | None = None


def repository_router(service: Service) -> APIRouter:
    """Index, load and unload. A success of the latter two is an empty 200."""
    router = APIRouter(prefix="/v2/repository", tags=["triton extensions"])

    @router.post(
        "/index",
        summary="Every version that is or could be served, and its state (Triton)",
        openapi_extra=takes_json({"ready": True}),
    )
    async def list_versions(request: Request) -> list[dict[str, str]]:
        asked = await json_as(IndexRequest, request)
        return index(service.table.models.values(), only_ready=bool(asked.ready))

    @router.post(
        "/models/{model}/load",
        summary="Serve a model, answered when it is ready (Triton)",
        response_class=Response,
        openapi_extra=takes_json({}),
    )
    async def load(model: str, request: Request) -> None:
        try:
            asked = await json_as(ChangeRequest, request)
        except BodyTooLarge:  # a file that came along, or a very long configuration
            raise loads_no_files("a load that brings a file or so long a configuration") from None
        check_load_parameters(asked.parameters or {})
        await service.watch.load(model)

    @router.post(
        "/models/{model}/unload",
        summary="Serve a model no more, answered when it is drained (Triton)",
        response_class=Response,
        openapi_extra=takes_json({"parameters": {"unload_dependents": False}}),
    )
    async def unload(model: str, request: Request) -> None:
        asked = await json_as(ChangeRequest, request)
        check_unload_parameters(asked.parameters or {})
        await service.watch.unload(model)

    return router

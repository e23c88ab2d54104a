"""Triton's model repository: what is there, and what of it is to be served."""

from fastapi import APIRouter, Request, Response

from app.http.json_body import documented, json_as
from app.lifespan import Service
from app.protocols.triton_repository import (
    ChangeRequest,
    IndexRequest,
    check_load_parameters,
    check_unload_parameters,
    index,
)

# Such a body holds a few words.
_MOST_BYTES = 65_536


def repository_router(service: Service) -> APIRouter:
    """Index, load and unload. A success of the latter two is an empty 200."""
    router = APIRouter(prefix="/v2/repository", tags=["triton extensions"])

    @router.post(
        "/index",
        summary="Every version that is or could be served, and its state (Triton)",
        openapi_extra=documented({"ready": True}),
    )
    async def list_versions(request: Request) -> list[dict[str, str]]:
        asked = await json_as(IndexRequest, request, _MOST_BYTES)
        return index(service.table.models.values(), only_ready=bool(asked.ready))

    @router.post(
        "/models/{model}/load",
        summary="Serve a model, answered when it is ready (Triton)",
        response_class=Response,
        openapi_extra=documented({}),
    )
    async def load(model: str, request: Request) -> None:
        # whole files may come, which are refused in words that help
        asked = await json_as(ChangeRequest, request, service.max_body_bytes)
        check_load_parameters(asked.parameters or {})
        await service.watch.load(model)

    @router.post(
        "/models/{model}/unload",
        summary="Serve a model no more, answered when it is drained (Triton)",
        response_class=Response,
        openapi_extra=documented({"parameters": {"unload_dependents": False}}),
    )
    async def unload(model: str, request: Request) -> None:
        asked = await json_as(ChangeRequest, request, _MOST_BYTES)
        check_unload_parameters(asked.parameters or {})
        await service.watch.unload(model)

    return router

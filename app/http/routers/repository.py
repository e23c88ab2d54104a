"""Triton's model repository: what is there, and what of it is to be served."""

from fastapi import APIRouter, Request, Response

from app.http.json_body import json_as
from app.lifespan import Service
from app.protocols.triton_repository import IndexRequest, LoadRequest, UnloadRequest, index

# Such a body holds a few words, or files that are refused whatever their size.
_MOST_BYTES = 65_536


def repository_router(service: Service) -> APIRouter:
    """Index, load and unload. What is loaded or unloaded here stays so until somebody says else or a restart."""
    router = APIRouter(prefix="/v2/repository", tags=["triton extensions"])

    @router.post("/index", summary="Every version that is or could be served, and its state (Triton)")
    async def list_versions(request: Request) -> list[dict[str, str]]:
        asked = await json_as(IndexRequest, request, _MOST_BYTES)
        return index(service.table.models.values(), only_ready=bool(asked.ready))

    @router.post("/models/{model}/load", summary="Serve a model, answered when it is ready (Triton)")
    async def load(model: str, request: Request) -> Response:
        asked = await json_as(LoadRequest, request, service.max_body_bytes)
        asked.refuse_overrides()
        await service.watch.load(model)
        return Response()

    @router.post("/models/{model}/unload", summary="Serve a model no more, answered when it is drained (Triton)")
    async def unload(model: str, request: Request) -> Response:
        await json_as(UnloadRequest, request, _MOST_BYTES)
        await service.watch.unload(model)
        return Response()

    return router

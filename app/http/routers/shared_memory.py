"""Shared memory that clients on this host register for their tensors (Triton's shared memory extension)."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict

from app.errors import RegionNotFound, Unsupported
from app.http.json_body import json_as
from app.http.openapi import takes_json
from app.lifespan import Service
from app.protocols.quoting import quoted


class Registration(BaseModel):
    """A stretch of the shared memory that `key` names, as shm_open takes it."""

    model_config = ConfigDict(strict=True)

    key: str
    offset: int = 0
    byte_size: int


def shared_memory_router(service: Service) -> APIRouter:
    """`/v2/systemsharedmemory` and `/v2/cudasharedmemory`. What succeeds without a document answers an empty 200."""
    router = APIRouter(prefix="/v2", tags=["triton extensions"])
    regions = service.regions

    @router.get("/systemsharedmemory/status", summary="Every region of shared memory (Triton)")
    async def all_regions() -> list[dict[str, Any]]:
        return regions.status()

    @router.get("/systemsharedmemory/region/{name}/status", summary="One region of shared memory, in a list (Triton)")
    async def one_region(name: str) -> list[dict[str, Any]]:
        return regions.status(name)

    @router.post(
        "/systemsharedmemory/region/{name}/register",
        summary="Register shared memory under a name (Triton)",
        response_class=Response,
        openapi_extra=takes_json({"key": "/tensors", "offset": 0, "byte_size": 4096}),
    )
    async def register(name: str, request: Request) -> None:
        asked = await json_as(Registration, request)
        regions.register(name, asked.key, asked.offset, asked.byte_size)

    @router.post("/systemsharedmemory/unregister", summary="Forget all shared memory (Triton)", response_class=Response)
    async def unregister_all() -> None:
        regions.unregister()

    @router.post(
        "/systemsharedmemory/region/{name}/unregister",
        summary="Forget a region of shared memory (Triton)",
        response_class=Response,
    )
    async def unregister(name: str) -> None:
        regions.unregister(name)

    _add_cuda(router)
    return router


def _add_cuda(router: APIRouter) -> None:
    """The same paths for CUDA memory: clients that use either kind ask about both."""

    @router.get("/cudasharedmemory/status", summary="Every region of CUDA memory: there is none (Triton)")
    async def all_regions() -> list[dict[str, Any]]:
        return []

    @router.get("/cudasharedmemory/region/{name}/status", summary="A region of CUDA memory: there is none (Triton)")
    async def one_region(name: str) -> None:
        raise RegionNotFound(f"unable to find CUDA shared memory region {quoted(name)}: there is none here")

    @router.post(
        "/cudasharedmemory/region/{name}/register", summary="501: no engine here shares memory of a GPU (Triton)"
    )
    async def register(name: str) -> None:
        raise Unsupported(
            f"CUDA shared memory region {quoted(name)} cannot be registered: no engine here shares memory of a GPU; "
            "use system shared memory, or send the tensors in the body"
        )

    @router.post(
        "/cudasharedmemory/unregister", summary="Forget CUDA memory: there is none (Triton)", response_class=Response
    )
    async def unregister_all() -> None:
        """Clients begin with it when they use shared memory of any kind."""

    @router.post(
        "/cudasharedmemory/region/{name}/unregister",
        summary="Forget CUDA memory: there is none (Triton)",
        response_class=Response,
    )
    async def unregister(_: Annotated[str, Path(alias="name")]) -> None:
        """As in Triton, an unknown region is no error."""

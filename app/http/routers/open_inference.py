"""The Open Inference Protocol (V2): what the server is, how it feels, what its models look like."""

from typing import Any

from fastapi import APIRouter, Response

from app.errors import ModelUnloaded
from app.lifespan import Service
from app.protocols.open_inference_metadata import model_metadata, server_metadata


def open_inference_router(service: Service) -> APIRouter:
    """Server metadata, health, the list of models, their metadata and whether they are ready."""
    router = APIRouter(tags=["open inference protocol"])

    @router.get("/v2", summary="Name, version and extensions of the server (V2)")
    @router.get("/v2/", include_in_schema=False)
    async def server() -> dict[str, Any]:
        return server_metadata(service.version, shared_memory=service.regions.enabled)

    @router.get("/v2/health/live", summary="The process answers (V2)")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/v2/health/ready", summary="Every model to be served is loaded and warm, else 503 (V2)")
    async def ready(response: Response) -> dict[str, bool]:
        if not service.ready:
            response.status_code = 503
        return {"live": True, "ready": service.ready}

    @router.get("/v2/models", summary="Names of the models that are served (V2, as KServe has it)")
    async def models() -> dict[str, list[str]]:
        return {"models": [model.name for model in service.table.to_be_served]}

    @router.get("/v2/models/{model}", summary="Versions and tensors of a model (V2)")
    @router.get("/v2/models/{model}/versions/{version}", summary="Versions of a model, tensors of one (V2)")
    async def metadata(model: str, version: str | None = None) -> dict[str, Any]:
        served = service.table.model(model)
        return model_metadata(served, served.select(version))

    @router.get("/v2/models/{model}/ready", summary="The model can answer, else 503 (V2)")
    @router.get("/v2/models/{model}/versions/{version}/ready", summary="The version can answer, else 503 (V2)")
    async def model_ready(model: str, response: Response, version: str | None = None) -> dict[str, Any]:
        try:
            service.table.select(model, version)
        except ModelUnloaded as error:  # 404 elsewhere, but the name is known: Triton's answer
            response.status_code = 400
            return {"error": str(error)}
        return {"name": service.table.model(model).name, "ready": True}

    return router

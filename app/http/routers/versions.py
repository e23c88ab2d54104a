"""What is served: models, their versions, their metadata; and the order to look at the store now."""

from typing import Any

from fastapi import APIRouter, Response

from app.http.tfserving_route import TfServingRoute
from app.lifespan import Service
from app.protocols.tfserving_status import metadata, status
from app.protocols.tfserving_versions import select


def versions_router(service: Service) -> APIRouter:
    """TensorFlow Serving's status and metadata paths, KServe's list, and `store:refresh`."""
    router = APIRouter(tags=["models"], route_class=TfServingRoute)

    @router.get("/v1/models", summary="Names of the models that are served (KServe)")
    async def list_models() -> dict[str, list[str]]:
        return {"models": [model.name for model in service.table.to_be_served]}

    @router.get("/v1/models/{model}", summary="State of every version, 503 if none can answer (TF Serving, KServe)")
    async def whole_status(model: str, response: Response) -> dict[str, Any]:
        served = service.table.model(model)
        if not served.ready:
            response.status_code = 503
        return status(served)

    @router.get("/v1/models/{model}/versions/{version}", summary="State of a version")
    @router.get("/v1/models/{model}/labels/{label}", summary="State of the version under a label")
    async def model_status(model: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        return status(service.table.model(model), version, label)

    @router.get("/v1/models/{model}/metadata", summary="Signature and metadata (TensorFlow Serving)")
    @router.get("/v1/models/{model}/versions/{version}/metadata", summary="Signature and metadata of a version")
    @router.get("/v1/models/{model}/labels/{label}/metadata", summary="Signature and metadata under a label")
    async def model_metadata(model: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        return metadata(select(service.table.model(model), version, label))

    @router.post("/v1/store:refresh", summary="Look at the store now and answer when what changed is loaded")
    async def refresh() -> dict[str, Any]:
        await service.watch.refresh()
        return {"models": [status(model) for model in service.table.models.values()]}

    return router

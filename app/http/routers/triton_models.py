"""Triton's extensions that look at models: their configuration and their statistics."""

from typing import Any

from fastapi import APIRouter

from app.lifespan import Service
from app.protocols.triton_config import model_config
from app.protocols.triton_statistics import statistics, statistics_as_asked


def triton_models_router(service: Service) -> APIRouter:
    """`config` and `stats`. `/v2/models/stats` is of all models; the store takes none of that name."""
    router = APIRouter(tags=["triton extensions"])

    @router.get("/v2/models/stats", summary="What happened to the requests of all models (Triton)")
    async def all_statistics() -> dict[str, Any]:
        return statistics(servable for model in service.table.models.values() for servable in model.versions.values())

    @router.get("/v2/models/{model}/stats", summary="What happened to the requests of a model (Triton)")
    async def model_statistics(model: str) -> dict[str, Any]:
        served = service.table.model(model)
        served.select()  # raises where nothing of it answers
        return statistics(served.versions.values())

    @router.get("/v2/models/{model}/versions/{version}/stats", summary="Of one version (Triton)")
    async def version_statistics(model: str, version: str) -> dict[str, Any]:
        return statistics_as_asked(service.table.select(model, version), version)

    @router.get("/v2/models/{model}/config", summary="How a model is served, as a ModelConfig (Triton)")
    @router.get("/v2/models/{model}/versions/{version}/config", summary="How a version is served (Triton)")
    async def configuration(model: str, version: str | None = None) -> dict[str, Any]:
        return model_config(service.table.select(model, version))

    return router

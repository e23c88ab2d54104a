"""Triton's extensions that look at models: their configuration and their statistics."""

from typing import Any

from fastapi import APIRouter

from app.lifespan import Service
from app.protocols.triton_config import model_config
from app.protocols.triton_statistics import statistics
from app.serving.servable import Servable


def triton_router(service: Service) -> APIRouter:
    """`config` and `stats`. `/v2/models/stats` is of all models: one of that name is found with its version alone."""
    router = APIRouter(tags=["triton extensions"])

    @router.get("/v2/models/stats", summary="What happened to the requests of all models (Triton)")
    async def all_statistics() -> dict[str, Any]:
        return statistics(servable for model in service.table.models.values() for servable in model.versions.values())

    @router.get("/v2/models/{model}/stats", summary="What happened to the requests of a model (Triton)")
    @router.get("/v2/models/{model}/versions/{version}/stats", summary="Of one version (Triton)")
    async def model_statistics(model: str, version: str | None = None) -> dict[str, Any]:
        return statistics(_servables(model, version))

    @router.get("/v2/models/{model}/config", summary="How a model is served, as a ModelConfig (Triton)")
    @router.get("/v2/models/{model}/versions/{version}/config", summary="How a version is served (Triton)")
    async def configuration(model: str, version: str | None = None) -> dict[str, Any]:
        return model_config(service.table.select(model, version))

    def _servables(name: str, version: str | None) -> list[Servable]:
        """Every version of the model that is loaded, or the one that is named. Raises as `Table.select`."""
        model = service.table.model(name)
        chosen = model.select(version, None)
        return [chosen] if version is not None else list(model.versions.values())

    return router

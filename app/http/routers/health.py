"""Is it alive, is it ready, and what does it count."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from prometheus_client.exposition import choose_encoder

from app.lifespan import Service


def health_router(service: Service) -> APIRouter:
    """`/healthz/live`, `/healthz/ready` and `/metrics`, and where KServe and TensorFlow Serving have such paths."""
    router = APIRouter(tags=["health"])

    @router.get("/", summary="The process answers (KServe)")
    @router.get("/healthz/live", summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/healthz/ready", summary="Every model to be served is loaded and warm, else 503")
    async def ready(response: Response) -> dict[str, Any]:
        if not service.ready:
            response.status_code = 503
        return {
            "ready": service.ready,
            "draining": service.draining,
            "models": {model.name: model.ready for model in service.table.to_be_served},
        }

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    @router.get("/monitoring/prometheus/metrics", summary="Prometheus metrics (TF Serving)", response_class=Response)
    async def metrics(accept: Annotated[str, Header()] = "") -> Response:
        encode, content_type = choose_encoder(accept)
        return Response(encode(service.metrics.registry), media_type=content_type)

    return router

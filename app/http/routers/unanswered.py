"""What TensorFlow Serving and KServe V1 offer beside `:predict`, and no ONNX model can answer."""

from fastapi import APIRouter

from app.errors import Unsupported
from app.http.tfserving_route import TfServingRoute
from app.lifespan import Service
from app.protocols.tfserving_versions import select


def unanswered_router(service: Service) -> APIRouter:
    """`:classify`, `:regress` and `:explain`: an unknown model is told first, then why this one cannot do it."""
    router = APIRouter(tags=["models"], route_class=TfServingRoute, include_in_schema=False)

    @router.post("/v1/models/{model}:classify")
    @router.post("/v1/models/{model}/versions/{version}:classify")
    @router.post("/v1/models/{model}/labels/{label}:classify")
    @router.post("/v1/models/{model}:regress")
    @router.post("/v1/models/{model}/versions/{version}:regress")
    @router.post("/v1/models/{model}/labels/{label}:regress")
    async def classify(model: str, version: str | None = None, label: str | None = None) -> None:
        name = select(service.table.model(model), version, label).identity.model
        raise Unsupported(
            f"model '{name}' can neither classify nor regress: that takes a signature over tf.Example, and an ONNX "
            f"model's is over tensors; POST them to /v1/models/{name}:predict"
        )

    @router.post("/v1/models/{model}:explain")
    async def explain(model: str) -> None:
        name = select(service.table.model(model)).identity.model
        raise Unsupported(f"model '{name}' has no explainer: POST to /v1/models/{name}:predict for its predictions")

    return router

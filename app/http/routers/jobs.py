"""Quantization as a job: ask for it, look at it, cancel it, retry it."""

import re
from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, field_validator

from app.errors import JobNotFound
from app.http.json_body import json_as
from app.http.openapi import takes_json
from app.http.tfserving_route import TfServingRoute
from app.lifespan import Service
from app.protocols.quoting import quoted

_REFUSALS: dict[int | str, dict[str, Any]] = {
    404: {"description": "No such model, version or job."},
    501: {"description": "No jobs here: the server was started without `rows`."},
}
_OVER: dict[int | str, dict[str, Any]] = {
    409: {"description": "The job's state does not allow it; the error says which does."}
}


class QuantizeRequest(BaseModel):
    """What `octet quantize` takes, but for what would run code of a client's."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    calibration: StrictStr
    evaluate: StrictStr | None = None
    image: StrictStr | None = None
    max_drop: float = Field(0.005, ge=0, le=1, strict=True)
    min_speedup: float = Field(1.0, ge=0, le=1000, strict=True)
    recipes: list[StrictStr] = []
    imports: dict[StrictStr, StrictStr] = {}
    exclude: list[StrictStr] = []
    exclude_auto: StrictBool = False
    seed: StrictInt = Field(0, ge=0, lt=1 << 32)
    metric: None = None

    @field_validator("metric", mode="before")
    @classmethod
    def _no_code(cls, value: object) -> object:
        if value is not None:
            raise ValueError("a metric of your own is code, which no request may run; use `octet quantize`")
        return value

    @field_validator("calibration", "evaluate", "image", "recipes", "imports", "exclude")
    @classmethod
    def _fits_a_command_line(cls, value: Any) -> Any:
        texts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else [value]
        if any(re.search("[\0\ud800-\udfff]", text or "") for text in texts):
            raise ValueError("a text may hold no null byte and no half of a surrogate pair")
        return value


def jobs_router(service: Service) -> APIRouter:
    """`:quantize` of a version, and `/v1/jobs`."""
    router = APIRouter(tags=["jobs"], route_class=TfServingRoute, responses=_REFUSALS)
    jobs = service.jobs

    @router.post(
        "/v1/models/{model}/versions/{version}:quantize",
        summary="Make, measure and judge variants of a version, as a job",
        status_code=202,
        openapi_extra=takes_json({"calibration": "calibration.npz", "evaluate": "test.npz"}, required=True),
    )
    async def quantize(model: str, version: str, request: Request, response: Response) -> dict[str, Any]:
        asked = await json_as(QuantizeRequest, request)
        job = await jobs.quantize(model, version, asked.model_dump(exclude={"metric"}))
        response.headers["location"] = f"/v1/jobs/{job.id}"
        return asdict(job)

    @router.get("/v1/jobs", summary="Every job but for what came of it, the oldest first")
    async def list_jobs() -> dict[str, Any]:
        return {"jobs": [asdict(replace(job, result=None)) for job in jobs.all()]}

    @router.get("/v1/jobs/{job}", summary="A job: its state, its progress, what came of it")
    async def one_job(job: str) -> dict[str, Any]:
        return asdict(jobs.job(_number(job)))

    @router.post("/v1/jobs/{job}:cancel", summary="End a job; what it has stored by then stays", responses=_OVER)
    async def cancel(job: str) -> dict[str, Any]:
        return asdict(await jobs.cancel(_number(job)))

    @router.post(
        "/v1/jobs/{job}:retry",
        summary="Queue a job again that failed or was cancelled",
        status_code=202,
        responses=_OVER,
    )
    async def retry(job: str) -> dict[str, Any]:
        return asdict(jobs.retry(_number(job)))

    return router


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise JobNotFound(f"there is no job {quoted(text)}: a job has a number; GET /v1/jobs lists them")
    return int(text)

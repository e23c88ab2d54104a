"""What was measured of a version's variants, as `octet quantize` left it in the store: a page, and JSON."""

import asyncio
import subprocess
import sys

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from app.lifespan import Service
from model_store.errors import NotFound
from model_store.store import Store

# In a process of its own, of the lowest priority: drawing takes two seconds and 90 MB, and must not hold up requests.
_MAKE_PAGE = (sys.executable, "-P", "-m", "engines.quantize.page")
_MOST_SECONDS = 60


def reports_router(service: Service) -> APIRouter:
    """The page of a version and the report of a variant, whether or not it is served."""
    router = APIRouter(tags=["models"])
    one_at_a_time = asyncio.Lock()

    @router.get(
        "/v1/models/{model}/versions/{version}/report",
        summary="What was measured of its variants, as a page",
        response_class=HTMLResponse,
    )
    async def version_report(model: str, version: str) -> HTMLResponse:
        async with one_at_a_time:
            return HTMLResponse(await asyncio.to_thread(_page, service.store, model, version))

    @router.get(
        "/v1/models/{model}/versions/{version}/variants/{variant}/report",
        summary="What was measured of a variant",
        response_class=Response,
    )
    async def variant_report(model: str, version: str, variant: str) -> Response:
        report = await asyncio.to_thread(_report, service.store, model, version, variant)
        return Response(report, media_type="application/json")

    return router


def _report(store: Store, model: str, version: str, variant: str) -> bytes:
    return store.report(store.resolve(model, version), variant)


def _page(store: Store, model: str, version: str) -> bytes:
    record = store.resolve(model, version)
    reports = [store.report(record, variant.name) for variant in record.variants if variant.report]
    if not reports:
        raise NotFound(
            f"no variant of {record} has a report; `octet quantize {record}` makes variants and measures them"
        )
    array = b"[" + b",".join(reports) + b"]"
    made = subprocess.run(_MAKE_PAGE, input=array, capture_output=True, timeout=_MOST_SECONDS, check=False)
    if made.returncode:
        raise RuntimeError(f"the page of {record} was not made: {made.stderr.decode(errors='replace')}")
    return made.stdout

"""What was measured of a version's variants, as `octet quantize` left it in the store: a page, and JSON."""

import asyncio
import subprocess
import sys

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from app.errors import DeadlineExceeded
from app.lifespan import Service
from engines.quantize.page import Content
from engines.quantize.report import from_json
from model_store.errors import Corrupt, NotFound
from model_store.records import VersionRecord
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
    content = _content(store, record).to_json()
    try:
        made = subprocess.run(_MAKE_PAGE, input=content, capture_output=True, timeout=_MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise DeadlineExceeded(
            f"the page of {record} was not made within {_MOST_SECONDS} s, for it gets only what serving leaves: "
            "ask again, or for the report of one variant"
        ) from None
    if made.returncode:
        raise RuntimeError(f"the page of {record} was not made: {made.stderr.decode(errors='replace')}")
    return made.stdout


def _content(store: Store, record: VersionRecord) -> Content:
    """What can be read of the reports, and why the others cannot. Raises NotFound where there are none, Corrupt."""
    reports, unreadable = [], {}
    for variant in (one for one in record.variants if one.report):
        try:
            reports.append(from_json(store.report(record, variant.name)))
        except Corrupt as error:
            unreadable[variant.name] = str(error)
        except ValueError:
            unreadable[variant.name] = "it is none that this Octet knows. Drop the variant and quantize again."
    if reports:
        return Content(tuple(reports), unreadable)
    if unreadable:
        raise Corrupt(f"no report of {record} can be read. {next(iter(unreadable.values()))}")
    raise NotFound(f"no variant of {record} has a report; `octet quantize {record}` makes variants and measures them")

"""The engines of a variant, and what is remembered of those that do not run it."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from app.control import rungs
from app.control.publish import publish
from app.control.rungs import NO_PLAN, TENSORRT, Engines, Fall, Rung, engines_for
from app.metrics import Metrics
from app.serving.lifecycle import VersionKey
from model_store.manifest import Metadata
from model_store.records import VariantRecord, VersionRecord
from model_store.store import Store
from tests import graphs
from tests.fakes.fake_gpu import FAKES, fake_gpu

KEY = VersionKey("m", "1.0.0")
FP32 = VariantRecord("fp32", "onnxruntime", "d0", ())
RECORD = VersionRecord("M", "1.0.0", "", {}, Metadata(), None, datetime.now(UTC), False, (FP32,))
ALL = ("tensorrt", "onnxruntime-cuda", "onnxruntime")
OUT_OF_MEMORY = Fall("load", "out of memory")


@pytest.mark.parametrize(
    ("engine", "has_gpu", "engines"),
    [
        ("onnxruntime", True, ALL),
        ("onnxruntime", False, ("onnxruntime",)),
        ("openvino", True, ("openvino",)),
        ("litert", False, ("litert",)),
    ],
)
def test_what_runs_a_variant(engine: str, has_gpu: bool, engines: tuple[str, ...]) -> None:
    assert engines_for(engine, has_gpu=has_gpu) == engines


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def engines(metrics: Metrics) -> Engines:
    return Engines(metrics, structlog.get_logger(), has_gpu=True)


def fall(engines: Engines, engine: str, why: Fall = OUT_OF_MEMORY) -> bool:
    return engines.fall(KEY, RECORD, Rung(FP32, engine), why)


def test_a_variant_falls_to_the_next_engine_that_has_not_failed_and_never_below_the_last(
    engines: Engines, metrics: Metrics
) -> None:
    assert (engines.of(KEY, FP32), engines.now(KEY, RECORD)) == (ALL, {"fp32": "tensorrt"})
    assert fall(engines, "onnxruntime-cuda")
    assert fall(engines, "tensorrt")
    assert (engines.of(KEY, FP32), fall(engines, "onnxruntime")) == (("onnxruntime",), False)
    assert dict(metrics.engine_fallbacks) == {
        ("M", "1.0.0", "fp32", "onnxruntime-cuda", "onnxruntime", "load"): 1,
        ("M", "1.0.0", "fp32", "tensorrt", "onnxruntime", "load"): 1,
    }
    assert "tensorrt does not run variant fp32: out of memory" in engines.notes(KEY, RECORD)
    engines.forget("other")
    assert engines.of(KEY, FP32) == ("onnxruntime",)
    engines.forget("m")
    assert (engines.of(KEY, FP32), engines.notes(KEY, RECORD)) == (ALL, ())


def test_without_a_gpu_nothing_falls(metrics: Metrics) -> None:
    engines = Engines(metrics, structlog.get_logger(), has_gpu=False)
    assert not fall(engines, "onnxruntime")
    assert (engines.of(KEY, FP32), dict(metrics.engine_fallbacks)) == (("onnxruntime",), {})


def test_a_variant_waits_for_its_plan_whoever_asks_again(engines: Engines) -> None:
    fall(engines, TENSORRT, Fall(NO_PLAN, "not yet"))
    engines.forget()
    assert list(engines.without_plan(KEY, RECORD)) == [FP32]
    assert engines.of(KEY, FP32)[0] == "onnxruntime-cuda"
    engines.planned(KEY, FP32)
    assert (list(engines.without_plan(KEY, RECORD)), engines.of(KEY, FP32)) == ([], ALL)
    fall(engines, TENSORRT, Fall(NO_PLAN, "not yet"))
    fall(engines, TENSORRT, Fall("build", "no tactics"))
    assert (list(engines.without_plan(KEY, RECORD)), engines.of(KEY, FP32)) == ([], ALL[1:])


def test_other_bytes_have_their_own_chance(engines: Engines) -> None:
    fall(engines, TENSORRT)
    other = replace(FP32, digest="d1")
    assert engines.of(KEY, other) == ALL
    engines.keep({KEY: replace(RECORD, variants=(other,))})
    assert engines.of(KEY, FP32) == ALL, "it is forgotten"


# ---- a real process


SCRIPT = """
import asyncio, sys
from pathlib import Path
from app.lifespan import running
from app.logs import Levels
from app.settings import Settings

async def serve():
    async with running(Settings(store=Path(sys.argv[1]), instances=1, threads=1), Levels("error")) as service:
        await service.watch.settled()
        print(service.table.select("m").identity.engine, *service.metrics.engine_fallbacks, file=sys.stderr)

asyncio.run(serve())
print("imported", *(name for name in sys.modules if {"cuda", "pynvml", "tensorrt"} & set(name.split("."))))
"""


def serving(store: Path, pythonpath: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT, store],
        env={"PYTHONPATH": pythonpath},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.splitlines()[-1], done.stdout.splitlines()[-1]


@pytest.fixture
def published(store: Store, tmp_path: Path) -> Path:
    """The folder of a store with a model."""
    file = graphs.save(graphs.doubling(), tmp_path / "m.onnx")
    publish(store, "m", file, "1.0.0", metadata=Metadata(), labels=())
    return tmp_path / "store"


def test_without_a_gpu_nothing_of_one_is_imported(published: Path) -> None:
    served, imported = serving(published, "")
    assert served.startswith("onnxruntime 1")
    assert (len(served.split()), imported) == (2, "imported")


def test_with_one_it_is(published: Path) -> None:
    """Else the test above would prove nothing."""
    served, imported = serving(published, str(FAKES))
    assert served.startswith("onnxruntime 1")
    assert "'no_plan'" in served
    assert {"engines.tensorrt.engine", "tensorrt", "cuda.bindings.runtime", "pynvml"} <= set(imported.split())


def test_a_driver_that_counts_no_device_is_no_gpu() -> None:
    with fake_gpu() as gpu:
        assert rungs.has_gpu()
        gpu.device.count = 0
        assert not rungs.has_gpu()

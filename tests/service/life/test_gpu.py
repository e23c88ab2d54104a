"""A server on a machine with a GPU: the engine that answers, and what becomes of one that does not work.

The GPU, CUDA and TensorRT are the fakes of `tests/fakes`; ONNX Runtime has no CUDA here, which is one of the failures.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests import graphs
from tests.fakes.fake_gpu import FAKES
from tests.service.conftest import Publish, Start
from tests.service.process import Octet, eventually
from tests.service.variants import add_variant
from tests.service.wire import PATIENCE_SECONDS

ROWS = {"x": np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)}
ON_FAKE = "tensorrt 0.0.fake"

Gpu = Callable[..., None]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """`gpu(*faults, memory_bytes=...)`: processes that start from now on have a GPU."""

    def gpu(*faults: str, memory_bytes: int = 1 << 30) -> None:
        monkeypatch.setenv("PYTHONPATH", str(FAKES))
        monkeypatch.setenv("FAKE_GPU_FAULTS", ",".join(faults))
        monkeypatch.setenv("FAKE_GPU_BYTES", str(memory_bytes))

    return gpu


def engine_of(server: Octet, model: str = "m") -> str:
    answer = server.predict(model, {"instances": [[0, 0]]})
    assert answer.status_code == 200, answer.text
    return answer.headers["octet-engine"]


def falls(server: Octet, model: str = "m") -> dict[tuple[str, str, str], float]:
    """From, to and reason of each, and how often."""
    told = [line for line in server.log("another engine runs the variant") if line["model"] == model]
    return {
        (line["from"], line["to"], line["reason"]): server.sample(
            f'octet_engine_fallback_total{{from="{line["from"]}",model="{model}",reason="{line["reason"]}",'
            f'to="{line["to"]}",variant="{line["variant"]}",version="1.0.0"}}'
        )
        for line in told
    }


NO_PLAN = ("tensorrt", "onnxruntime-cuda", "no_plan")
NO_CUDA = ("onnxruntime-cuda", "onnxruntime", "load")


def test_another_engine_answers_until_the_plan_is_built_and_then_tensorrt_does(
    gpu: Gpu, publish: Publish, start: Start
) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    gpu()
    server = start("--refresh-seconds", "0.1")
    assert "fp32 on onnxruntime 1" in server.greeting
    eventually(lambda: engine_of(server) == ON_FAKE, "the plan is built and answers", 60)
    assert server.rows("m", [[1, 5]] * 3) == [[2, 6]] * 3
    assert falls(server) == {NO_PLAN: 1, NO_CUDA: 1}
    (line,) = server.log("another engine answers")
    assert (line["engine"], line["before"]) == ("tensorrt", "onnxruntime")
    status = server.status("m", "1.0.0")
    assert (status["engine"], status["variants"][0]["engine"]) == (ON_FAKE, "tensorrt")
    server.stop()

    again = start()
    assert f"fp32 on {ON_FAKE}" in again.greeting, "it finds the plan"
    assert falls(again) == {}
    again.stop()


@pytest.mark.parametrize("fault", ["nan", "mixed 4", "context", "plan", "surprise"])
def test_what_does_not_work_falls_to_the_next_engine_and_is_told(
    fault: str, gpu: Gpu, publish: Publish, start: Start
) -> None:
    """NaN, rows of others, full memory, a plan that does not load, a bug: found before it answers anybody."""
    publish("m", "1.0.0", graphs.adding(1))
    gpu(fault)
    server = start("--refresh-seconds", "0.1")
    reason = "parity" if fault == "nan" else "load"
    eventually(lambda: ("tensorrt", "onnxruntime", reason) in falls(server), "TensorRT is tried", 60)
    assert server.rows("m", [[1, 5]] * 4) == [[2, 6]] * 4
    assert engine_of(server).startswith("onnxruntime 1")
    assert falls(server) == {NO_PLAN: 1, NO_CUDA: 1, ("tensorrt", "onnxruntime", reason): 1}
    notes = server.status("m", "1.0.0")["notes"]
    assert "tensorrt does not run variant fp32: " in notes
    assert "onnxruntime-cuda does not run variant fp32: this ONNX Runtime has no CUDA" in notes
    assert server.get("/healthz/ready").status_code == 200
    server.stop()


def test_a_plan_that_cannot_be_built_is_told_until_somebody_asks_again(
    gpu: Gpu, publish: Publish, start: Start
) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    gpu("build")
    server = start("--refresh-seconds", "0.1")
    eventually(lambda: ("tensorrt", "onnxruntime", "build") in falls(server), "the build fails", 60)
    assert engine_of(server).startswith("onnxruntime 1")
    assert "no tactics" in server.status("m", "1.0.0")["notes"]
    server.refresh()
    eventually(lambda: falls(server)["tensorrt", "onnxruntime", "build"] == 2, "it is tried again", 60)
    server.stop()


def test_a_version_is_ready_while_its_plan_is_built_and_a_server_that_ends_leaves_no_build_behind(
    gpu: Gpu, publish: Publish, start: Start
) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    gpu("stuck")
    server = start()
    eventually(lambda: server.log("a plan is being built; another engine answers meanwhile"), "it builds")
    this = psutil.Process(server.process.pid)
    (child,) = eventually(this.children, "a process builds")
    assert server.get("/healthz/ready").status_code == 200
    server.refresh()
    assert server.rows("m", [[1, 5]]) == [[2, 6]]
    assert falls(server)[NO_PLAN] == 1, "it is waited for"
    server.stop()
    psutil.wait_procs([child], PATIENCE_SECONDS)
    assert not child.is_running()


def test_a_model_that_the_gpu_has_no_room_for_leaves_the_others_there(gpu: Gpu, publish: Publish, start: Start) -> None:
    publish("small", "1.0.0", graphs.adding(1))
    publish("large", "1.0.0", graphs.identity("float32", ["N", 1 << 14]))
    gpu(memory_bytes=1 << 20)
    server = start("--refresh-seconds", "0.1")
    eventually(lambda: engine_of(server, "small") == ON_FAKE, "the small one is on the GPU", 60)
    eventually(lambda: ("tensorrt", "onnxruntime", "load") in falls(server, "large"), "the large one is tried", 60)
    assert "out of memory" in server.status("large", "1.0.0")["notes"]
    assert "lower instances or max_batch_rows" in server.status("large", "1.0.0")["notes"]
    assert server.rows("large", [[1] * (1 << 14)]) == [[1] * (1 << 14)]
    assert engine_of(server, "small") == ON_FAKE
    server.stop()


def test_variants_are_measured_in_the_engines_that_run_them(
    tmp_path: Path, gpu: Gpu, publish: Publish, start: Start
) -> None:
    """What was measured on the processor says nothing here."""
    store = publish("m", "1.0.0", graphs.adding(1))
    record = add_variant(store, tmp_path, store.resolve("m"), "fp16", graphs.adding(1.001), speedup=9.0, rows=ROWS)
    gpu()
    server = start("--refresh-seconds", "0.1")
    eventually(lambda: server.log("speed of a variant is measured"), "fp16 is measured", 90)
    (line,) = server.log("speed of a variant is measured")
    assert (line["variant"], line["engine"]) == ("fp16", "tensorrt")
    (kept,) = (tmp_path / "store" / "cache" / "measured" / "speed").rglob("tensorrt-beside-tensorrt/*")
    assert kept.name == record.variants[1].digest
    server.stop()

"""Plans on a fake device: what is asked of it, in which order, and what becomes of its failures."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from engines import samples
from engines.engine import Array, Engine
from engines.errors import InputRefused, LoadError, RunError
from engines.onnx_file import read_onnx
from engines.tensorrt import engine as engine_module
from engines.tensorrt.build import Bounds, BuildSettings
from engines.tensorrt.context import Form
from engines.tensorrt.engine import TensorRtEngine, load
from engines.tensorrt.module import RTX, Module
from engines.tensorrt.opener import opener
from engines.tensorrt.plans import Plans, Target
from tests.fakes.fake_gpu import FAKES, FakeGpu, open_here, plan_here
from tests.graphs import identity, linear, model, node, save, value

Opened = Callable[..., TensorRtEngine]

TO_8 = BuildSettings(rows=Bounds(1, 4, 8), lengths=Bounds(1, 4, 16))
WEIGHTS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


@pytest.fixture
def opened(gpu: FakeGpu, tmp_path: Path) -> Iterator[Opened]:
    """Opens models on the fake device, for batches of at most 8 rows; in the end nothing may be left there."""
    engines: list[TensorRtEngine] = []

    def open_model(made: ModelProto, *, instances: int = 1, graphs: bool = True) -> TensorRtEngine:
        path = tmp_path / "model.onnx"
        onnx.save(made, path)
        signature = read_onnx(path).signature
        engine = open_here(path, signature, instances=instances, settings=TO_8, graphs=graphs)
        engines.append(engine)
        return engine

    yield open_model
    for engine in engines:
        engine.close()
    assert gpu.device.left_behind == {}


def rows_of(count: int) -> Array:
    return np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)


def is_right(engine: Engine) -> None:
    runner = engine.runner()
    for count in (1, 3, 8, 2, 5):
        assert np.allclose(runner.run({"x": rows_of(count)})["y"], rows_of(count) @ WEIGHTS, atol=1e-5)


# ---- buckets and graphs


def test_every_size_runs_before_it_is_captured(opened: Opened, gpu: FakeGpu) -> None:
    opened(linear(WEIGHTS))
    asked = [call for call in gpu.device.calls if call.startswith(("kernel", "capture"))]
    first = asked[: asked.index("capture", asked.index("capture") + 1) + 1]
    assert first == ["kernel 1", "kernel 1", "capture", "kernel 2", "kernel 2", "capture"]
    assert asked.count("capture") == 4


def test_a_batch_is_one_launch_of_the_next_size(opened: Opened, gpu: FakeGpu) -> None:
    runner = opened(linear(WEIGHTS)).runner()
    gpu.device.calls.clear()
    runner.run({"x": rows_of(3)})
    assert gpu.device.calls == ["launch", f"in {4 * 4 * 4}", "kernel 4", f"out {4 * 3 * 4}"]


def test_without_graphs_the_same_is_asked_for_bit_by_bit(opened: Opened, gpu: FakeGpu) -> None:
    runner = opened(linear(WEIGHTS), graphs=False).runner()
    assert "capture" not in gpu.device.calls
    gpu.device.calls.clear()
    runner.run({"x": rows_of(3)})
    assert gpu.device.calls == [f"in {4 * 4 * 4}", "kernel 4", f"out {4 * 3 * 4}"]


def test_answers_are_right_at_every_size_and_with_more_rows_than_before(opened: Opened) -> None:
    is_right(opened(linear(WEIGHTS)))
    is_right(opened(linear(WEIGHTS), graphs=False))


@pytest.mark.parametrize(
    "fault",
    ["capture", "graph", "cudaStreamBeginCapture", "cudaGraphInstantiate", "cudaGraphUpload", "cudaGraphLaunch"],
)
def test_what_cannot_be_captured_runs_without(fault: str, opened: Opened, gpu: FakeGpu) -> None:
    gpu.faults.add(fault)
    if fault.startswith("cuda"):
        from cuda.bindings import runtime

        gpu.device.fails[fault] = runtime.cudaError_t.cudaErrorInvalidValue
    engine = opened(linear(WEIGHTS))
    gpu.device.calls.clear()
    is_right(engine)
    assert "launch" not in gpu.device.calls


def test_the_order_of_the_inputs_does_not_matter(opened: Opened, gpu: FakeGpu) -> None:
    ends = [value("a"), value("b", shape=["N", 3])], [value("y", shape=["N", 5])]
    runner = opened(model([node("Concat", ["a", "b"], ["y"], axis=1)], *ends)).runner()
    gpu.device.calls.clear()
    a, b = np.ones((2, 2), np.float32), np.zeros((2, 3), np.float32)
    assert runner.run({"b": b, "a": a})["y"].tolist() == [[1, 1, 0, 0, 0]] * 2
    assert gpu.device.calls[0] == "launch"


def test_more_rows_than_the_plan_was_built_for_are_refused(opened: Opened) -> None:
    engine = opened(linear(WEIGHTS))
    assert engine.max_rows == 8
    with pytest.raises(InputRefused, match="9 rows came, and this variant was built for at most 8"):
        engine.runner().run({"x": rows_of(9)})


def test_other_lengths_than_the_usual_run_without_a_graph(opened: Opened, gpu: FakeGpu) -> None:
    total = model(
        [node("ReduceSum", ["x", "axis"], ["y"], keepdims=0)],
        [value("x", shape=["N", "L"])],
        [value("y", shape=["N"])],
        {"axis": np.array([1])},
    )
    runner = opened(total).runner()
    for length, launches in ((4, 1), (7, 0), (16, 0), (4, 1)):
        gpu.device.calls.clear()
        assert runner.run({"x": np.ones((3, length), np.float32)})["y"].tolist() == [length] * 3
        assert gpu.device.calls.count("launch") == launches
    with pytest.raises(InputRefused, match=r"\[4, 17\], and this variant was built for \[1, 1\] to \[8, 16\]"):
        runner.run({"x": np.ones((3, 17), np.float32)})


def test_tensorrt_rtx_compiles_its_kernels_before_it_serves(
    opened: Opened, gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its contexts are made in another way, which the fake is strict about."""
    import tensorrt

    monkeypatch.setattr(engine_module, "load_module", lambda **_: Module(RTX, "1.7.1", tensorrt))
    engine = opened(linear(WEIGHTS))
    assert engine.name == "tensorrt-rtx 1.7.1"
    is_right(engine)


def test_an_output_that_is_larger_than_it_was_said_to_be_is_told(gpu: FakeGpu, tmp_path: Path) -> None:
    """The largest lengths fit no bias, so nobody knows how large their sum is."""
    lengths = [value("x", shape=["N", "L"])], [value("y", shape=["N", "L"])]
    path = save(model([node("Add", ["x", "b"], ["y"])], *lengths, {"b": np.ones(3, np.float32)}), tmp_path / "m.onnx")
    settings = BuildSettings(rows=Bounds(1, 4, 8), lengths=Bounds(1, 3, 16))
    with pytest.raises(LoadError, match=r"cannot run the model here: .* \[1, 3\], which is more than .* at most"):
        open_here(path, read_onnx(path).signature, settings=settings)


def test_rows_too_large_to_make_up_many_are_padded(
    opened: Opened, gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MOST_SAMPLE_BYTES", 3 * 4 * 4)
    engine = opened(linear(WEIGHTS))
    assert [form.shapes["x"] for form in engine.runner().forms] == [(1, 4), (2, 4), (4, 4), (8, 4)]


# ---- what padding would falsify


def test_rows_that_depend_on_their_neighbours_are_refused_at_loading(opened: Opened, gpu: FakeGpu) -> None:
    softmax = model([node("Softmax", ["x"], ["y"], axis=0)], [value("x")], [value("y")])
    with pytest.raises(LoadError, match="'y' of a row depends on the rows beside it"):
        opened(softmax)
    assert gpu.device.left_behind == {}


def test_a_batch_that_the_output_has_not_is_refused_at_loading(opened: Opened) -> None:
    doubled = model([node("Concat", ["x", "x"], ["y"], axis=0)], [value("x")], [value("y", shape=["M", 2])])
    doubled.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "N"  # so says the file
    with pytest.raises(LoadError, match="'y' has no entry for each row"):
        opened(doubled)


# ---- failures


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("plan", "cannot load the plan: Serialization assertion"),
        ("context", "out of memory"),
        ("run", "did not run the batch: .*out of memory"),
    ],
)
def test_what_fails_at_loading_is_said_in_its_words(fault: str, words: str, opened: Opened, gpu: FakeGpu) -> None:
    gpu.faults.add(fault)
    with pytest.raises(LoadError, match=words):
        opened(linear(WEIGHTS))
    assert gpu.device.left_behind == {}


def test_a_model_that_does_not_fit_leaves_the_others_in_peace(opened: Opened, gpu: FakeGpu) -> None:
    engine = opened(linear(WEIGHTS))
    gpu.device.memory_bytes = gpu.device.used_bytes + 4300  # the kernels' memory and one input
    before = gpu.device.left_behind
    with pytest.raises(LoadError, match=r"out of memory .*; lower instances or max_batch_rows"):
        opened(linear(WEIGHTS))
    assert gpu.device.left_behind == before
    is_right(engine)


@pytest.mark.parametrize("instances", [1, 3])
def test_every_instance_has_memory_of_its_own(instances: int, opened: Opened, gpu: FakeGpu) -> None:
    opened(linear(WEIGHTS), instances=instances)
    assert gpu.device.left_behind["memory"] == 3 * instances  # input, output, what kernels work in
    assert gpu.device.left_behind["streams"] == instances


@pytest.mark.parametrize("graphs", [False, True])
def test_a_run_that_fails_is_told_and_the_next_one_runs(graphs: bool, opened: Opened, gpu: FakeGpu) -> None:
    from cuda.bindings import runtime

    runner = opened(linear(WEIGHTS), graphs=graphs).runner()
    gpu.device.fails["cudaEventSynchronize"] = runtime.cudaError_t.cudaErrorIllegalAddress
    with pytest.raises(RunError, match="cudaEventSynchronize failed"):
        runner.run({"x": rows_of(2)})
    gpu.device.fails.clear()
    assert np.allclose(runner.run({"x": rows_of(2)})["y"], rows_of(2) @ WEIGHTS, atol=1e-5)


def test_full_memory_while_running_is_told_and_the_next_one_runs(opened: Opened, gpu: FakeGpu) -> None:
    runner = opened(linear(WEIGHTS), graphs=False).runner()
    gpu.faults.add("run")
    with pytest.raises(RunError, match="out of memory"):
        runner.run({"x": rows_of(2)})
    gpu.faults.clear()
    assert np.allclose(runner.run({"x": rows_of(2)})["y"], rows_of(2) @ WEIGHTS, atol=1e-5)


def test_without_a_device_nothing_of_tensorrt_is_touched(opened: Opened, gpu: FakeGpu) -> None:
    from cuda.bindings import runtime

    gpu.device.answer = runtime.cudaError_t.cudaErrorNoDevice
    with pytest.raises(LoadError, match="no NVIDIA GPU here"):
        opened(linear(WEIGHTS))


def test_a_dtype_that_tensorrt_narrows_is_refused_before_a_build(opened: Opened, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"runs no float64 \('x'\), float64 \('y'\), only .*; serve this model with"):
        opened(identity("float64", ("N", 2)))
    assert not (tmp_path / "plans").exists()


def test_a_plan_of_another_dtype_than_the_signature_s_is_refused(gpu: FakeGpu, tmp_path: Path) -> None:
    path = save(identity("float32", ("N", 2)), tmp_path / "model.onnx")
    plan = plan_here(path, read_onnx(path).signature)
    save(identity("int32", ("N", 2)), path)
    with pytest.raises(LoadError, match="'x' of the plan is float32, its signature says int32"):
        load(path, read_onnx(path).signature, instances=1, threads=1, plan=plan)


def test_a_plan_that_was_pruned_before_it_is_read_is_told(gpu: FakeGpu, tmp_path: Path) -> None:
    path = save(linear(WEIGHTS), tmp_path / "model.onnx")
    plan = plan_here(path, read_onnx(path).signature)
    Plans(tmp_path / "plans").prune(())
    with pytest.raises(LoadError, match=r"plan cannot be read: No such file or directory; load the model again"):
        load(path, read_onnx(path).signature, instances=1, threads=1, plan=plan)


def test_whatever_else_goes_wrong_leaves_no_memory_behind(
    opened: Opened, gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second worker's warm-up fails in a way that nobody foresaw."""
    worked = iter([engine_module.warm_up])

    def warm_up(*arguments: Any, **named: Any) -> list[Form]:
        return next(worked)(*arguments, **named)

    monkeypatch.setattr(engine_module, "warm_up", warm_up)
    with pytest.raises(StopIteration):
        opened(linear(WEIGHTS), instances=2)
    assert gpu.device.left_behind == {}


# ---- from the ONNX file, with a child process that builds


def test_what_a_child_built_runs(gpu: FakeGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FAKES))
    onnx.save(linear(WEIGHTS), tmp_path / "model.onnx")
    opens = opener(folder=str(tmp_path / "plans"), settings=asdict(TO_8))
    engine = opens(tmp_path / "model.onnx", read_onnx(tmp_path / "model.onnx").signature, instances=1, threads=1)
    is_right(engine)
    engine.close()
    (plan,) = Plans(tmp_path / "plans").all()
    assert plan.made.target == Target("tensorrt", "0.0.fake", "FAKE GPU (ONNX Runtime on the CPU)", "01", "13.0")

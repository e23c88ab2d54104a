"""Plans that TensorRT-RTX really builds, in a child process: kept, found again, and what comes of it when it cannot."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from engines.elsewhere import python_of
from engines.errors import LoadError
from engines.onnx_file import read_onnx
from engines.tensorrt.build import Bounds, BuildSettings
from engines.tensorrt.build_apart import obtain, target_there
from engines.tensorrt.plans import Plan, Plans, Target
from tests.engines.tensorrt_rtx.conftest import DIGITS
from tests.graphs import doubling, model, node, save, value

FP32 = DIGITS / "digits.onnx"
SETTINGS = BuildSettings(rows=Bounds(1, 4, 8))

Progress = Callable[[str, float], None]


@pytest.fixture(scope="module")
def target() -> Target:
    return target_there()


@pytest.fixture
def plans(tmp_path: Path) -> Plans:
    return Plans(tmp_path / "plans")


class Told:
    """What was told of the progress."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def __call__(self, what: str, share: float) -> None:
        self.shares.append(share)


def plan_of(path: Path, plans: Plans, target: Target, told: Progress, settings: BuildSettings = SETTINGS) -> Plan:
    return obtain(path, read_onnx(path).signature, settings, target, plans, told)


def files(plans: Plans) -> set[str]:
    return {path.suffix for path in plans.folder.iterdir()}


@pytest.mark.parametrize(("name", "precision"), [("fp32", "fp32"), ("fp16", "fp16"), ("int8-tensorrt", "int8")])
def test_a_plan_is_built_once_and_then_found(
    name: str, precision: str, variants: dict[str, Path], plans: Plans, target: Target
) -> None:
    first, second = Told(), Told()
    built = plan_of(variants[name], plans, target, first)
    assert built.path.stat().st_size == built.bytes > 100_000
    assert set(built.facts.precisions.values()) == {precision}
    assert built.facts.layers > 10
    assert first.shares == sorted(first.shares)
    assert 0 <= first.shares[0] < first.shares[-1] <= 1
    assert plan_of(variants[name], plans, target, second) == built
    assert second.shares == []
    assert files(plans) == {".plan", ".json", ""}


def test_another_setting_is_another_plan(plans: Plans, target: Target) -> None:
    one = plan_of(FP32, plans, target, Told())
    other = plan_of(FP32, plans, target, Told(), replace(SETTINGS, tf32=False))
    assert one.path != other.path
    assert plans.all() == sorted([one, other], key=lambda plan: plan.path)


def test_a_corrupt_plan_is_built_again(plans: Plans, target: Target) -> None:
    built = plan_of(FP32, plans, target, Told())
    built.path.write_bytes(b"\0" * built.bytes)
    told = Told()
    again = plan_of(FP32, plans, target, told)
    assert told.shares
    assert again.path.read_bytes().strip(b"\0")
    assert plans.find(again.made) == again


def test_the_library_takes_a_plan_as_its_own_and_no_corrupt_one(plans: Plans, target: Target) -> None:
    plan = plan_of(FP32, plans, target, Told())
    script = (
        "import sys, tensorrt_rtx as trt; log = trt.Logger(trt.Logger.ERROR); runtime = trt.Runtime(log); "
        "read = lambda plan: runtime.get_engine_validity(plan)[0].name; "
        "plan = open(sys.argv[1], 'rb').read(); print(read(plan), read(b'x' * len(plan)))"
    )
    asked = [python_of("tensorrt"), "-c", script, plan.path]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert said.stdout.split()[-1:] == ["INVALID"]


def test_two_who_want_the_same_plan_build_it_once(plans: Plans, target: Target) -> None:
    tellers = Told(), Told()
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda told: plan_of(FP32, plans, target, told), tellers)
    assert one == other
    assert sorted(bool(told.shares) for told in tellers) == [False, True]


def end_child(number: signal.Signals, fifo: Path) -> None:
    """Once the child that builds waits for what it shall read of the pipe."""
    with fifo.open("wb"):
        (child,) = [one for one in psutil.Process().children() if "engines.tensorrt.child" in one.cmdline()]
        child.send_signal(number)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "ended by SIGKILL, as is done where memory runs short"),
        (signal.SIGSEGV, "ended by SIGSEGV; it said last: "),
    ],
)
def test_a_child_that_ends_is_an_error_and_leaves_nothing(
    number: signal.Signals, words: str, plans: Plans, target: Target
) -> None:
    plans.folder.mkdir()
    os.mkfifo(plans.timings(target))
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(end_child, number, plans.timings(target))
        with pytest.raises(LoadError, match=f"^TensorRT cannot build: its process was {words}"):
            plan_of(FP32, plans, target, Told())
        ended.result()
    assert files(plans) == {".timings", ""}


def test_a_build_ends_at_its_time(plans: Plans, target: Target) -> None:
    signature = read_onnx(FP32).signature
    with pytest.raises(LoadError, match=r"^TensorRT cannot build: it was not done within 0.001 s$"):
        obtain(FP32, signature, SETTINGS, target, plans, Told(), most_seconds=0.001)
    assert files(plans) == {""}


def test_what_the_parser_refuses_is_not_built(variants: dict[str, Path], plans: Plans, target: Target) -> None:
    with pytest.raises(LoadError, match=r"^TensorRT refuses the model: node 'view_Qu.*' \(DynamicQuantizeLinear\)"):
        plan_of(variants["int8-dynamic"], plans, target, Told())
    assert files(plans) == {""}


def test_what_would_be_read_as_something_else_is_refused_before_a_child_is_asked(
    variants: dict[str, Path], plans: Plans, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTET_TOOLS", "nowhere")
    with pytest.raises(LoadError, match="it quantizes to uint8, which TensorRT would take for int8"):
        plan_of(variants["int8"], plans, target, Told())
    assert not plans.folder.exists()


def test_a_plan_is_built_only_for_what_it_was_asked_for(plans: Plans, target: Target) -> None:
    with pytest.raises(LoadError, match=r"was asked for tensorrt 11.4.*, and here is tensorrt_rtx 1\."):
        plan_of(FP32, plans, Target("tensorrt", "11.4"), Told())


def test_bounds_that_are_none_are_told_of_with_what_tensorrt_says(plans: Plans, target: Target) -> None:
    with pytest.raises(LoadError, match=r"tensorrt_rtx cannot prepare for the shapes .*image"):
        plan_of(FP32, plans, target, Told(), BuildSettings(rows=Bounds(8, 4, 2)))


def test_a_workspace_that_is_too_small_is_told_of(variants: dict[str, Path], plans: Plans, target: Target) -> None:
    with pytest.raises(LoadError, match=r"tensorrt_rtx cannot build the model: .*within workspace limit"):
        plan_of(variants["fp16"], plans, target, Told(), replace(SETTINGS, workspace_bytes=1 << 20))


def test_lengths_that_the_model_cannot_have_are_told_of(plans: Plans, target: Target, tmp_path: Path) -> None:
    """Its parser takes it: only the shapes of a profile show what cannot be."""
    bias = {"bias": np.ones(3, np.float32)}
    lengths = [value("x", shape=("N", "L"))], [value("y", shape=("N", "L"))]
    path = save(model([node("Add", ["x", "bias"], ["y"])], *lengths, bias), tmp_path / "m.onnx")
    with pytest.raises(LoadError, match=r"violate shape constraints.*; set tensorrt_lengths to what") as raised:
        plan_of(path, plans, target, Told(), replace(SETTINGS, lengths=Bounds(1, 4, 8)))
    assert "/_src/" not in str(raised.value)


def test_a_model_without_products_has_a_plan_too(plans: Plans, target: Target, tmp_path: Path) -> None:
    assert plan_of(save(doubling(), tmp_path / "d.onnx"), plans, target, Told()).facts.precisions == {}


def test_without_any_tensorrt_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCTET_TOOLS", str(tmp_path))
    with pytest.raises(LoadError, match=rf"no TensorRT that works here, and no {tmp_path}/tensorrt: .*`make tools`"):
        target_there()


_PARENT = """
import sys
from pathlib import Path
from engines.onnx_file import read_onnx
from engines.tensorrt.build import BuildSettings
from engines.tensorrt.build_apart import obtain, target_there
from engines.tensorrt.plans import Plans

path, folder = map(Path, sys.argv[1:])
told = lambda what, done: (print(what, flush=True), sys.stdin.read())
obtain(path, read_onnx(path).signature, BuildSettings(), target_there(), Plans(folder), told)
"""


def test_a_server_that_is_killed_while_it_builds_leaves_a_cache_that_works(plans: Plans, target: Target) -> None:
    words = [sys.executable, "-c", _PARENT, str(FP32), str(plans.folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        os.kill(parent.pid, signal.SIGKILL)
    assert plans.all() == []
    assert any(path.name.startswith("building-") for path in plans.folder.iterdir())
    built = plan_of(FP32, plans, target, Told())
    assert files(plans) == {".plan", ".json", ""}
    assert plans.all() == [built]

"""TensorRT-RTX itself, as far as it goes without a GPU: it refuses plans, and what it says is told."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from engines.elsewhere import python_of
from tests.fakes.fake_gpu import FAKES
from tests.graphs import doubling

SCRIPT = """
import sys
from pathlib import Path
sys.path.append(sys.argv[1])
import tensorrt_rtx
from engines.onnx_file import read_onnx
from engines.tensorrt.build import BuildSettings, build
from engines.tensorrt.device import Cuda
from engines.tensorrt.engine import TensorRtEngine
from engines.tensorrt.module import Module
from engines.tensorrt.reading import Reading
onnx, plan = Path(sys.argv[2]), sys.argv[3].encode()
module = Module("tensorrt_rtx", tensorrt_rtx.__version__, tensorrt_rtx)
if plan == b"its own":
    shapes = {"x": ((1, 2), (8, 2), (8, 2))}
    build(Reading(module, onnx), shapes, BuildSettings(), b"", onnx.parent, lambda what, share: None)
    plan = next(onnx.parent.glob("*plan*")).read_bytes()
cuda = Cuda()
cuda.device()
TensorRtEngine(read_onnx(onnx).signature, plan, cuda, module, {}, instances=1, graphs=True)
"""


@pytest.mark.parametrize(
    ("plan", "words"),
    [("nothing that it made " * 99, "Serialization"), ("its own", "CUDA driver version is insufficient")],
)
def test_a_plan_that_it_cannot_load_is_a_load_error_in_its_words(plan: str, words: str, tmp_path: Path) -> None:
    onnx.save(doubling(), tmp_path / "model.onnx")
    library = next(python_of("tensorrt").parents[1].glob("lib/python*/site-packages"))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, library, tmp_path / "model.onnx", plan],
        env=os.environ | {"PYTHONPATH": str(FAKES)},  # a device is needed to come that far
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("engines.errors.LoadError: tensorrt-rtx ")
    assert words in last
    assert " at /_src/" not in last

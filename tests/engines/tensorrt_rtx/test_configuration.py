"""What the library is told, asked of the library itself in its own environment."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engines.elsewhere import python_of
from tests.engines.tensorrt_rtx.conftest import DIGITS

_BEGIN = """
import json, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")  # RTX has the calls for times, and says that they do nothing
from engines.errors import LoadError
from engines.tensorrt import build as building
from engines.tensorrt.build import BuildSettings, Bounds, build
from engines.tensorrt.module import Module, WHOLE, load_module
from engines.tensorrt.reading import Reading

path, folder = map(Path, sys.argv[1:])
module = load_module(has_device=False)
"""


def ask(script: str, folder: Path) -> Any:
    """What the script prints as JSON."""
    words = [python_of("tensorrt"), "-c", _BEGIN + script, str(DIGITS / "digits.onnx"), str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": "."})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("tf32", [True, False])
def test_every_setting_reaches_the_library(tf32: bool, tmp_path: Path) -> None:
    script = f"""
settings = BuildSettings(workspace_bytes=3 << 20, optimization_level=4, tf32={tf32})
config = building._configured(Reading(module, path), settings)
print(json.dumps([
    config.get_memory_pool_limit(module.api.MemoryPoolType.WORKSPACE),
    config.builder_optimization_level,
    config.get_flag(module.api.BuilderFlag.TF32),
    config.get_flag(module.api.BuilderFlag.REQUIRE_USER_ALLOCATION),
    config.max_aux_streams,
    config.profiling_verbosity.name,
]))
"""
    assert ask(script, tmp_path) == [3 << 20, 4, tf32, True, 0, "DETAILED"]


def test_an_input_that_the_model_has_not_is_no_part_of_a_profile(tmp_path: Path) -> None:
    script = """
try:
    build(Reading(module, path), {"imgae": [(1, 1, 8, 8)] * 3}, BuildSettings(), b"", folder, print)
except LoadError as error:
    print(json.dumps(str(error)))
"""
    assert ask(script, tmp_path) == "the model has no inputs ['imgae'], only ['image']"


def test_what_a_build_learns_of_kernels_is_kept_where_the_module_learns(tmp_path: Path) -> None:
    """RTX plays the part of TensorRT, whose calls it has."""
    script = """
module = Module(WHOLE, module.version, module.api)
shapes, sizes = {"image": [(1, 1, 8, 8), (4, 1, 8, 8), (8, 1, 8, 8)]}, []
for known in (b"", b"of another version", None):
    known = (folder / "timings").read_bytes() if known is None else known
    build(Reading(module, path), shapes, BuildSettings(), known, folder, lambda what, done: None)
    sizes.append((folder / "timings").stat().st_size)
print(json.dumps(sizes))
"""
    sizes = ask(script, tmp_path)
    assert len(sizes) == 3
    assert all(sizes)
    assert {path.name for path in tmp_path.iterdir()} == {"plan", "timings"}

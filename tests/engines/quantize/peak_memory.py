"""`python -m tests.engines.quantize.peak_memory TASK FOLDER`: how much a task's peak exceeds what was there."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from engines.onnx_file import read_onnx
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Options, Source
from engines.quantize.recipes import RECIPES
from engines.quantize.rows import RowsSpec
from engines.signature import Signature, TensorSpec

COLUMNS = 64
YIELDED_ROWS = 256
PICTURE = Signature((TensorSpec("x", "float32", (-1, 3, 256, 256)),), (), 0)
TABLE = Signature((TensorSpec("x", "float32", (-1, COLUMNS)),), (), 0)


def pictures() -> Iterator[dict[str, np.ndarray]]:  # type: ignore[type-arg]
    """Rows of a module: 786 kB each."""
    for number in range(YIELDED_ROWS // 8):
        yield {"x": np.full((8, 3, 256, 256), number, np.float32)}


def make(recipe: str, folder: Path) -> None:
    """Follow the recipe with `folder/rows.npz` on `folder/model.onnx`."""
    (chosen,) = (one for one in RECIPES if one.name == recipe)
    source = Source(folder / "model.onnx", read_onnx(folder / "model.onnx").signature)
    rows = open_rows(RowsSpec(str(folder / "rows.npz")), source.signature)
    (folder / recipe).mkdir()
    chosen.make(source, rows, folder / recipe, Options(), lambda what, done: None)


def read(spec: RowsSpec, signature: Signature) -> None:
    """Every row, in batches."""
    for _ in open_rows(spec, signature).batches(16):
        pass


def task(name: str, folder: Path) -> Callable[[], None]:
    """What is measured."""
    specs = {
        "npz": (RowsSpec(str(folder / "pictures.npz")), PICTURE),
        "csv": (RowsSpec(str(folder / "table.csv")), TABLE),
        "images": (RowsSpec(str(folder / "images"), "resize 256"), PICTURE),
        "module": (RowsSpec(f"{__spec__.name}:pictures"), PICTURE),  # type: ignore[name-defined]
    }
    return partial(read, *specs[name]) if name in specs else partial(make, name, folder)


def peak_bytes(what: str) -> int:
    """VmHWM, the largest so far, or VmRSS, what there is now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


if __name__ == "__main__":
    chosen = task(sys.argv[1], Path(sys.argv[2]))
    before = peak_bytes("VmRSS")
    chosen()
    print(peak_bytes("VmHWM") - before)  # noqa: T201

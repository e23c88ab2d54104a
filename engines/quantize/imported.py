"""What was quantized elsewhere, a Q/DQ ONNX file, an OpenVINO IR or a .tflite: measured and judged like our own."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from engines.errors import QuantizeError
from engines.onnx_file import read_onnx
from engines.quantize.recipe import Made, Options, Progress, Source
from engines.quantize.rows import Rows
from engines.signature import incompatibilities
from engines.trial import prove_it_loads

_ENGINES = {".onnx": "onnxruntime", ".xml": "openvino", ".tflite": "litert"}


@dataclass(frozen=True, slots=True)
class Imported:
    """A recipe that takes a file as it is; see `engines.quantize.recipe.Recipe`."""

    name: str
    path: Path
    summary: str = "quantized elsewhere"
    needs: tuple[str, ...] = ()
    tool: str | None = None
    calibrates: bool = False
    is_candidate: bool = False

    @property
    def engine(self) -> str:
        """By the file's ending. Raises QuantizeError."""
        engine = _ENGINES.get(self.path.suffix)
        if engine is None:
            raise QuantizeError(f"{self.path.name} is none of the files that can be taken in: {', '.join(_ENGINES)}")
        return engine

    def refuses(self, source: Source) -> str | None:
        return None

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        """Copy it with what it refers to, once a process of its own could run it.

        A client of the source must not notice that it is another file.
        """
        details = {"method": "imported", "file": self.path.name}
        if not self.path.is_file():
            raise QuantizeError(f"{self.path} is not there; give the file that was quantized")
        beside = self._beside(source)
        prove_it_loads(self.engine, self.path, source.signature)
        main = Path(shutil.copy(self.path, folder / self.path.name))
        return Made(main, {name: _copied(path, folder / name) for name, path in beside.items()}, details)

    def _beside(self, source: Source) -> dict[str, Path]:
        """The files that this one refers to, by the names it gives them. Raises QuantizeError, ModelFileError."""
        if self.engine == "onnxruntime":
            model = read_onnx(self.path)
            differences = incompatibilities(source.signature, model.signature)
            if differences:
                raise QuantizeError(f"{self.path.name} does not keep the signature of its source: {differences[0]}")
            return dict(model.external)
        weights = self.path.with_suffix(".bin")
        return {weights.name: weights} if self.engine == "openvino" and weights.is_file() else {}


def _copied(path: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(path, to))

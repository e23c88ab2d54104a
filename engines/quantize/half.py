"""Half precision: weights and arithmetic in 16 bits, inputs and outputs as before; needs no rows."""

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16

from engines.quantize.onnxruntime_prepare import prepare
from engines.quantize.onnxruntime_write import write_quantized
from engines.quantize.recipe import Made, Options, Progress, Source
from engines.quantize.rows import Rows
from engines.quantize.weights import held_constants


@dataclass(frozen=True, slots=True)
class Half:
    """A recipe; see `engines.quantize.recipe.Recipe`."""

    name: str
    summary: str
    why_never: str | None = None
    """Why ONNX Runtime runs no such model."""
    is_candidate: bool = False
    engine: str = "onnxruntime"
    needs: tuple[str, ...] = ()
    tool: str | None = None
    calibrates: bool = False

    def refuses(self, source: Source) -> str | None:
        if self.why_never is not None:
            return self.why_never
        weights = held_constants(onnx.load(source.path, load_external_data=False)).values()
        if any(tensor.data_type == onnx.TensorProto.FLOAT for tensor in weights):
            return None
        return "the model has no FP32 weights to halve"

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        progress("converting", 0.0)
        prepared = prepare(source.path, folder, options.exclude)

        def write(path: Path) -> None:
            onnx.save(halve(onnx.load(prepared.path), prepared.excluded), path)

        made = write_quantized(folder, write)
        return Made(made, details={"method": "half precision", "weights": "fp16", "excluded": list(options.exclude)})


def halve(model: ModelProto, excluded: list[str]) -> ModelProto:
    """The model in FP16, but for its inputs, its outputs and the nodes `excluded`."""
    _forget_shapes_of_weights(model)
    halved = ONNXModel(convert_float_to_float16(model, keep_io_types=True, node_block_list=excluded))
    halved.topological_sort()  # the casts were appended at the end
    made: ModelProto = halved.model
    return made


def _forget_shapes_of_weights(model: ModelProto) -> None:
    """The converter would take those for computed tensors, and halve them where an excluded node keeps its own."""
    weights = {tensor.name for tensor in model.graph.initializer}
    computed = [value for value in model.graph.value_info if value.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(computed)


HALF = (
    Half("fp16", "half precision: smaller, not faster on a processor"),
    Half(
        "bf16",
        "half precision with the range of FP32",
        why_never="ONNX Runtime's processor provider loads no BF16 model; try bf16-openvino, or fp16",
    ),
)

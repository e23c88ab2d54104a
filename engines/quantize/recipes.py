"""All recipes."""

from engines.quantize.bias_correction import CORRECTED
from engines.quantize.half import HALF
from engines.quantize.litert import LITERT
from engines.quantize.onnxruntime_dynamic import DYNAMIC
from engines.quantize.onnxruntime_static import STATIC
from engines.quantize.openvino_float import OPENVINO_FLOAT
from engines.quantize.openvino_nncf import OPENVINO_INT8
from engines.quantize.pt2e import PT2E
from engines.quantize.recipe import Recipe
from engines.quantize.tensorrt_modelopt import MODEL_OPTIMIZER
from engines.quantize.tensorrt_static import TENSORRT
from engines.quantize.weight_only import WEIGHT_ONLY

FROM_NETWORK: tuple[Recipe, ...] = (*PT2E, *LITERT)
"""Those that start from the user's PyTorch module, and are tried by themselves only where it is given."""
RECIPES: tuple[Recipe, ...] = (
    *STATIC,
    *CORRECTED,
    *DYNAMIC,
    *WEIGHT_ONLY,
    *HALF,
    *TENSORRT,
    *MODEL_OPTIMIZER,
    *OPENVINO_FLOAT,
    *OPENVINO_INT8,
    *FROM_NETWORK,
)
"""In the order in which they are tried and shown."""

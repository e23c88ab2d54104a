"""All recipes."""

from engines.quantize.bias_correction import CORRECTED
from engines.quantize.half import HALF
from engines.quantize.onnxruntime_dynamic import DYNAMIC
from engines.quantize.onnxruntime_static import STATIC
from engines.quantize.openvino_float import OPENVINO_FLOAT
from engines.quantize.recipe import Recipe
from engines.quantize.tensorrt_static import TENSORRT
from engines.quantize.weight_only import WEIGHT_ONLY

RECIPES: tuple[Recipe, ...] = (*STATIC, *CORRECTED, *DYNAMIC, *WEIGHT_ONLY, *HALF, *TENSORRT, *OPENVINO_FLOAT)
"""In the order in which they are tried and shown."""

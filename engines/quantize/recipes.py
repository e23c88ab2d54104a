"""All recipes."""

from engines.quantize.onnxruntime_dynamic import DYNAMIC
from engines.quantize.onnxruntime_static import STATIC
from engines.quantize.recipe import Recipe

RECIPES: tuple[Recipe, ...] = (*STATIC, *DYNAMIC)
"""In the order in which they are tried and shown."""

"""All recipes."""

from engines.quantize.onnxruntime_static import STATIC
from engines.quantize.recipe import Recipe

RECIPES: tuple[Recipe, ...] = STATIC
"""In the order in which they are tried and shown."""

"""What is tried on each model, and which two of it show what a means gains."""

from typing import NamedTuple

from onnxruntime.quantization import CalibrationMethod

from engines.quantize.bias_correction import Corrected
from engines.quantize.calibration import Method
from engines.quantize.onnxruntime_static import Static
from engines.quantize.recipe import Recipe
from engines.quantize.recipes import RECIPES
from engines.quantize.weight_only import WeightOnly

LEFT_OUT = (1, 2, 4)
"""So many of the worst layers stay in FP32, in the order of `--exclude-auto`."""

_PERCENTILE_99_9 = Method("Percentile", CalibrationMethod.Percentile, {"percentile": 99.9})

VARIATIONS: tuple[Recipe, ...] = (
    Static("int8-percentile-99.9", "cuts 0.1 % of the values off", _PERCENTILE_99_9),
    Corrected("int8-per-tensor-corrected", "", Static("int8-per-tensor", "", per_channel=False)),
    Corrected("int8-smooth-corrected", "", Static("int8-smooth", "", smooths=True)),
    WeightOnly("int4-weight-128", "by blocks of 128", bits=4, block=128),
    WeightOnly("int4-weight-gptq-128", "by blocks of 128", bits=4, block=128, compensates=True),
)
"""No recipes of the product, but its code with one option changed, to see what that would be worth."""


class Key(NamedTuple):
    """What a trial is of: a recipe, with so many of its worst layers left out."""

    recipe: str
    left_out: int = 0

    def __str__(self) -> str:
        return f"`{self.recipe}`" + (f", {self.left_out} left out" if self.left_out else "")


class Case(NamedTuple):
    """A recipe, also with up to so many of its worst layers left out."""

    recipe: str
    most_left_out: int = 0

    def outcomes(self) -> list[Key]:
        """All that comes of it."""
        return [Key(self.recipe), *(Key(self.recipe, count) for count in LEFT_OUT if count <= self.most_left_out)]


CASES = (
    Case("int8-per-tensor"),
    Case("int8-per-tensor-corrected"),
    Case("int8-symmetric"),
    Case("int8", most_left_out=4),
    Case("int8-percentile"),
    Case("int8-percentile-99.9"),
    Case("int8-entropy"),
    Case("int8-corrected"),
    Case("int8-smooth", most_left_out=4),
    Case("int8-smooth-corrected"),
    Case("int8-dynamic"),
    Case("int8-dynamic-smooth"),
    Case("int8-weight"),
    Case("int8-openvino"),
    Case("int8-openvino-accuracy"),
    Case("int8-pt2e"),
    Case("int8-qat"),
    Case("int8-litert"),
    Case("int8-dynamic-litert"),
    Case("int4-weight", most_left_out=1),
    Case("int4-weight-hqq"),
    Case("int4-weight-gptq"),
    Case("int4-weight-128"),
    Case("int4-weight-gptq-128"),
)


class Means(NamedTuple):
    """What may bring accuracy back: what has it, and what differs from that in nothing else."""

    name: str
    on: Key
    off: Key


MEANS = (
    Means("a scale for each channel of the weights", Key("int8"), Key("int8-per-tensor")),
    Means("zero points moved to the data", Key("int8"), Key("int8-symmetric")),
    Means("0.001 % of the values cut off", Key("int8-percentile"), Key("int8")),
    Means("0.1 % of the values cut off", Key("int8-percentile-99.9"), Key("int8")),
    Means("entropy calibration", Key("int8-entropy"), Key("int8")),
    Means("bias correction", Key("int8-corrected"), Key("int8")),
    Means("the same with one scale a weight", Key("int8-per-tensor-corrected"), Key("int8-per-tensor")),
    Means("the same after SmoothQuant", Key("int8-smooth-corrected"), Key("int8-smooth")),
    Means("SmoothQuant, static", Key("int8-smooth"), Key("int8")),
    Means("SmoothQuant, dynamic", Key("int8-dynamic-smooth"), Key("int8-dynamic")),
    *(
        Means(f"the worst layers left out: {count}", Key(recipe, count), Key(recipe))
        for recipe in ("int8", "int8-smooth")
        for count in LEFT_OUT
    ),
    Means("scales taken from what comes (dynamic)", Key("int8-dynamic"), Key("int8")),
    Means("trained to be rounded (QAT)", Key("int8-qat"), Key("int8-pt2e")),
    Means("scales of each row (LiteRT)", Key("int8-dynamic-litert"), Key("int8-litert")),
    Means("weights alone in 8 bits", Key("int8-weight"), Key("int8")),
    Means("zero points fitted (HQQ)", Key("int4-weight-hqq"), Key("int4-weight")),
    Means("errors made up for (GPTQ)", Key("int4-weight-gptq"), Key("int4-weight")),
    Means("blocks of 32 rather than 128", Key("int4-weight"), Key("int4-weight-128")),
    Means("the same with GPTQ", Key("int4-weight-gptq"), Key("int4-weight-gptq-128")),
    Means("the worst layer left out", Key("int4-weight", 1), Key("int4-weight")),
)


def recipe_of(case: Case) -> Recipe:
    """The recipe itself."""
    return next(recipe for recipe in (*RECIPES, *VARIATIONS) if recipe.name == case.recipe)

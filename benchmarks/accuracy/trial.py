"""One recipe on one model, made and measured as `octet quantize` does it, but for speed."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from app.lifespan import OPEN_ENGINES
from benchmarks.accuracy.cases import LEFT_OUT, Case, Key, recipe_of
from benchmarks.accuracy.results import Trial
from benchmarks.accuracy.trained import Model
from engines.errors import EngineError
from engines.machine import usable_cores
from engines.quantize import tools
from engines.quantize.layers import measure_layers, worst_layer
from engines.quantize.open_rows import open_rows
from engines.quantize.quality import compare
from engines.quantize.recipe import Made, Options, Recipe
from engines.quantize.reference import Reference
from engines.quantize.report import Quality
from engines.quantize.sides import opened


def reference_of(model: Model) -> closing[Reference]:
    """The model's own answers to its rows, as a context."""
    rows = open_rows(model.evaluation, model.source.signature)
    return closing(Reference(model.source, OPEN_ENGINES["onnxruntime"], rows, usable_cores()))


def trials(model: Model, reference: Reference, case: Case) -> Iterator[Trial]:
    """The recipe as it is, then without its worst layers; what cannot be made says why."""
    recipe = recipe_of(case)
    left = case.outcomes()
    why_not = tools.missing(recipe) or recipe.refuses(model.source)
    if why_not is None:
        try:
            for trial in _trials(model, reference, recipe, case.most_left_out):
                left.remove(trial.key)
                yield trial
            why_not = "no further layer can be left out"
        except EngineError as error:
            why_not = str(error)
    yield from (Trial(model.name, key, skipped=why_not) for key in left)


def _trials(model: Model, reference: Reference, recipe: Recipe, most_left_out: int) -> Iterator[Trial]:
    exclude: tuple[str, ...] = ()
    for count in range(most_left_out + 1):
        with TemporaryDirectory(prefix="octet-accuracy-") as folder:
            made = _make(model, recipe, Path(folder), Options(exclude))
            if count in (0, *LEFT_OUT):
                size = _bytes(made) / model.source.path.stat().st_size
                quality = _quality(model, reference, recipe, made)
                yield Trial(model.name, Key(recipe.name, count), exclude, size, quality)
            if count == most_left_out:
                return
            worst = worst_layer(measure_layers(model.source, made.main, reference.rows), exclude)
            if worst is None:
                return
            exclude = (*exclude, worst)


def _make(model: Model, recipe: Recipe, folder: Path, options: Options) -> Made:
    calibration = model.calibration if recipe.calibrates else None
    if recipe.tool is not None:
        return tools.make(recipe, model.source, calibration, folder, options, _silent)
    rows = open_rows(calibration, model.source.signature) if calibration else None
    return recipe.make(model.source, rows, folder, options, _silent)


def _silent(_: str, __: float) -> None:
    """Nobody is told of the progress."""


def _quality(model: Model, reference: Reference, recipe: Recipe, made: Made) -> Quality:
    load = OPEN_ENGINES[recipe.engine]
    with opened(made.main, model.source.signature, load, reference.rows, reference.cores) as variant:
        return compare(reference, variant.answering, reference.rows, model.metric, seed=0)


def _bytes(made: Made) -> int:
    return sum(path.stat().st_size for path in (made.main, *made.external.values()))

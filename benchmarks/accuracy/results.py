"""What was measured: kept as JSON, shown as tables on the terminal and in the documentation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.accuracy.cases import CASES, MEANS, Key
from benchmarks.accuracy.trained import MODELS
from engines.quantize.report import Quality

KEPT = Path(__file__).with_suffix(".json")

# A recipe that leaves this share of the bytes found next to nothing to quantize: what it costs says nothing.
_UNTOUCHED = 0.9

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one recipe on one model."""

    model: str
    key: Key
    excluded: tuple[str, ...] = ()
    """The layers that were left out, in this order."""
    size: float | None = None
    """Bytes, as a share of the source's."""
    quality: Quality | None = None
    skipped: str = ""
    """Why there is nothing."""


_TRIALS = TypeAdapter(tuple[Trial, ...])


def save(trials: Sequence[Trial], path: Path) -> None:
    """Keep them, each in place of what was kept of the same recipe on the same model."""
    kept = {(trial.model, trial.key): trial for trial in (*(load(path) if path.exists() else ()), *trials)}
    path.write_bytes(_TRIALS.dump_json(tuple(kept.values()), indent=1) + b"\n")


def load(path: Path = KEPT) -> tuple[Trial, ...]:
    """All that are kept."""
    return _TRIALS.validate_json(path.read_bytes())


def errors(trials: Sequence[Trial]) -> Iterator[Row]:
    """A head, and a row a recipe: the size, and on each model the signal-to-noise and the drop."""
    found, models = _found(trials), _models(trials)
    yield ("recipe", "size", *(head for model in models for head in (f"{model}, dB", "drop")))
    for key in (key for case in CASES for key in case.outcomes()):
        own = [found.get((model, key)) for model in models]
        sizes = " · ".join("–" if trial is None else f"{trial.size:.2f}" for trial in own)
        yield (str(key), sizes, *(cell for trial in own for cell in _error(trial)))


def gains(trials: Sequence[Trial]) -> Iterator[Row]:
    """A head, and a row a means: the dB that it adds on each model."""
    found, models = _found(trials), _models(trials)
    yield ("means", "without it", "with it", *models)
    for means in MEANS:
        pairs = ((found.get((model, means.on)), found.get((model, means.off))) for model in models)
        yield (means.name, str(means.off), str(means.on), *(_gain(on, off) for on, off in pairs))


def _found(trials: Sequence[Trial]) -> dict[tuple[str, Key], Trial]:
    """Those that tell something."""
    return {(trial.model, trial.key): trial for trial in trials if trial.size is not None and trial.size < _UNTOUCHED}


def _models(trials: Sequence[Trial]) -> list[str]:
    measured = {trial.model for trial in trials}
    return [model for model in MODELS if model in measured]


def _error(trial: Trial | None) -> Row:
    if trial is None or trial.quality is None:
        return ("", "")
    drop = trial.quality.drop
    return (f"{trial.quality.sqnr_db:.1f}", f"{100 * drop.estimate:.2f} ({100 * drop.high:.2f})")


def _gain(on: Trial | None, off: Trial | None) -> str:
    if on is None or off is None or on.quality is None or off.quality is None:
        return ""
    return f"{on.quality.sqnr_db - off.quality.sqnr_db:+.1f}"

"""What was found out about a variant on one host: the report, its only form from measuring to page and gate.

Plain values that go to JSON and come back (`to_json`, `from_json`); times in milliseconds, signal-to-noise in dB.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

MOST_DB = 200.0
"""A signal-to-noise that says: equal. JSON has no infinity, and the rounding of float32 itself is at 150 dB."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one run over interleaved rounds: median, and the quartiles as spread."""

    median_ms: float
    low_ms: float
    high_ms: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one variant is, with one thread for the latencies."""

    batch_1: Timing
    batch_8: Timing | None
    """None where one of the two would not be served in batches of 8."""
    rows_per_second: float
    """With all cores busy, in the best of the tried splits and batch sizes."""


@dataclass(frozen=True, slots=True)
class Speed:
    """The variant beside its source, measured in turns in one run, as each would be served."""

    host: dict[str, Any]
    fingerprint: str
    source: Pace
    variant: Pace
    batch_1_ratio: float
    """Source / variant, the median of the rounds: above 1 the variant is faster."""
    batch_8_ratio: float | None
    throughput_ratio: float


@dataclass(frozen=True, slots=True)
class Speedup:
    """How much faster than its source a variant is on one host, each as it would be served: by it, one is chosen."""

    throughput_ratio: float
    """Rows a second, with all cores busy."""
    batch_1_ratio: float
    """Of a lone row."""
    batched: bool
    """Whether it was measured in batches."""

    @property
    def least(self) -> float:
        """Where it gains least."""
        return min(self.throughput_ratio, self.batch_1_ratio)


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its two-sided confidence interval."""

    estimate: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Quality:
    """How the variant answers, beside its source, on the evaluation rows."""

    rows: int
    metric: str
    """`accuracy`, `agreement` (no labels: share of rows with the source's top-1), `cosine` (no scores either), or the
    user's `module:function`. The more, the better."""
    source: float
    variant: float
    drop: Interval
    """source - variant, paired."""
    broken: int | None
    """Rows that only the source gets right; None where a row can be half right."""
    fixed: int | None
    """Rows that only the variant gets right."""
    agreement: float | None
    """Share of rows with the same top-1 as the source; None where outputs are no scores."""
    cosine: float
    """Mean over rows between the variant's and the source's outputs."""
    max_error: float
    """Largest absolute difference of an output value."""
    sqnr_db: float
    """Power of the source's outputs over that of the difference, at most MOST_DB."""


@dataclass(frozen=True, slots=True)
class BatchMates:
    """Whether a row's answer depends on the rows that share its batch."""

    invariant: bool
    difference: float
    """Largest change, as a share of the output's scale, at most 1."""
    tolerance: float
    batched: bool
    """Whether it is measured, and would be served, in batches."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One quantized tensor against the same in FP32, worst first in the report."""

    node: str
    operator: str
    tensor: str
    sqnr_db: float
    predicted_sqnr_db: float | None
    """Of the uniform model, error = step x U[-1/2, 1/2]; None where the step is not known."""
    advice: str
    share: float | None = None
    """Of the noise in the model's outputs, what would go if the node stayed in FP32; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate said."""

    passed: bool
    reasons: tuple[str, ...]
    """Why not; of a passed one, what it was measured by."""
    max_drop: float
    min_speedup: float
    rows_needed: int | None = None
    """Rows that an evaluation set must have for this allowed drop, where there were too few."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What went in."""

    source_digest: str
    calibration: str | None
    """SHA-256 of the calibration rows."""
    evaluation: str
    seed: int
    details: dict[str, Any]
    """What the recipe says it did."""


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    model: str
    version: str
    variant: str
    engine: str
    recipe: str
    bytes: int
    source_bytes: int
    seconds: float
    """To make it."""
    quality: Quality
    speed: Speed
    batch_mates: BatchMates
    layers: tuple[Layer, ...]
    verdict: Verdict
    lineage: Lineage


_REPORT = TypeAdapter(Report)


def to_json(report: Report) -> bytes:
    """As kept in the store beside the variant."""
    return _REPORT.dump_json(report, indent=1)


def from_json(text: bytes) -> Report:
    """Read back. Raises ValueError on anything else."""
    return _REPORT.validate_json(text)

"""The gate: may a variant serve? A pure decision on what was measured."""

from dataclasses import dataclass
from math import ceil

from engines.quantize.report import BatchMates, Quality, Report, Speed, Verdict
from engines.quantize.statistics import rows_needed


@dataclass(frozen=True, slots=True)
class Limits:
    """What a variant must keep to."""

    max_drop: float
    """Of the metric, as the metric counts: 0.005 is half a percentage point of accuracy."""
    min_speedup: float = 1.0
    """Over the source, for a lone row and at full load."""


def judge(quality: Quality, speed: Speed, mates: BatchMates, limits: Limits) -> Verdict:
    """Passed is a variant whose drop is surely inside the limit, and that is fast enough as it would be served."""
    needed = _rows_needed(quality, limits.max_drop)
    against = [*_drop_reasons(quality, limits.max_drop, needed), *_speed_reasons(speed, limits), *_mates_reasons(mates)]
    reasons = against or _merits(quality, speed, mates)
    return Verdict(not against, tuple(reasons), limits.max_drop, limits.min_speedup, needed)


def is_accurate(report: Report) -> bool:
    """The part of a report's verdict that is not of one machine: all but the speed."""
    quality, allowed = report.quality, report.verdict.max_drop
    return not [*_drop_reasons(quality, allowed, None), *_mates_reasons(report.batch_mates)]


def _rows_needed(quality: Quality, max_drop: float) -> int | None:
    """How many rows would do where these are too few: the measured drop is allowed, but not its doubt."""
    drop = quality.drop
    if drop.high <= max_drop or drop.estimate >= max_drop:
        return None
    if quality.broken is not None and quality.fixed is not None:
        return rows_needed(max_drop, quality.broken, quality.fixed)
    narrower = (drop.high - drop.estimate) / (max_drop - drop.estimate)
    return ceil(quality.rows * narrower**2)


def _drop_reasons(quality: Quality, max_drop: float, needed: int | None) -> list[str]:
    drop = quality.drop
    if drop.high <= max_drop:
        return []
    said = f"{quality.metric} drops by {drop.estimate:.2%}, {_at_most(quality)}; {max_drop:.2%} is allowed"
    if needed is None:
        return [said]
    return [f"{said}. {quality.rows} rows are too few to tell: at least {needed} are needed, if none of them breaks"]


def _speed_reasons(speed: Speed, limits: Limits) -> list[str]:
    ratios = {"for a lone row": speed.batch_1_ratio, "at full load": speed.throughput_ratio}
    return [
        f"{ratio:.2f} times as fast as its source {where}; at least {limits.min_speedup:.2f} is asked for"
        for where, ratio in ratios.items()
        if ratio < limits.min_speedup
    ]


def _mates_reasons(mates: BatchMates) -> list[str]:
    if mates.invariant or not mates.batched:
        return []
    changes = f"answers change by {mates.difference:.2g} of their scale with batch mates"
    return [f"{changes} ({mates.tolerance:.2g} allowed) and it was measured in batches; measure it unbatched"]


def _merits(quality: Quality, speed: Speed, mates: BatchMates) -> list[str]:
    served = "" if mates.batched else ", served unbatched"
    return [
        f"{quality.metric} drops by {quality.drop.estimate:.2%}, {_at_most(quality)}",
        f"{speed.batch_1_ratio:.2f} times as fast for a lone row, {speed.throughput_ratio:.2f} at full load{served}",
    ]


def _at_most(quality: Quality) -> str:
    return f"at most {quality.drop.high:.2%} ({quality.drop.confidence:.0%} sure, {quality.rows} rows)"

"""What the gate says of made-up variants."""

from dataclasses import dataclass, replace

import pytest

from engines.quantize.gate import Limits, is_accurate, judge
from engines.quantize.report import BatchMates, Interval, Pace, Quality, Speed, Timing, from_json, to_json
from engines.quantize.statistics import agresti_min
from tests.engines.quantize.made_reports import report

HALF_A_PERCENT = Limits(max_drop=0.005)
PACE = Pace(Timing(1.0, 0.9, 1.1), None, 1000.0)


def quality(rows: int, broken: int = 0, fixed: int = 0) -> Quality:
    right = 0.99
    return Quality(
        rows=rows,
        metric="accuracy",
        source=right,
        variant=right - (broken - fixed) / rows,
        drop=agresti_min(rows, broken, fixed),
        broken=broken,
        fixed=fixed,
        agreement=1.0,
        cosine=1.0,
        max_error=0.1,
        sqnr_db=30.0,
    )


def speed(batch_1: float = 3.0, throughput: float = 3.0) -> Speed:
    return Speed({}, "0" * 16, PACE, PACE, batch_1, None, throughput)


def mates(*, invariant: bool = True, batched: bool = True) -> BatchMates:
    return BatchMates(invariant, 0.0 if invariant else 0.04, 1e-3, batched)


GOOD, FAST, FREE = quality(540), speed(), mates()


@dataclass(frozen=True)
class Case:
    passed: bool
    quality: Quality = GOOD
    speed: Speed = FAST
    mates: BatchMates = FREE
    limits: Limits = HALF_A_PERCENT
    words: str = ""
    needed: int | None = None


USERS_OWN = replace(quality(200), metric="m:f", broken=None, fixed=None)
CASES = {
    "nothing lost, thrice as fast": Case(True, words="accuracy drops by 0.00%, at most 0.36%"),
    "better than its source": Case(True, quality(540, fixed=3)),
    "enough rows, none broken": Case(True, quality(390)),
    "one row too few": Case(False, quality(389), words="389 rows are too few to tell: at least 390", needed=390),
    "one broken": Case(False, quality(540, broken=1), words="at least 753 are needed", needed=753),
    "one broken of enough": Case(True, quality(753, broken=1)),
    "one broken, one fixed": Case(False, quality(540, 1, 1), needed=677),
    "far worse: more rows are no help": Case(False, quality(540, broken=54), words="drops by 10.00%"),
    "far worse, and allowed": Case(True, quality(540, broken=5), limits=Limits(0.03)),
    "no drop allowed at all": Case(False, quality(10**6), limits=Limits(0.0)),
    "as fast as its source": Case(True, speed=speed(1.0, 1.0)),
    "slower for a lone row": Case(False, speed=speed(0.99, 3.0), words="0.99 times as fast as its source for a lone"),
    "slower at full load": Case(False, speed=speed(3.0, 0.9), words="0.90 times as fast as its source at full load"),
    "slower, for its size": Case(True, speed=speed(0.8, 0.9), limits=Limits(0.005, min_speedup=0.5)),
    "fast, but not as fast as asked": Case(False, limits=Limits(0.005, min_speedup=4.0), words="at least 4.00"),
    "rows depend on their mates": Case(True, mates=mates(invariant=False, batched=False), words="served unbatched"),
    "mates matter and it is slow alone": Case(
        False, speed=speed(2.0, 0.7), mates=mates(invariant=False, batched=False)
    ),
    "mates matter and it was batched": Case(False, mates=mates(invariant=False), words="measure it unbatched"),
    "a user's metric": Case(True, replace(USERS_OWN, drop=Interval(0.001, -0.001, 0.004, 0.95))),
    "a user's metric, in doubt": Case(
        False, replace(USERS_OWN, drop=Interval(0.001, -0.007, 0.009, 0.95)), words="m:f drops by 0.10%", needed=800
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_verdict(case: Case) -> None:
    verdict = judge(case.quality, case.speed, case.mates, case.limits)
    assert verdict.passed == case.passed
    assert case.words in " | ".join(verdict.reasons)
    assert verdict.rows_needed == case.needed
    assert (verdict.max_drop, verdict.min_speedup) == (case.limits.max_drop, case.limits.min_speedup)


@pytest.mark.parametrize(
    ("accurate", "quality", "speed", "mates"),
    [
        (True, GOOD, FAST, FREE),
        (True, GOOD, speed(0.5, 0.5), FREE),
        (False, quality(389), FAST, FREE),
        (False, quality(540, broken=54), speed(0.5, 0.5), FREE),
        (True, GOOD, FAST, mates(invariant=False, batched=False)),
        (False, GOOD, FAST, mates(invariant=False)),
    ],
)
def test_what_holds_on_every_machine_is_all_but_the_speed(
    accurate: bool, quality: Quality, speed: Speed, mates: BatchMates
) -> None:
    verdict = judge(quality, speed, mates, HALF_A_PERCENT)
    made = replace(report(), quality=quality, speed=speed, batch_mates=mates, verdict=verdict)
    assert is_accurate(from_json(to_json(made))) is accurate


def test_every_reason_is_told() -> None:
    verdict = judge(quality(540, broken=54), speed(0.5, 0.5), mates(invariant=False), HALF_A_PERCENT)
    assert len(verdict.reasons) == 4

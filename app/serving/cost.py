"""What a batch of some size costs on this machine, as measured: decides whether it is worth a thread."""

from collections.abc import Hashable, Mapping
from itertools import islice

# Handing a batch to a worker thread and back costs 100-150 us on a busy core. A batch that runs for less than this
# bound runs on the event loop itself, which it blocks no longer than a large request's decoding does.
LOOP_BOUND_SECONDS = 0.0005

# A batch on the loop that used this much processor time was no cheap one.
OVERRUN_SECONDS = 10 * LOOP_BOUND_SECONDS

# Whatever disturbs a run only adds to it (another process on the core, another thread with the lock), so the estimate
# follows a faster run at once and a slower one only when it stays. This settles near the fastest tenth.
DOWN = 0.25
UP = 0.02
# Shapes a client makes up must not grow the table without end; what is forgotten is measured again.
MOST_GROUPS = 256
# A row may cost this much more than at best, so that fewer wait for each other.
HARDLY_MORE = 1.02


class CostTable:
    """Seconds a batch, by group (shapes behind the batch axis) and power of two of its rows."""

    def __init__(self) -> None:
        self._seconds: dict[Hashable, dict[int, float]] = {}
        self._varies = False

    def expected(self, group: Hashable, rows: int) -> float | None:
        """What a batch about as large costs when nothing disturbs it; None when none was seen yet."""
        known = self._seconds.get(group)
        return None if known is None else known.get(rows.bit_length())

    def runs_on_loop(self, group: Hashable, rows: int) -> bool:
        """Whether such a batch is known to be cheaper than a thread hop is worth."""
        seconds = self.expected(group, rows)
        return seconds is not None and seconds < LOOP_BOUND_SECONDS and not self._varies

    def overran(self) -> None:
        """A batch that was thought cheap kept the loop waiting: what it costs depends on its values, not its size.

        None of this model runs on the loop from then on.
        """
        self._varies = True

    def by_rows(self) -> dict[int, float]:
        """Seconds a batch by its rows (the power of two below), for the shapes the model was warmed up with."""
        first = next(iter(self._seconds.values()), {})
        return {1 << size - 1: seconds for size, seconds in sorted(first.items()) if size}

    def observe(self, group: Hashable, rows: int, seconds: float) -> None:
        """Take in a measured run."""
        known = self._seconds.get(group)
        if known is None:
            if len(self._seconds) >= MOST_GROUPS:
                del self._seconds[next(islice(self._seconds, 1, None))]  # the first one is the warm-up's
            known = self._seconds[group] = {}
        size = rows.bit_length()
        before = known.get(size, seconds)
        known[size] = before + (seconds - before) * (DOWN if seconds < before else UP)


def worth_joining(seconds: Mapping[int, float], most_rows: int) -> int:
    """How many rows a batch should have at most, given the seconds that batches of 1, 2, 4, ... rows take.

    The fewest that cost hardly more each than they do at best: larger batches give no throughput and keep their first
    rows waiting for the last ones. `most_rows` where no size that was measured is too large.
    """
    largest = max(seconds)
    if seconds[largest] < LOOP_BOUND_SECONDS:  # keeps nobody waiting
        return most_rows
    cheapest = min(taken / rows for rows, taken in seconds.items())
    fewest = min(rows for rows, taken in seconds.items() if taken / rows <= cheapest * HARDLY_MORE)
    return most_rows if fewest == largest > most_rows // 2 else fewest

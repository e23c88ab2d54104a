"""Batch sizes that are prepared, and how a batch that is none of them becomes one."""

from engines.engine import Array


def buckets(least: int, most: int) -> tuple[int, ...]:
    """The powers of two between both, and both, in order."""
    powers = (1 << exponent for exponent in range(most.bit_length()))
    return tuple(sorted({least, most, *(power for power in powers if power > least)}))


def bucket_of(rows: int, sizes: tuple[int, ...]) -> int:
    """The smallest that holds so many rows; `sizes` are in order, and the last one holds them."""
    return next(size for size in sizes if size >= rows)


def fill(bucket: Array, rows: Array) -> None:
    """Put the rows, at least one, into the bucket, and copies of the last one behind them.

    A copy of a real row takes the time and gives the numbers of one. Zeros may not: a mask of nothing is a division by
    zero, and it would be seen by whatever looks at the whole batch.
    """
    count = len(rows)
    bucket[:count] = rows
    bucket[count:] = rows[-1]

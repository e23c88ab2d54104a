"""The source or a variant as it would be served: in batches, or row by row where company changes a row's answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from engines.engine import Engine, OpenEngine
from engines.measure import Split
from engines.quantize.answers import Answering
from engines.quantize.batch_mates import batch_mates
from engines.quantize.report import BatchMates
from engines.quantize.rows import Rows
from engines.quantize.speed import Contender
from engines.signature import Signature

_MOST_ROWS = 32  # in a batch that is measured, where the engine sets no bound


class Side(NamedTuple):
    """One of the two."""

    mates: BatchMates
    answering: Answering
    contender: Contender
    """Opens the file for itself, so it outlives the side."""


@contextmanager
def opened(path: Path, signature: Signature, load: OpenEngine, rows: Rows, cores: int) -> Iterator[Side]:
    """With all cores on one row or batch; closed in the end. Raises LoadError, DataError, and what a run raises."""

    def contend(split: Split) -> Engine:
        return load(path, signature, instances=split.instances, threads=split.threads)

    engine = contend(Split(1, cores))
    try:
        runner = engine.runner()
        mates = batch_mates(engine, runner, rows)
        most_rows = (engine.max_rows or _MOST_ROWS) if mates.batched else 1
        yield Side(mates, Answering(runner, signature, mates.batched), Contender(contend, signature, most_rows))
    finally:
        engine.close()

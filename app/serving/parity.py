"""May the rows of a variant share batches? Checked on made-up rows before it serves."""

from engines.batch_mates import TOLERANCE, changes
from engines.engine import Arrays, Runner


def batch_dependence(runner: Runner, rows: Arrays) -> str | None:
    """What differs when `rows` run together instead of one by one, as a sentence; None when nothing does.

    Raises what the runner raises.
    """
    return next((change.words for change in changes(runner, rows) if change.difference > TOLERANCE), None)

"""Builds plans and reads models in a child process, whose end is no harm here."""

from collections.abc import Callable
from pathlib import Path

from engines.signature import Signature
from engines.tensorrt.build import BuildSettings
from engines.tensorrt.plans import Plan, Plans, Target

MOST_SECONDS = 1800.0

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0 to 1."""


def obtain(
    path: Path,
    signature: Signature,
    settings: BuildSettings,
    target: Target,
    plans: Plans,
    progress: Progress,
    *,
    most_seconds: float = MOST_SECONDS,
) -> Plan:
    """The plan of the ONNX file at `path`: from the cache, or built and kept there.

    One build at a time; whoever comes meanwhile waits and finds it. Raises LoadError: what is not built says which
    node, operator and reason, how its process ended, or that the time was over.
    """
    raise NotImplementedError

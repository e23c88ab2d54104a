"""How a variant is opened whose plan is to be had from a folder, told in plain values: to another process too."""

from functools import partial
from pathlib import Path
from typing import Any

from engines.engine import OpenEngine
from engines.tensorrt.build import BuildSettings
from engines.tensorrt.engine import load
from engines.tensorrt.plans import Plans


def opener(*, folder: str, settings: dict[str, Any]) -> OpenEngine:
    """Opens a variant with the plan in `folder`, or one that is built for these settings, which are `BuildSettings`."""
    return partial(
        load,
        plans=Plans(Path(folder)),
        settings=BuildSettings.from_json(settings),
        progress=_untold,
    )


def _untold(*_: object) -> None:
    """Nobody watches this build."""

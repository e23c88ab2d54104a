"""How a variant is opened whose plan is to be had from a folder, told in plain values: to another process too."""

from pathlib import Path
from typing import Any

from engines.engine import Engine, OpenEngine
from engines.signature import Signature
from engines.tensorrt.build import BuildSettings
from engines.tensorrt.build_apart import obtain
from engines.tensorrt.engine import load, target_here
from engines.tensorrt.plans import Plans


def opener(*, folder: str, settings: dict[str, Any]) -> OpenEngine:
    """Opens a variant with the plan in `folder`, or one that is built for these settings, which are `BuildSettings`."""
    plans, bounds = Plans(Path(folder)), BuildSettings.from_json(settings)

    def open_engine(path: Path, signature: Signature, *, instances: int, threads: int) -> Engine:
        plan = obtain(path, signature, bounds, target_here(), plans, _untold)
        return load(path, signature, instances=instances, threads=threads, plan=plan)

    return open_engine


def _untold(*_: object) -> None:
    """Nobody watches this build."""

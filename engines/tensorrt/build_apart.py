"""Reads models and builds plans with TensorRT in a child process, whose end is no harm here.

The child is this environment's Python where that has a TensorRT which works here; else that of `make tools`.
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engines.elsewhere import asking, python_of
from engines.errors import LoadError, ModelFileError
from engines.signature import Signature
from engines.tensorrt.build import BuildSettings, Facts, Progress
from engines.tensorrt.device import count
from engines.tensorrt.digest import onnx_digest
from engines.tensorrt.module import RTX, installed
from engines.tensorrt.onnx_forms import refused_forms
from engines.tensorrt.plans import Made, Plan, Plans, Target
from engines.tensorrt.profile import profile_shapes
from engines.tensorrt.refusal import Refusal, refused

MOST_SECONDS = 1800.0
_MOST_SECONDS_TO_READ = 300.0


@dataclass(frozen=True, slots=True)
class Checked:
    """What TensorRT says of a model."""

    target: Target
    """Who was asked."""
    refusals: tuple[Refusal, ...]
    """None where it takes the model."""
    precisions: dict[str, str]
    """Of each convolution and product by name; empty where it is refused."""
    needs: str
    """What must be set before a plan can be built; empty where nothing must."""


def check(path: Path, signature: Signature) -> Checked:
    """Whether TensorRT takes the ONNX file; needs no GPU. Raises LoadError where there is no TensorRT to ask."""
    refusals = refused_forms(path, signature)
    for told in _asked({"do": "check", "path": str(path.absolute())}, _MOST_SECONDS_TO_READ):
        match told:
            case {"checked": found, "target": target, "precisions": precisions}:
                told_already = {refusal.operator for refusal in refusals}
                others = [Refusal(**one) for one in found if one["operator"] not in told_already]
                precisions = {} if refusals else precisions
                return Checked(Target(**target), (*refusals, *others), precisions, _needs(signature))
    raise AssertionError("a child that ends without an answer raises")


def _needs(signature: Signature) -> str:
    try:
        profile_shapes(signature, BuildSettings())
    except LoadError as error:
        return str(error)
    return ""


def target_there() -> Target:
    """What the child builds by and for. Raises LoadError where there is no TensorRT."""
    return Target(**next(_asked({"do": "target"}, _MOST_SECONDS_TO_READ))["target"])


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
    shapes = profile_shapes(signature, settings)
    try:
        made = Made(onnx_digest(path), settings, target)
    except ModelFileError as error:
        raise LoadError(str(error)) from None
    if found := plans.find(made):
        return found
    if refusals := refused_forms(path, signature):
        raise refused(refusals)
    with plans.building() as folder:
        if found := plans.find(made):  # somebody else has just built it
            return found
        question = {
            "do": "build",
            "path": str(path.absolute()),
            "target": asdict(target),
            "shapes": shapes,
            "settings": asdict(settings),
            "timings": str(plans.timings(target).absolute()),
            "folder": str(folder.absolute()),
        }
        for told in _asked(question, most_seconds):
            match told:
                case {"progress": [what, done]}:
                    progress(what, done)
                case {"built": facts}:
                    return plans.keep(made, folder, Facts(**facts))
        raise AssertionError("a child that ends without an answer raises")


def _asked(question: dict[str, Any], most_seconds: float) -> Iterator[dict[str, Any]]:
    """What the child tells. Raises LoadError where it fails, and where it ends without its last word."""
    with asking(_python(), "engines.tensorrt.child", question, most_seconds=most_seconds) as child:
        for told in child.answers():
            if "failed" in told:
                raise LoadError(told["failed"])
            yield told
        raise LoadError(f"TensorRT cannot {question['do']}: {child.ending()}")


def _python() -> Path:
    here = installed()
    if RTX in here or (here and count()):
        return Path(sys.executable)
    python = python_of("tensorrt")
    if not python.exists():
        raise LoadError(
            f"there is no TensorRT that works here, and no {python.parent.parent}: install tensorrt or tensorrt-rtx "
            "beside Octet, or set up the latter by `make tools`; docs/tensorrt.md says which one and from where"
        )
    return python

"""The process that touches TensorRT: `python -m engines.tensorrt.child`, asked by `build_apart`.

It may run in an environment that has TensorRT and nothing else, so it imports no more than that.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from engines.elsewhere import Tell, answer
from engines.errors import LoadError
from engines.tensorrt.build import BuildSettings, build
from engines.tensorrt.device import Cuda, count
from engines.tensorrt.module import Module, load_module
from engines.tensorrt.plans import Target
from engines.tensorrt.reading import Reading
from engines.tensorrt.refusal import refused


def _target(module: Module) -> Target:
    """What is built here is built for it."""
    if not count():
        return Target(module.name, module.version)
    device = Cuda().device()
    return Target(module.name, module.version, device.name, device.sm, device.driver)


def _work(question: dict[str, Any], tell: Tell) -> None:
    module = load_module(has_device=count() > 0)
    target = _target(module)
    match question:
        case {"do": "target"}:
            tell(target=asdict(target))
        case {"do": "check", "path": path}:
            reading = Reading(module, Path(path))
            told = [asdict(refusal) for refusal in reading.refusals]
            tell(checked=told, target=asdict(target), precisions={} if told else reading.precisions())
        case {"do": "build", "path": path}:
            _build(Reading(module, Path(path)), target, question, tell)


def _build(reading: Reading, target: Target, question: dict[str, Any], tell: Tell) -> None:
    if target != Target(**question["target"]):
        raise LoadError(f"the plan was asked for {Target(**question['target'])}, and here is {target}")
    if reading.refusals:
        raise refused(reading.refusals)
    timings = Path(question["timings"])
    facts = build(
        reading,
        question["shapes"],
        BuildSettings.from_json(question["settings"]),
        timings.read_bytes() if timings.exists() else b"",
        Path(question["folder"]),
        lambda what, done: tell(progress=[what, done]),
    )
    tell(built=asdict(facts))


def main() -> None:
    """The process."""
    answer(_work, lambda question: f"TensorRT ({question['do']})")


if __name__ == "__main__":
    main()

"""What there is here to run a model on a GPU, each opened in the same way."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_cases import Case
from engines.engine import Engine
from engines.errors import LoadError

Open = Callable[[Case, int, bool], Engine]
"""`(case, instances, graphs)`: raises LoadError."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One engine."""

    name: str
    open: Open
    has_graphs: bool
    facts: Callable[[Case], dict[str, Any]]
    """What it says of a case before it runs: of TensorRT, how the plan was built. Raises LoadError."""


def subjects(folder: Path, most_rows: int) -> tuple[list[Subject], list[str]]:
    """Those that work here, and why others do not."""
    found, absent = [], []
    for make in (_tensorrt, _onnxruntime_cuda):
        try:
            found.append(make(folder, most_rows))
        except (ImportError, LoadError) as error:
            absent.append(str(error))
    return found, absent


def _tensorrt(folder: Path, most_rows: int) -> Subject:
    from engines.tensorrt.build import Bounds, BuildSettings
    from engines.tensorrt.build_apart import obtain
    from engines.tensorrt.engine import load, target_here
    from engines.tensorrt.module import load_module
    from engines.tensorrt.plans import Plan, Plans

    module = load_module(has_device=True)
    plans = Plans(folder / "plans")

    def plan_of(case: Case) -> Plan:
        settings = BuildSettings(rows=Bounds(1, min(32, most_rows), most_rows), tf32=case.precision != "fp32")
        return obtain(case.path, case.signature, settings, target_here(), plans, lambda what, share: None)

    def open_case(case: Case, instances: int, graphs: bool) -> Engine:
        return load(case.path, case.signature, instances=instances, threads=1, plan=plan_of(case), graphs=graphs)

    def facts(case: Case) -> dict[str, Any]:
        plan = plan_of(case)
        products = dict(Counter(sorted(plan.facts.precisions.values())))
        return {
            "seconds": plan.facts.seconds,
            "layers": plan.facts.layers,
            "plan_bytes": plan.bytes,
            "products": products,
        }

    return Subject(f"{module.name.replace('_', '-')} {module.version}", open_case, True, facts)


def _onnxruntime_cuda(folder: Path, most_rows: int) -> Subject:
    from engines.onnxruntime_cuda_engine import OnnxRuntimeCudaEngine, load, refuse_without_cuda

    refuse_without_cuda()

    def open_case(case: Case, instances: int, graphs: bool) -> Engine:
        return load(case.path, case.signature, instances=instances, threads=1)

    return Subject(OnnxRuntimeCudaEngine.name, open_case, False, lambda case: {})

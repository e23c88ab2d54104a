"""`python -m benchmarks.gpu`: what Octet's engines do on the GPU of this machine; ends with RESULT and PASS or FAIL.

Builds and checks three networks in FP32, FP16 and INT8 on whatever is installed: TensorRT, TensorRT-RTX, ONNX Runtime
with CUDA. Where there is no GPU it says so, and what can be known without one.
"""

import json
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from subprocess import SubprocessError
from tempfile import TemporaryDirectory

import click

from benchmarks.gpu_cases import CASES, Case, cases
from benchmarks.gpu_engines import Subject, subjects
from benchmarks.gpu_runs import Effort, Measured, measure
from benchmarks.gpu_served import INSTANCES, serve
from benchmarks.results import Result, today
from engines.errors import EngineError
from engines.gpu_meter import GpuMeter
from engines.tensorrt.build_apart import check
from engines.tensorrt.device import Cuda, Device, NoDevice

FULL = Effort(sizes=(1, 2, 4, 8, 16, 32, 64, 128), threads=(1, 2, 4), seconds=3.0)
QUICK = Effort(sizes=(1, 4), threads=(1, 2), seconds=0.2)
JUDGED_ROWS = 32
FP16_OVER_FP32 = 1.8
SERVED = {"digits fp16": None, "encoder fp16": 0.9}
"""Case -> what it is to reach served, as a share of what the engine does in process.

32 rows of the encoder are 32 KiB: what is judged is the server, and not how fast a loopback address copies images. The
digits model runs in less time than any server takes for a request.
"""


@click.command()
@click.option("--quick", is_flag=True, help="Two batch sizes, short runs: shows that it works, measures little.")
@click.option("--only", multiple=True, type=click.Choice(CASES), help="This network alone; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all of it into this file too, as JSON.")
@click.pass_context
def gpu(ctx: click.Context, quick: bool, only: tuple[str, ...], out: Path | None) -> None:
    """Measure Octet's engines on the GPU of this machine. Exit status 1 for FAIL."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what was measured is seen, even where a time limit ends it
    effort = QUICK if quick else FULL
    with TemporaryDirectory(prefix="octet-gpu-") as folder:
        bench = Bench(Path(folder), effort, only or CASES)
        try:
            device = Cuda().device()
        except NoDevice as error:
            print(f"{error}\nNothing is timed. What can be known without a GPU:")
            bench.without_a_gpu()
            outcome = "FAIL" if bench.failures else "NO GPU"
        else:
            bench.on(device)
            outcome = "PASS" if bench.passed else "FAIL"
    if out is not None:
        out.write_text(json.dumps(bench.record | {"result": outcome}, indent=1) + "\n", "utf-8")
    print(*(f"FAILED {line}" for line in bench.failures), f"RESULT {outcome}", sep="\n")
    ctx.exit(1 if outcome == "FAIL" else 0)


class Bench:
    """One run: prints as it goes, and keeps what it printed."""

    def __init__(self, folder: Path, effort: Effort, networks: Sequence[str]) -> None:
        self.failures: list[str] = []
        self.record: dict[str, object] = {"on": today(), "python": platform.python_version()}
        self._folder, self._effort, self._networks = folder, effort, networks
        self._results: list[Result] = []

    @property
    def passed(self) -> bool:
        """Whether everything was right and every target reached."""
        return not self.failures and all(result.reached is not False for result in self._results)

    def without_a_gpu(self) -> None:
        """The models, their errors on the processor, and whether TensorRT would take them."""
        for case in self._cases():
            try:
                checked = check(case.path, case.signature)
            except EngineError as error:
                print(f"  not asked of TensorRT: {error}")
                continue
            print(
                f"  {checked.target.module} {checked.target.version}", "refuses it" if checked.refusals else "takes it"
            )
            self.failures += [f"{case}: {refusal}" for refusal in checked.refusals]

    def on(self, device: Device) -> None:
        """Every case on every engine, then the served one."""
        found, absent = subjects(self._folder, self._effort.sizes[-1])
        self._introduce(device, found, absent)
        if not found:
            self.failures.append("no engine here runs on the GPU")
        runs: list[Measured] = []
        for case in self._cases():
            for subject in found:
                try:
                    runs.append(measure(subject, case, self._effort))
                except EngineError as error:
                    self.failures.append(f"{case} on {subject.name}: {error}")
                    continue
                self._show(runs[-1])
                if subject is found[0] and str(case) in SERVED:
                    self._serve(case, runs[-1])
        for subject in found:
            self._compare([run for run in runs if run.engine == subject.name], judged=subject.has_graphs)
        for result in self._results:
            print("  ".join(result.row()[1:]))
        self.record |= {"runs": [asdict(run) for run in runs], "results": [asdict(one) for one in self._results]}

    def _cases(self) -> Iterator[Case]:
        for network in self._networks:
            for case in cases(network, self._folder, self._effort.sizes[-1]):
                megabytes = case.path.stat().st_size / 1e6
                print(f"\n{case}: {megabytes:.1f} MB, error on the processor {case.processor_error:.2g}")
                yield case

    def _introduce(self, device: Device, found: Sequence[Subject], absent: Sequence[str]) -> None:
        gigabytes = device.memory_bytes / 1e9
        print(f"{device.name}, sm_{device.sm}, {gigabytes:.0f} GB, driver of CUDA {device.driver}")
        meter = GpuMeter()
        for use in meter.read():
            print(f"GPU {use.index} {use.name}: {use.used_bytes / 1e9:.1f} of {use.total_bytes / 1e9:.1f} GB in use")
        meter.close()
        libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "onnx"))
        print(f"Python {platform.python_version()}, {libraries}; measured are {', '.join(one.name for one in found)}")
        for reason in absent:
            print(f"not here: {reason}")
        self.record |= {"device": asdict(device), "engines": [one.name for one in found], "absent": list(absent)}

    def _show(self, run: Measured) -> None:
        self.failures += [f"{run.engine}: {failure}" for failure in run.failures]
        print(f" {run.engine}", *(f"{name} {value}" for name, value in run.facts.items()), sep="  ")
        print("  error", *(f"{where}: {error:.2g}" for where, error in run.errors.items()), sep="  ")
        for one in run.times:
            device = "" if one.eager is None else f"{one.eager:9.3f} ms eager {one.graph:9.3f} ms as a graph"
            print(f"  {one.rows:4} rows {device} {one.run:9.3f} ms a run {one.rows_per_second:10,.0f} rows/s")
        rates = (f"{workers} workers {rate:,.0f} rows/s" for workers, rate in run.rows_per_second.items())
        print(f"  together, {run.throughput_rows} rows a batch:", *rates, sep="  ")

    def _serve(self, case: Case, run: Measured) -> None:
        """The server chooses its engine by itself; only with that one it is compared."""
        rows = run.throughput_rows
        is_judged = rows == JUDGED_ROWS
        try:
            served = serve(case, self._folder, rows, self._effort.seconds)
        except (OSError, RuntimeError, SubprocessError) as error:
            self.failures.append(f"{case} was not served: {error}")
            return
        if served.engine != run.engine:
            line = f"{case} was served by {served.engine}, so it is not compared with {run.engine}"
            print(f"  {line}")
            self.failures += [line] if is_judged else []
            return
        in_process = run.rows_per_second[INSTANCES]
        self._results.append(
            Result(
                part="gpu",
                case=f"{case}: served, {rows} rows a request, against the engine in process",
                measured=f"{served.rows_per_second:,.0f} and {in_process:,.0f} rows/s",
                value=served.rows_per_second / in_process,
                unit="x",
                target=SERVED[str(case)] if is_judged else None,
            )
        )

    def _compare(self, runs: Sequence[Measured], *, judged: bool) -> None:
        """Precisions beside FP32, at the size that is judged; the digits model is too small to gain."""
        by_case = {run.case: run.time_of(JUDGED_ROWS) for run in runs}
        for case, time in by_case.items():
            network, precision = case.split()
            plain = by_case.get(f"{network} fp32")
            if time is None or plain is None or precision == "fp32":
                continue
            pair = [one.run if one.graph is None else one.graph for one in (plain, time)]
            is_judged = judged and precision == "fp16" and network != "digits"
            self._results.append(
                Result(
                    part="gpu",
                    case=f"{case} on {runs[0].engine}: {JUDGED_ROWS} rows, over fp32",
                    measured="{1:.3f} and {0:.3f} ms".format(*pair),
                    value=pair[0] / pair[1],
                    unit="x",
                    target=FP16_OVER_FP32 if is_judged else None,
                )
            )


if __name__ == "__main__":
    gpu()

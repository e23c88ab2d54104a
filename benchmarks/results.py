"""What was measured: one line a result, as a table on the terminal, as JSON, and as Markdown."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

COLUMNS = ("part", "case", "measured", "value", "target", "reached")
KEPT_COLUMNS = (*COLUMNS, "on")
MARK = "<!-- results -->"


@dataclass(frozen=True, slots=True)
class Result:
    """One judged number. `unit` is `x` for a ratio to the comparison; without a target it is only shown."""

    part: str
    case: str
    measured: str
    value: float
    unit: str
    target: float | None = None
    lower_is_better: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether the target was; None where there is none."""
        if self.target is None:
            return None
        return self.value <= self.target if self.lower_is_better else self.value >= self.target

    def row(self) -> list[str]:
        """The texts of COLUMNS."""
        bound = "at most" if self.lower_is_better else "at least"
        target = "" if self.target is None else f"{bound} {self.target:g} {self.unit}"
        verdict = {True: "yes", False: "no", None: ""}[self.reached]
        return [self.part, self.case, self.measured, f"{self.value:.3g} {self.unit}", target, verdict]


def table(results: Sequence[Result]) -> None:
    """Print them."""
    columns = Table(*COLUMNS, title=f"Octet on {machine()}")
    for result in results:
        style = {True: "green", False: "red", None: ""}[result.reached]
        columns.add_row(*result.row(), style=style)
    Console().print(columns)


def save(results: Sequence[Result], path: Path, parts: Sequence[str]) -> list[list[str]]:
    """Keep them as JSON, with the machine and the day, in place of those of the same parts that were kept before.

    Gives the texts of KEPT_COLUMNS of all that is kept, in the order of `parts`.
    """
    before = json.loads(path.read_text("utf-8"))["results"] if path.exists() else []
    now = [
        asdict(result) | {"reached": result.reached, "on": today(), "machine": machine(), "row": result.row()}
        for result in results
    ]
    measured = {result.part for result in results}
    kept = [one for one in before if one["part"] not in measured and one["part"] in parts] + now
    kept.sort(key=lambda one: parts.index(one["part"]))
    path.write_text(json.dumps({"results": kept}, indent=2) + "\n", "utf-8")
    return [[*one["row"], one["on"]] for one in kept]


def write_into(readme: Path, rows: Sequence[Sequence[str]]) -> None:
    """Put the rows into the Markdown file, between its two MARKs."""
    before, _, after = readme.read_text("utf-8").split(MARK)
    lines = [f"On {machine()}.", "", "| " + " | ".join(KEPT_COLUMNS) + " |", "|---" * len(KEPT_COLUMNS) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    readme.write_text("\n".join([before + MARK, *lines, MARK + after]), "utf-8")


def today() -> str:
    """The date in UTC, as YYYY-MM-DD."""
    return datetime.now(UTC).date().isoformat()


def machine() -> str:
    """The processor, its cores, the memory, and the versions that matter."""
    processor = next(
        (line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines() if "model name" in line),
        platform.machine(),
    )
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{processor}, {os.cpu_count()} cores shared with the load generator, {memory_gib:.0f} GiB, "
        f"Python {platform.python_version()}, ONNX Runtime {version('onnxruntime')}, uvicorn {version('uvicorn')}"
    )

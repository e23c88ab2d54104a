"""`make bench`: measures Octet and its comparisons in one run and prints what was reached.

Every server is started here, on the loopback address, and stopped again.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.parts import PARTS
from benchmarks.results import Result, save, table, write_into
from benchmarks.run import Run

HERE = Path(__file__).parent


@click.command()
@click.option("--quick", is_flag=True, help="One short round for each case: shows that it runs, measures little.")
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="Run this part alone; may be repeated.")
@click.option("--write", is_flag=True, help="Write the results into benchmarks/README.md and results.json.")
def bench(quick: bool, only: tuple[str, ...], write: bool) -> None:
    """Measure Octet against bare comparisons on this machine."""
    if write and quick:
        raise click.UsageError("--write keeps what was measured in full: leave out --quick.")
    with TemporaryDirectory(prefix="octet-bench-") as folder:
        run = Run(Path(folder), rounds=1, seconds=1) if quick else Run(Path(folder), rounds=5, seconds=3)
        results = measure(run, only or tuple(PARTS))
    table(results)
    if write:
        write_into(HERE / "README.md", save(results, HERE / "results.json", tuple(PARTS)))


def measure(run: Run, names: tuple[str, ...]) -> list[Result]:
    """The results of these parts, in order, with the name of the one that runs on the terminal."""
    results: list[Result] = []
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
        for name in names:
            task = progress.add_task(name, total=None)
            results += PARTS[name](run)
            progress.update(task, total=1, completed=1)
    return results


if __name__ == "__main__":
    bench()

"""`make accuracy`: tries every recipe on trained models, and prints what each costs and what each means gains."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.accuracy.cases import CASES, Case
from benchmarks.accuracy.results import Trial, errors, gains, save
from benchmarks.accuracy.trained import MODELS
from benchmarks.accuracy.trial import reference_of, trials

_QUICK_ROWS = 32


@click.command()
@click.option("--quick", is_flag=True, help="A few rows of each model: shows that it runs, measures little.")
@click.option("--only", multiple=True, type=click.Choice(list(MODELS)), help="This model alone; may be repeated.")
@click.option("--recipe", multiple=True, type=click.Choice([case.recipe for case in CASES]), help="This one alone.")
@click.option("--write", type=click.Path(path_type=Path), help="Keep what was measured in this file, as JSON.")
def accuracy(quick: bool, only: tuple[str, ...], recipe: tuple[str, ...], write: Path | None) -> None:
    """Measure what quantizing costs on trained models, and what brings accuracy back."""
    cases = [case for case in CASES if not recipe or case.recipe in recipe]
    found: list[Trial] = []
    with TemporaryDirectory(prefix="octet-accuracy-") as folder:
        for trial in (one for name in only or MODELS for one in measure(name, Path(folder), cases, quick=quick)):
            found.append(trial)
            if write:
                save([trial], write)
    for rows in (errors(found), gains(found)):
        table = Table(*next(rows))
        for row in rows:
            table.add_row(*row)
        Console().print(table)


def measure(name: str, folder: Path, cases: Sequence[Case], *, quick: bool) -> Iterator[Trial]:
    """These cases on one model, with what is tried on the terminal; nothing for a model that is not installed."""
    model = MODELS[name](folder)
    if model is None:
        print(f"{name} is skipped: its weights are not installed; `make accuracy` does so")
        return
    if quick:
        model = model.with_fewer_rows(_QUICK_ROWS)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with reference_of(model) as reference, Progress(*columns) as progress:
        for case in cases:
            task = progress.add_task(f"{name} {case.recipe}", total=None)
            yield from trials(model, reference, case)
            progress.update(task, total=1, completed=1)


if __name__ == "__main__":
    accuracy()

"""`octet quantize`: make, measure and judge the variants of a version, with a bar meanwhile and a table at the end."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.main import HELP_OPTIONS

if TYPE_CHECKING:
    from app.control.quantize import Tried

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%?")


class Share(click.ParamType[float]):
    """`0.5%`, or `0.005`."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip()
        found = _PERCENT.fullmatch(text)
        share = float(found[1]) / (100 if text.endswith("%") else 1) if found else -1.0
        if not 0 <= share <= 1:
            self.fail(f"{value!r} is no share; write it as 0.5% or as 0.005")
        return share


class _Import(click.ParamType[tuple[str, Path]]):
    name = "name=file"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Path]:
        name, is_pair, file = str(value).partition("=")
        if not (name and is_pair and file):
            self.fail(f"{value!r} is no NAME=FILE; write it as int8-mine=model.onnx")
        return name, Path(file)


@click.command(context_settings=HELP_OPTIONS)
@click.argument("model", metavar="NAME[@VERSION]")
@click.option("--calibration", required=True, metavar="ROWS", help="Rows to calibrate with: an .npz or .csv file.")
@click.option(
    "--evaluate", metavar="ROWS", help="Rows to measure accuracy with, `labels` among them; else those above."
)
@click.option("--image", metavar="LINE", help="How a folder's images become rows: 'resize 224 bilinear, rgb, /255'.")
@click.option("--max-drop", type=Share(), default="0.5%", show_default=True, metavar="SHARE",
              help="Largest drop of the metric that may be; its confidence interval must be inside.")  # fmt: skip
@click.option("--min-speedup", type=click.FloatRange(0, 1000), default=1.0, show_default=True, metavar="N",
              help="Least speed over the published variant, measured here.")  # fmt: skip
@click.option("--recipe", "recipes", multiple=True, metavar="NAME", help="Try this one alone; repeatable.")
@click.option("--import", "imports", multiple=True, metavar="NAME=FILE", type=_Import(),
              help="Take in what was quantized elsewhere: .onnx, .xml or .tflite; repeatable.")  # fmt: skip
@click.option("--network", metavar="MODULE:FUNCTION", help="Gives the PyTorch module that the model came from.")
@click.option("--fine-tune", metavar="MODULE:FUNCTION", help="Trains a module that it is given: for int8-qat.")
@click.option("--exclude", multiple=True, metavar="NODE", help="Leave this layer as it is; repeatable.")
@click.option("--exclude-auto", is_flag=True,
              help="Leave the worst layers as they are, one at a time, until the drop is allowed.")  # fmt: skip
@click.option("--metric", metavar="MODULE:FUNCTION", help="Your own metric instead of accuracy: a value for each row.")
@click.option("--seed", type=click.IntRange(0, (1 << 32) - 1), default=0, show_default=True, metavar="N",
              help="Chooses whatever is chosen at random.")  # fmt: skip
@click.option("--store", "folder", metavar="DIR", envvar="OCTET_STORE", default="store", show_default=True,
              show_envvar=True, type=click.Path(path_type=Path), help="Folder of the model store.")  # fmt: skip
@click.option("--report", "report_folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path),
              help="Write the reports there: a page, its charts, and JSON.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the reports as JSON.")
@click.option("--progress-lines", is_flag=True, help="Tell the progress on stderr as lines of JSON, not as a bar.")
def quantize(
    model: str, calibration: str, evaluate: str | None, image: str | None, max_drop: float, min_speedup: float,
    recipes: tuple[str, ...], imports: tuple[tuple[str, Path], ...], network: str | None, fine_tune: str | None,
    exclude: tuple[str, ...], exclude_auto: bool,
    metric: str | None, seed: int, folder: Path, report_folder: Path | None, as_json: bool, progress_lines: bool,
) -> None:  # fmt: skip
    """Make the low-precision variants of a version that this machine can run, and judge each on your rows.

    Every variant is measured beside the published one and stored with its report. Those whose accuracy surely drops
    by no more than --max-drop, and that are faster here, may serve; the fastest of them will.
    """
    from app.cli.quantize_report import write_report
    from app.cli.quantize_tables import print_reports_json, print_tried
    from app.control.quantize import Quantizing, Wish, first_of
    from app.lifespan import OPEN_ENGINES
    from engines.quantize.gate import Limits
    from engines.quantize.imported import Imported
    from engines.quantize.recipe import Options
    from engines.quantize.rows import RowsSpec
    from model_store.store import Store

    if report_folder is not None:
        with _writing_to(report_folder):
            report_folder.mkdir(parents=True, exist_ok=True)
    name, _, version = model.partition("@")
    wish = Wish(
        RowsSpec(calibration, image, seed=seed),
        RowsSpec(evaluate or calibration, image, seed=seed),
        Limits(max_drop, min_speedup),
        recipes,
        tuple(Imported(name, path) for name, path in imports),
        Options(exclude, seed),
        metric,
        exclude_auto,
        network,
        fine_tune,
    )
    with Store.open(folder, create=False) as store:
        record = store.resolve(name, version or None)
        quantizing = Quantizing(store, record, wish, OPEN_ENGINES)
        tried: list[Tried] = []
        shown = _lines if progress_lines else _bar
        with shown(len(quantizing.recipes)) as progress:
            tried.extend(quantizing.run(progress))
        if as_json:
            print_reports_json(tried)
        else:
            print_tried(record, tried, first_of(store, record))
    reports = [one.report for one in tried if one.report is not None]
    if report_folder is not None:
        if reports:
            with _writing_to(report_folder):
                write_report(report_folder, reports)
        else:
            click.echo(f"nothing was measured: {report_folder} has no report", err=True)


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """What goes wrong is the user's to mend."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"no report can be written to {folder}: {error}; name another folder") from None


@contextmanager
def _bar(count: int) -> Iterator[Callable[[str, str, float], None]]:
    """A bar over all recipes, on stderr; silent where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("opening", total=count)
        begun: dict[str, int] = {}

        def advance(variant: str, what: str, done: float) -> None:
            place = begun.setdefault(variant, len(begun))
            bar.update(task, description=f"{variant}: {what}", completed=place + done)

        yield advance


@contextmanager
def _lines(count: int) -> Iterator[Callable[[str, str, float], None]]:
    """A line of JSON a step, on stderr: the variant, what is being done with it, the share of all that is done."""
    begun: dict[str, int] = {}

    def advance(variant: str, what: str, done: float) -> None:
        place = begun.setdefault(variant, len(begun))
        click.echo(json.dumps({"variant": variant, "doing": what, "done": (place + done) / count}), err=True)

    yield advance

"""Writes the parts of the documentation that the code knows best: `make docs`.

A part stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`, and PARTS has what belongs there. A test
fails while a document holds anything else.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import click
from prometheus_client import Metric

from app.cli.main import octet
from app.cli.options import shown
from app.errors import INTERNAL, RULES, Rule
from app.http.api import make_api
from app.lifespan import Service
from app.logs import Levels
from app.metrics import Key, Loaded, Metrics
from app.protocols.triton_metrics import TritonMetrics
from app.settings import ModelSettings, Settings, names
from benchmarks.accuracy import results as accuracy
from engines.errors import EngineError
from engines.gpu_meter import GpuUse
from engines.quantize.recipe import Recipe
from engines.quantize.recipes import FROM_NETWORK, RECIPES
from model_store.errors import StoreError
from model_store.store import Store

DOCS = Path(__file__).parent

_PART = re.compile(r"<!-- generated: ([a-z-]+) -->\n.*?<!-- end of \1 -->", re.DOTALL)
_HELP_WIDTH = 100
# What a base class stands for in the table of errors: all of its kind that the table does not name.
_ALL_OTHERS: dict[type[BaseException], str] = {
    EngineError: "The engine failed while it ran or loaded the model.",
    StoreError: "The store could not be read or written.",
}


def main() -> None:
    """Bring every document up to date."""
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text("utf-8")
        if text != (renewed := renew(text)):
            path.write_text(renewed, "utf-8")
            print(f"{path.relative_to(DOCS.parent)} is up to date again")


def renew(text: str) -> str:
    """The document with its generated parts as they should be."""
    return _PART.sub(lambda part: _between_markers(part[1]), text)


def _between_markers(name: str) -> str:
    content = "\n".join(PARTS[name]())
    return f"<!-- generated: {name} -->\n{content}\n<!-- end of {name} -->"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A Markdown table, line by line."""
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


# ---- errors


def errors() -> Iterator[str]:
    """Status, code, Retry-After and causes; what is answered with the same code shares a row."""
    causes: dict[Rule, list[str]] = {}
    for cls, rule in RULES.items():
        causes.setdefault(rule, []).append(_ALL_OTHERS.get(cls) or str(cls.__doc__).split("\n")[0])
    causes[INTERNAL] = ["Anything unforeseen; the log has it under the request's id."]
    rows = sorted(causes.items(), key=lambda item: item[0].status)
    return table(("status", "code", "Retry-After", "when"), (_error_row(rule, when) for rule, when in rows))


def _error_row(rule: Rule, when: list[str]) -> tuple[str, ...]:
    retry = "" if rule.retry_after_seconds is None else f"{rule.retry_after_seconds} s"
    return str(rule.status), f"`{rule.code}`", retry, " ".join(when)


# ---- paths


def paths() -> Iterator[str]:
    """Every operation of the OpenAPI page, inference first."""
    with TemporaryDirectory() as folder, Store.open(Path(folder)) as store:
        documented = make_api(Service(Settings(), store, Levels())).openapi()["paths"]
    rows = [
        (method.upper(), f"`{path}`", operation["summary"])
        for path, operations in documented.items()
        for method, operation in operations.items()
    ]
    return table(("", "path", "what it does"), sorted(rows, key=lambda row: not row[1].endswith(":predict`")))


# ---- settings


def service_settings() -> Iterator[str]:
    """What is set once for the whole service."""
    return _settings(name for name in names() if name not in ModelSettings.model_fields)


def model_settings() -> Iterator[str]:
    """What can be set for all models and for single ones."""
    return _settings(ModelSettings.model_fields)


def _settings(keys: Iterable[str]) -> Iterator[str]:
    rows = ((f"`{key}`", _default(key), _allowed(key), _meaning(key)) for key in keys)
    return table(("setting", "default", "allowed", "meaning"), rows)


def _default(key: str) -> str:
    return shown(Settings.model_fields[key].default)


def _allowed(key: str) -> str:
    field = Settings.model_fields[key]
    signs = {"ge": "at least", "gt": "above", "le": "at most"}
    bounds = (
        f"{text} {bound}"
        for rule in field.metadata
        for sign, text in signs.items()
        if (bound := getattr(rule, sign, None)) is not None
    )
    choices = (f"`{choice}`" for choice in get_args(field.annotation) if isinstance(choice, str))
    return ", ".join((*bounds, *choices))


def _meaning(key: str) -> str:
    return str(Settings.model_fields[key].description)


# ---- metrics


def metrics() -> Iterator[str]:
    """Octet's own series."""
    return _series(family for family in _families() if family.name.startswith("octet_"))


def process_metrics() -> Iterator[str]:
    """What the Prometheus client tells of the process."""
    return _series(family for family in _families() if not family.name.startswith("octet_"))


def triton_metrics() -> Iterator[str]:
    """What `metrics_compat` adds for Triton's dashboards."""
    return table(("series", "meaning"), ((f"`{one.name}`", one.documentation) for one in TritonMetrics({}).collect()))


def _families() -> list[Metric]:
    """All families of the page, with a sample in each: only samples tell their labels."""
    page = Metrics()
    key = Key("digits", "1.0.0", "fp32")
    tally = page.tally(key)
    tally.requests[200] = tally.releases["idle"] = page.rejected["malformed"] = 1
    page.loaded[key] = Loaded("onnxruntime", 0.3, 2, 1, 1024)
    page.load_failures["digits", "1.0.0"] = 1
    page.variants_refused["digits", "1.0.0", "int8", "parity"] = 1
    page.engine_fallbacks["digits", "1.0.0", "int8", "tensorrt", "onnxruntime-cuda", "load"] = 1
    page.read_gpus = lambda: [GpuUse(0, "", 0, 0, 0.0)]
    page.jobs = {"done": 1}
    return list(page.registry.collect())


def _series(families: Iterable[Metric]) -> Iterator[str]:
    suffix = {"counter": "_total", "info": "_info"}
    rows = (
        (
            f"`{one.name}{suffix.get(one.type, '')}`",
            one.type,
            _unit(one.name),
            _labels(one),
            one.documentation.removesuffix(".") + ".",
        )
        for one in families
    )
    return table(("series", "type", "unit", "labels", "meaning"), rows)


def _unit(name: str) -> str:
    """Names say it, as Prometheus asks for; what counts has none."""
    return next((unit for unit in ("seconds", "rows", "bytes") if unit in name.split("_")), "")


def _labels(family: Metric) -> str:
    found = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
    return ", ".join(f"`{label}`" for label in found)


# ---- recipes


def recipes() -> Iterator[str]:
    """Every recipe, in the order in which they are tried."""
    rows = ((f"`{recipe.name}`", recipe.engine, _when_tried(recipe), recipe.summary) for recipe in RECIPES)
    return table(("recipe", "engine", "tried by itself", "what it does"), rows)


def _when_tried(recipe: Recipe) -> str:
    if not recipe.is_candidate:
        return ""
    return "with `--network`" if recipe in FROM_NETWORK else "yes"


# ---- what quantizing costs


def errors_of_recipes() -> Iterator[str]:
    """What each recipe costs on the trained models, as last measured."""
    head, *rows = accuracy.errors(accuracy.load())
    return table(head, rows)


def gains_of_means() -> Iterator[str]:
    """What each means against it gains."""
    head, *rows = accuracy.gains(accuracy.load())
    return table(head, rows)


# ---- the command line


def command_line() -> Iterator[str]:
    """The help of every command."""
    return _help(octet, "octet", None)


def _help(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    context = command.make_context(name, [], parent, resilient_parsing=True, terminal_width=_HELP_WIDTH)
    yield from (f"## {context.command_path}", "", "```text", command.get_help(context), "```", "")
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _help(found, inner, context)


PARTS = {
    "command-line": command_line,
    "errors": errors,
    "errors-of-recipes": errors_of_recipes,
    "gains-of-means": gains_of_means,
    "metrics": metrics,
    "model-settings": model_settings,
    "paths": paths,
    "process-metrics": process_metrics,
    "recipes": recipes,
    "service-settings": service_settings,
    "triton-metrics": triton_metrics,
}
"""Name between the markers -> its lines."""


if __name__ == "__main__":
    main()

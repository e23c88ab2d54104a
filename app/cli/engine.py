"""`octet engine`: what TensorRT takes of a model, and the plans that it has built."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.main import HELP_OPTIONS
from app.cli.shared_options import json_option, store_option

if TYPE_CHECKING:
    from engines.tensorrt.build_apart import Checked


@click.group(context_settings=HELP_OPTIONS)
def engine() -> None:
    """Ask TensorRT about models, and build, list and remove its plans."""


@engine.command()
@click.argument("model", metavar="FILE.onnx|NAME[@VERSION]")
@click.option("--variant", metavar="NAME", help="Ask about this one alone; else about all that are ONNX files.")
@json_option
@store_option
@click.pass_context
def check(ctx: click.Context, model: str, variant: str | None, as_json: bool, folder: Path) -> None:
    """Tell whether TensorRT takes a model, and what mends it if not. Needs no GPU.

    Exit status 1 if it refuses one of those that were asked about.
    """
    from app.cli.engine_tables import checked_json, print_checked
    from app.cli.model_tables import print_json

    is_file = model.endswith(".onnx") or Path(model).is_file()
    answers = dict(_of_file(Path(model)) if is_file else _of_version(model, variant, folder))
    if as_json:
        print_json([checked_json(name, one) for name, one in answers.items()])
    else:
        print_checked(answers)
    ctx.exit(1 if any(one.refusals for one in answers.values()) else 0)


@engine.command()
@click.argument("model", metavar="NAME[@VERSION]")
@click.option("--variant", metavar="NAME", help="Build this one alone; else all that are ONNX files.")
@click.option("--config", metavar="FILE", help="The settings file of the server; OCTET_* variables count as there.")
@store_option
@click.pass_context
def build(ctx: click.Context, model: str, variant: str | None, config: str | None, folder: Path) -> None:
    """Build the plans that the server would build.

    For this machine's GPU, with the server's settings: it finds them then. What is there already is not built again.
    Exit status 1 if one cannot be built.
    """
    from app.cli.engine_tables import plan_told
    from app.cli.progress import share_bar
    from app.control.plans import build, onnx_variants
    from app.settings import load_settings
    from engines.errors import EngineError
    from engines.tensorrt.build_apart import target_there
    from model_store.store import Store

    settings = load_settings({"store": str(folder), **({"config": config} if config else {})})
    failed = False
    with Store.open(folder, create=False) as store:
        name, _, version = model.partition("@")
        record = store.resolve(name, version or None)
        for one in onnx_variants(record, variant):
            try:
                with share_bar(one.name) as progress:
                    plan = build(store, record, one, settings.for_model(record.name), target_there(), progress)
            except EngineError as error:
                failed = True
                click.echo(f"{record} {one.name}: {error}", err=True)
            else:
                click.echo(f"{record} {one.name}: {plan_told(plan)}")
    ctx.exit(1 if failed else 0)


@engine.command("list")
@json_option
@store_option
def list_plans(as_json: bool, folder: Path) -> None:
    """List the plans of a store."""
    from app.cli.engine_tables import plan_json, print_plans
    from app.cli.model_tables import print_json
    from app.control.plans import named_plans
    from model_store.store import Store

    with Store.open(folder, create=False) as store:
        plans = named_plans(store)
    if as_json:
        print_json([plan_json(name, plan) for name, plan in plans])
    else:
        print_plans(plans)


@engine.command()
@store_option
def prune(folder: Path) -> None:
    """Remove plans that nothing needs any more.

    Those of variants that are gone, those that a newer TensorRT or driver has replaced, and what was left half done.
    """
    from rich.filesize import decimal

    from app.control.plans import prune
    from model_store.store import Store

    with Store.open(folder, create=False) as store:
        removed = prune(store)
    click.echo(f"removed {len(removed)} plans ({decimal(sum(plan.bytes for plan in removed))})")


def _of_file(path: Path) -> "Iterator[tuple[str, Checked]]":
    from engines.onnx_file import read_onnx
    from engines.tensorrt.build_apart import check

    yield str(path), check(path, read_onnx(path).signature)


def _of_version(model: str, variant: str | None, folder: Path) -> "Iterator[tuple[str, Checked]]":
    from app.control.plans import checked, onnx_variants
    from model_store.store import Store

    with Store.open(folder, create=False) as store:
        name, _, version = model.partition("@")
        record = store.resolve(name, version or None)
        for one in onnx_variants(record, variant):
            yield f"{record} {one.name}", checked(store, record, one)

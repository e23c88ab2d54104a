"""`octet model`: what is done with the models of a store.

Whatever takes time to import is imported by the command that needs it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.main import HELP_OPTIONS
from app.cli.shared_options import json_option, store_option

if TYPE_CHECKING:
    from model_store.store import Store


def _open(folder: Path, *, create: bool = False) -> "Store":
    from model_store.store import Store

    return Store.open(folder, create=create)


@click.group(context_settings=HELP_OPTIONS)
def model() -> None:
    """Publish, list, label, retire and check the models of a store."""


@model.command()
@click.argument("name")
@click.argument("file", metavar="FILE.onnx", type=click.Path(path_type=Path))
@click.option("--version", required=True, metavar="VERSION", help="MAJOR.MINOR.PATCH, such as 1.0.0 or 2.0.0-rc.1.")
@click.option("--metadata", "metadata_file", metavar="FILE.json", type=click.Path(path_type=Path),
              help="training_data_version, hyperparameters, metrics and tags, as a JSON object.")  # fmt: skip
@click.option("--label", "labels", metavar="LABEL", multiple=True, help="Make this label point to it; repeatable.")
@click.option("--force-incompatible", is_flag=True,
              help="Publish a MINOR or PATCH although its signature breaks clients of the version before.")  # fmt: skip
@store_option
def publish(
    folder: Path, name: str, file: Path, version: str, metadata_file: Path | None, labels: tuple[str, ...],
    force_incompatible: bool,
) -> None:  # fmt: skip
    """Take an ONNX file into the store as a version of model NAME.

    A version never changes: the same file once more changes nothing, another one is refused. External data
    is taken in along with the file.
    """
    from app.cli.progress import byte_bar
    from app.control.publish import publish as publish_file
    from app.control.publish import read_metadata
    from model_store.manifest import Metadata

    metadata = read_metadata(metadata_file) if metadata_file else Metadata()
    with _open(folder, create=True) as store, byte_bar(f"publishing {name} {version}") as progress:
        published = publish_file(
            store, name, file, version,
            metadata=metadata, labels=labels, force_incompatible=force_incompatible, progress=progress,
        )  # fmt: skip
    what = "published" if published.created else "these very bytes are there already:"
    click.echo(f"{what} {published.record} (sha256 {published.record.digest})")
    for label in labels:
        click.echo(f"{label} → {published.record}")


@model.command(name="list")
@json_option
@store_option
def list_models(folder: Path, as_json: bool) -> None:
    """List all models with their versions and labels."""
    from app.cli.model_tables import model_json, print_json, print_models

    with _open(folder) as store:
        models = [store.model(name) for name in store.models()]
    if as_json:
        print_json([model_json(one) for one in models])
    elif models:
        print_models(models)
    else:
        click.echo(f"No models in {folder}. Publish one: octet model publish NAME FILE.onnx --version 1.0.0")


@model.command()
@click.argument("target", metavar="NAME[@VERSION]")
@json_option
@store_option
def show(folder: Path, target: str, as_json: bool) -> None:
    """Show a model's versions, or all about one version.

    VERSION is exact (1.2.3) or a prefix (1, 1.2), which means its highest released version.
    """
    from app.cli import model_tables
    from model_store.selection import pick

    name, at, version = target.partition("@")
    with _open(folder) as store:
        found = store.model(name)
    if at:
        retired = (one for one in found.versions if one.retired and one.version == version)
        record = next(retired, None) or pick(found, version)
        if as_json:
            model_tables.print_json(model_tables.version_json(record, found))
        else:
            model_tables.print_version(record, found)
    elif as_json:
        model_tables.print_json(model_tables.model_json(found))
    else:
        model_tables.print_versions(found)


@model.command()
@click.argument("name")
@click.argument("version")
@click.argument("label")
@store_option
def label(folder: Path, name: str, version: str, label: str) -> None:
    """Make LABEL point to a version: exact (1.2.3), or a prefix (1, 1.2) for its highest released one."""
    with _open(folder) as store:
        click.echo(f"{label} → {store.label(name, version, label)}")


@model.command()
@click.argument("name")
@click.argument("label")
@store_option
def unlabel(folder: Path, name: str, label: str) -> None:
    """Take a label away."""
    with _open(folder) as store:
        click.echo(f"{store.unlabel(name, label)} is no longer {label}")


@model.command()
@click.argument("target", metavar="NAME@VERSION")
@store_option
def retire(folder: Path, target: str) -> None:
    """Take a version out of service for good. Its number is not used again; `gc` removes its bytes."""
    name, _, version = target.partition("@")
    with _open(folder) as store:
        store.retire(name, version)
    click.echo(f"{target} is retired")


@model.command()
@click.argument("target", metavar="NAME@VERSION")
@click.argument("variant")
@store_option
def drop_variant(folder: Path, target: str, variant: str) -> None:
    """Take a VARIANT of a version out of service. Its name may be used again; `gc` removes its bytes."""
    from model_store.versions import parse

    name, _, version = target.partition("@")
    parse(version)
    with _open(folder) as store:
        record = store.drop_variant(store.resolve(name, version), variant)
    click.echo(f"{variant} of {record} is dropped")


@model.command()
@store_option
def gc(folder: Path) -> None:
    """Remove the bytes that only retired versions and dropped variants need, and what killed writers have left."""
    with _open(folder) as store:
        collected = store.gc()
    click.echo(f"removed {collected.blobs} blobs ({collected.bytes} bytes) and {collected.leftovers} leftovers")


@model.command()
@json_option
@store_option
@click.pass_context
def verify(ctx: click.Context, folder: Path, as_json: bool) -> None:
    """Read and re-hash everything. Exit status 1 if something is not as it should be."""
    from dataclasses import asdict

    from app.cli.model_tables import print_json
    from app.cli.progress import byte_bar

    with _open(folder) as store, byte_bar("verifying") as progress:
        report = store.verify(progress)
    if as_json:
        print_json(asdict(report))
    else:
        for found in report.findings:
            click.echo(f"{found.subject}: {found.problem}")
        problems = f"{len(report.findings)} problems" if report.findings else "no problems"
        click.echo(f"{report.versions} versions, {report.blobs} blobs, {report.bytes} bytes: {problems}")
    ctx.exit(1 if report.findings else 0)


@model.command()
@store_option
def rebuild(folder: Path) -> None:
    """Make the catalogue anew from manifests and journals."""
    with _open(folder) as store:
        store.rebuild()
        click.echo(f"the catalogue has {len(store.models())} models")

"""What `octet model` shows: each answer as JSON for programs and as a table for people."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from model_store.records import ModelRecord, VariantRecord, VersionRecord

# Where nobody's window sets a width, nothing is broken into lines.
_WIDTH_OF_A_FILE = 1000


def print_json(answer: object) -> None:
    """JSON on stdout."""
    click.echo(json.dumps(answer, indent=2))


def model_json(model: ModelRecord) -> dict[str, Any]:
    """A model: its name, what each label points to, and its versions in ascending order."""
    return {
        "name": model.name,
        "labels": dict(model.labels),
        "versions": [version_json(record, model) for record in model.versions],
    }


def version_json(record: VersionRecord, model: ModelRecord) -> dict[str, Any]:
    """A version, all of it."""
    return {
        "name": record.name,
        "version": record.version,
        "labels": labels_of(record, model),
        "digest": record.digest,
        "parent": record.parent,
        "published_at": record.published_at.isoformat(),
        "retired": record.retired,
        "signature": record.signature,
        "metadata": record.metadata.model_dump(mode="json"),
        "variants": [
            {
                "name": v.name,
                "engine": v.engine,
                "digest": v.digest,
                "bytes": v.bytes,
                "accurate": v.accurate,
                "min_speedup": v.min_speedup,
                "recipe": v.recipe,
            }
            for v in record.variants
        ],
    }


def labels_of(record: VersionRecord, model: ModelRecord) -> list[str]:
    """The labels that point to the version."""
    return sorted(label for label, version in model.labels.items() if version == record.version)


def print_models(models: Iterable[ModelRecord]) -> None:
    """A line a model: what is served if nothing is said, and what else there is."""
    rows = []
    for model in models:
        living = [record for record in model.versions if not record.retired]
        labels = ", ".join(f"{label} → {version}" for label, version in sorted(model.labels.items()))
        size = decimal(sum(variant.bytes for record in living for variant in record.variants))
        rows.append((model.name, ", ".join(record.version for record in living), labels, size))
    print_table(("model", "versions", "labels", "size"), rows)


def print_versions(model: ModelRecord) -> None:
    """A line a version, retired ones included."""
    rows = [
        (
            record.version,
            ", ".join(labels_of(record, model)),
            ", ".join(variant.name for variant in record.variants),
            decimal(sum(variant.bytes for variant in record.variants)),
            f"{record.published_at:%Y-%m-%d %H:%M} UTC",
            "retired" if record.retired else "",
        )
        for record in model.versions
    ]
    print_table(("version", "labels", "variants", "size", "published", ""), rows)


def print_version(record: VersionRecord, model: ModelRecord) -> None:
    """A version, a line a fact."""
    signature = record.signature
    rows = [
        ("version", f"{record}{' (retired)' if record.retired else ''}"),
        ("labels", ", ".join(labels_of(record, model)) or "-"),
        ("published", f"{record.published_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("parent", record.parent or "-"),
        ("digest", record.digest),
        *(("variant", _variant(variant)) for variant in record.variants),
        *(("input", _tensor(tensor)) for tensor in signature["inputs"]),
        *(("output", _tensor(tensor)) for tensor in signature["outputs"]),
        ("batch axis", "-" if signature["batch_axis"] is None else str(signature["batch_axis"])),
        *_metadata_rows(record),
    ]
    print_table(("", ""), rows)


def _metadata_rows(record: VersionRecord) -> list[tuple[str, str]]:
    metadata = record.metadata
    rows = [("training data", metadata.training_data_version or "-")]
    rows += [(f"hyperparameter {key}", json.dumps(value)) for key, value in metadata.hyperparameters.items()]
    rows += [(f"metric {key}", f"{value:g}") for key, value in metadata.metrics.items()]
    tags = metadata.tags
    rows += [("tags", ", ".join(tags if isinstance(tags, list) else (f"{key}={tags[key]}" for key in tags)) or "-")]
    return rows


def _variant(variant: VariantRecord) -> str:
    verdict = {None: "", True: ", accurate enough", False: ", refused by the gate"}[variant.accurate]
    return f"{variant.name} for {variant.engine}, {decimal(variant.bytes)}{verdict}"


def _tensor(tensor: dict[str, Any]) -> str:
    shape = "of unknown rank" if tensor["shape"] is None else json.dumps(tensor["shape"])
    return f"{tensor['name']} {tensor['dtype']} {shape}"


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table for people; in a file, no line is broken."""
    table = Table(*head, box=SIMPLE_HEAD, show_header=any(head), pad_edge=False, show_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    Console(width=None if Console().is_terminal else _WIDTH_OF_A_FILE).print(table)

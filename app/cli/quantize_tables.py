"""What `octet quantize` shows when it is done."""

import json
from collections.abc import Sequence
from typing import Any

import click
from rich.filesize import decimal

from app.cli.model_tables import print_table
from app.control.quantize import Tried
from engines.quantize.report import Report, to_json
from model_store.records import VariantRecord, VersionRecord


def print_reports_json(tried: Sequence[Tried]) -> None:
    """Each recipe with its report, or with why there is none."""
    documents: list[dict[str, Any]] = [
        {
            "recipe": one.recipe,
            "why_not": one.why_not,
            "report": json.loads(to_json(one.report)) if one.report else None,
        }
        for one in tried
    ]
    click.echo(json.dumps(documents, indent=1))


def print_tried(record: VersionRecord, tried: Sequence[Tried], will_serve: VariantRecord) -> None:
    """A row a variant, why some are missing, and which one will serve."""
    reports = [one.report for one in tried if one.report is not None]
    if reports:
        _print_reports(record, reports)
    for one in tried:
        if one.report is None:
            click.echo(f"{one.recipe}: {one.why_not}")
        elif not one.report.verdict.passed:
            click.echo(f"{one.recipe} is refused: {'; '.join(one.report.verdict.reasons)}")
    click.echo(f"\n{record} will be served by {will_serve.name}.")


def _print_reports(record: VersionRecord, reports: Sequence[Report]) -> None:
    metric = reports[0].quality.metric
    published = record.variants[0]
    click.echo(f"{record} on this machine, beside {published.name} ({decimal(published.bytes)}):\n")
    head = ("variant", "engine", "size", "lone row", "full load", metric, "drop", "at most", "gate")
    print_table(head, [_row(report) for report in reports])


def _row(report: Report) -> tuple[str, ...]:
    quality, speed = report.quality, report.speed
    return (
        report.variant,
        report.engine,
        f"{decimal(report.bytes)} ({report.bytes / report.source_bytes:.3f})",
        f"{speed.batch_1_ratio:.2f} x",
        f"{speed.throughput_ratio:.2f} x",
        f"{quality.variant:.2%}",
        f"{quality.drop.estimate:.2%}",
        f"{quality.drop.high:.2%}",
        "passed" if report.verdict.passed else "refused",
    )

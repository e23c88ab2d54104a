"""`octet quantize --report DIR`: the reports as a folder to look at, to send on, and for programs to read."""

from collections.abc import Sequence
from pathlib import Path

from engines.quantize.charts import layers_chart, version_charts
from engines.quantize.page import Content, in_order, page
from engines.quantize.report import Report, to_json


def write_report(folder: Path, reports: Sequence[Report]) -> None:
    """Write `report.html`, every chart as .svg and .png, and `VARIANT.json`; what has these names is replaced."""
    ordered = in_order(reports)
    (folder / "report.html").write_text(page(Content(tuple(ordered))), "utf-8")
    for chart in (*version_charts(ordered), *(layers_chart(report) for report in ordered if report.layers)):
        (folder / f"{chart.name}.svg").write_text(chart.svg(), "utf-8")
        (folder / f"{chart.name}.png").write_bytes(chart.png())
    for report in ordered:
        (folder / f"{report.variant}.json").write_bytes(to_json(report))

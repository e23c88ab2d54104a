"""The reports of one version as a page: one HTML file that needs no network, no script and no other file.

`python -m engines.quantize.page` makes it in a process of its own, of a Content in JSON on standard input: what draws
takes two seconds and 90 MB, and a server has other things to do.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from engines.background import give_way
from engines.quantize.charts import layers_chart, version_charts
from engines.quantize.report import Report

_WORST_LAYERS = 10
"""So many are shown at once, the others when they are asked for."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is on the page."""

    reports: tuple[Report, ...]
    """At least one, all of the same version."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Variant -> why its report is not among them."""

    def to_json(self) -> bytes:
        """For the standard input of the process."""
        return _CONTENT.dump_json(self)


_CONTENT = TypeAdapter(Content)


def page(content: Content) -> str:
    """The page: those that passed first, the fastest on top."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # names of models and layers are the users'
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": _share, "size": _size, "detail": _detail}
    ordered = in_order(content.reports)
    return environment.get_template("page.html.j2").render(
        reports=ordered,
        first=ordered[0],
        passed=[report for report in ordered if report.verdict.passed],
        charts=version_charts(ordered),
        layers={report.variant: layers_chart(report) for report in ordered if report.layers},
        worst=_WORST_LAYERS,
        unreadable=content.unreadable,
    )


def in_order(reports: Sequence[Report]) -> list[Report]:
    """Those that passed first, of each kind the fastest on top."""
    return sorted(reports, key=lambda report: (not report.verdict.passed, -report.speed.throughput_ratio))


def _share(value: float) -> str:
    return f"{value:.2%}"


def _size(count: int) -> str:
    return f"{count / 1e6:,.2f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"


def _detail(value: object) -> str:
    """A recipe's or a host's detail; a list of words as words."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_detail, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def main() -> None:
    """Read what is on the page, write it."""
    give_way()
    content = _CONTENT.validate_json(sys.stdin.buffer.read())
    sys.stdout.buffer.write(page(content).encode())


if __name__ == "__main__":
    main()

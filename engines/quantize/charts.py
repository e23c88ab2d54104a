"""A version's reports as charts: accuracy against speed, sizes, latencies, and the error of each layer.

matplotlib is imported when the first one is drawn. A chart says everything by shape and position too, so it can be read
without its colours (which are those of Okabe and Ito, told apart by the colour-blind).
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import nan
from typing import TYPE_CHECKING, Any

from engines.quantize.report import Report, Timing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
_GREY = "#808080"
_INK = "#010203"  # what is drawn in it takes the colour of the text around an SVG
_WIDTH = 8.0  # inches
_DPI = 150
_LAYERS = 20
_LABEL_ENDS = 20, 25  # letters of a long name that are shown
_BETWEEN_PANELS = 0.08  # of a panel
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "grid.alpha": 0.35,
    "grid.color": _GREY,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: it can be searched, and read aloud
    "svg.hashsalt": "octet",  # the same reports give the same bytes
    "text.color": _INK,
    "text.parse_math": False,  # a layer may be called $x$
    "xtick.color": _INK,
    "ytick.color": _INK,
}


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. `name` is fit for a file's name; `title` says what is to be seen."""

    name: str
    title: str
    figure: "Figure"

    def svg(self) -> str:
        """An `<svg>` element, to stand in a page or in a file of its own; ids begin with the chart's name."""
        text = self._saved("svg", metadata={"Date": None}, transparent=True).decode()
        element = text[text.index("<svg") :].replace(_INK, "currentColor")
        return re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{self.name}-", element)

    def png(self) -> bytes:
        """A PNG on white."""
        return self._saved("png", dpi=_DPI, facecolor="white")

    def _saved(self, form: str, **options: Any) -> bytes:
        out = BytesIO()
        with _styled():
            self.figure.savefig(out, format=form, **options)
        return out.getvalue()


def version_charts(reports: Sequence[Report]) -> tuple[Chart, ...]:
    """What compares the variants of one version; at least one report."""
    with _styled():
        return _accuracy_and_speed(reports), _sizes(reports), _latencies(reports)


def layers_chart(report: Report) -> Chart:
    """The error of one variant's worst layers."""
    with _styled():
        return _layers(report)


@contextmanager
def _styled() -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a script that the font of PNGs has not
        yield


def _accuracy_and_speed(reports: Sequence[Report]) -> Chart:
    figure = _figure(4.2)
    axes = figure.subplots()
    axes.plot(1.0, reports[0].quality.source, "*", color=_INK, markersize=13, label="published")
    for place, report in enumerate(reports):
        _plot_variant(axes, report, place)
    limits = reports[0].verdict
    allowed = reports[0].quality.source - limits.max_drop
    axes.axhline(allowed, color=_GREY, linestyle="--", linewidth=1, label=f"allowed drop {limits.max_drop:.2%}")
    axes.axvline(
        limits.min_speedup, color=_GREY, linestyle=":", linewidth=1, label=f"least speed-up {limits.min_speedup:.2f}"
    )
    axes.set_xlim(left=0)
    axes.set_xlabel("times as fast as published, at full load")
    axes.set_ylabel(f"{_label(reports[0].quality.metric)} on {reports[0].quality.rows} rows")
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.2%}")
    axes.grid(visible=True)
    figure.legend(loc="outside right upper", title="hollow: refused")
    return Chart("accuracy-and-speed", "Accuracy against speed; bars are confidence intervals of the drop", figure)


def _plot_variant(axes: "Axes", report: Report, place: int) -> None:
    drop, source = report.quality.drop, report.quality.source
    at = source - drop.estimate
    colour = _COLOURS[place % len(_COLOURS)]
    axes.errorbar(
        report.speed.throughput_ratio,
        at,
        [[max(0.0, drop.high - drop.estimate)], [max(0.0, drop.estimate - drop.low)]],
        fmt=_MARKERS[place % len(_MARKERS)],
        color=colour,
        markerfacecolor=colour if report.verdict.passed else "none",
        markersize=8,
        capsize=3,
        elinewidth=1,
        label=_label(report.variant),
    )


def _sizes(reports: Sequence[Report]) -> Chart:
    sizes = {"published": reports[0].source_bytes} | {report.variant: report.bytes for report in reports}
    figure, axes = _rows(tuple(sizes))
    unit, divisor = ("MB", 1e6) if max(sizes.values()) >= 1e6 else ("kB", 1e3)
    colours = [_GREY, *(_COLOURS[0] for _ in reports)]
    bars = axes.barh(range(len(sizes)), [size / divisor for size in sizes.values()], color=colours, height=0.6)
    told = [f"{size / divisor:.3g} {unit} ({size / reports[0].source_bytes:.3f})" for size in sizes.values()]
    axes.bar_label(bars, told, padding=4)
    axes.margins(x=0.25)
    axes.set_xlabel(f"size in {unit}, and as a share of the published one")
    return Chart("sizes", "Size of what an engine loads", figure)


def _latencies(reports: Sequence[Report]) -> Chart:
    figure = _figure(1.6 + 0.42 * len(reports))
    panels = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": _BETWEEN_PANELS})
    for axes, rows in zip(panels, (1, 8), strict=True):
        for place, report in enumerate(reports):
            source, variant = report.speed.source, report.speed.variant
            sides = (source.batch_1, variant.batch_1) if rows == 1 else (source.batch_8, variant.batch_8)
            for side, timing in zip(("published", "variant"), sides, strict=True):
                _plot_timing(axes, timing, place, side)
        axes.set_xlim(left=0)
        axes.set_title(f"batches of {rows}" if rows > 1 else "a lone row", fontsize=10)
        axes.set_xlabel("milliseconds, one thread")
        axes.grid(visible=True, axis="x")
    _name_rows(panels[0], [report.variant for report in reports])
    handles, labels = panels[0].get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    figure.legend(by_label.values(), by_label.keys(), loc="outside upper right", ncols=2)
    return Chart("latencies", "Latency beside the published variant: median and quartiles", figure)


_SIDES: Mapping[str, Mapping[str, Any]] = {
    "published": {"color": _GREY, "fmt": "s", "markerfacecolor": "none"},
    "variant": {"color": _COLOURS[0], "fmt": "o"},
}


def _plot_timing(axes: "Axes", timing: Timing | None, place: int, side: str) -> None:
    if timing is None:
        if side == "variant":
            axes.text(0.02, place, "served unbatched", transform=axes.get_yaxis_transform(), va="center", color=_GREY)
        return
    spread = [[timing.median_ms - timing.low_ms], [timing.high_ms - timing.median_ms]]
    height = place + (0.15 if side == "published" else -0.15)
    axes.errorbar(timing.median_ms, height, xerr=spread, capsize=3, markersize=6, label=side, **_SIDES[side])


def _layers(report: Report) -> Chart:
    worst = report.layers[:_LAYERS]
    figure, axes = _rows([layer.node or layer.tensor for layer in worst])
    places = range(len(worst))
    axes.plot([layer.sqnr_db for layer in worst], places, "o", color=_COLOURS[0], label="measured")
    predicted = [nan if layer.predicted_sqnr_db is None else layer.predicted_sqnr_db for layer in worst]
    axes.plot(predicted, places, "d", color=_COLOURS[1], markerfacecolor="none", label="predicted")
    axes.set_xlabel("signal-to-noise in dB (20 dB: an error of 10 %)")
    axes.grid(visible=True)
    figure.legend(loc="outside upper right", ncols=2)
    of = f"the {len(worst)} worst of {len(report.layers)} layers" if len(worst) < len(report.layers) else "each layer"
    return Chart(f"layers-{report.variant}", f"Error of {of} of {report.variant}, measured and predicted", figure)


def _figure(height: float) -> "Figure":
    from matplotlib.figure import Figure  # not pyplot: that would keep every figure

    return Figure(figsize=(_WIDTH, height), layout="constrained")


def _rows(names: Sequence[str]) -> "tuple[Figure, Axes]":
    """A chart with a line a name, the first on top."""
    figure = _figure(1.2 + 0.3 * len(names))
    axes = figure.subplots()
    _name_rows(axes, names)
    return figure, axes


def _name_rows(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_label(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)


def _label(name: str) -> str:
    """The ends of a long name say most; what cannot be printed is no part of an SVG."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    head, tail = _LABEL_ENDS
    return shown if len(shown) <= head + tail else f"{shown[:head]}…{shown[-tail:]}"

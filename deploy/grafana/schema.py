"""Panels and dashboards as Grafana 12 reads them, no plug-in needed.

A panel is a dictionary that lacks its place; `dashboard` lays rows of panels out.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

Json = dict[str, Any]

COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "prometheus"}
"""The data source that provisioning/ makes."""
_SCHEMA_VERSION = 41
_PANEL_HEIGHT, _STAT_HEIGHT = 8, 4


class Query(NamedTuple):
    """What is asked of Prometheus, and the name of what comes back; `{{label}}` in it is replaced."""

    expr: str
    legend: str = "__auto"


class Row(NamedTuple):
    """Panels side by side, or below each other where a line is full."""

    title: str
    panels: Sequence[Json]
    per_line: int = 3


def graph(title: str, unit: str, *queries: Query, description: str = "", stacked: bool = False) -> Json:
    """Lines over time, from 0 upwards. `unit` is one of Grafana's: reqps, s, percentunit, bytes, short."""
    custom: Json = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
    if stacked:
        custom |= {"fillOpacity": 40, "stacking": {"mode": "normal", "group": "A"}}
    return _panel("timeseries", title, queries, description) | {
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def number(title: str, unit: str, expr: str, *, bad_from: float | None = None, bad_below: float | None = None) -> Json:
    """The latest value, red from a bound on or below one."""
    steps: list[Json] = [{"color": "green", "value": None}]
    if bad_from is not None:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": bad_from}]
    if bad_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": bad_below}]
    return _panel("stat", title, [Query(expr)]) | {
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}},
    }


def heat_map(title: str, unit: str, expr: str, description: str = "") -> Json:
    """How many fell into each bucket of a histogram: `expr` gives a series for each `le`."""
    panel = _panel("heatmap", title, [Query(expr, "{{le}}")], description)
    panel["targets"][0]["format"] = "heatmap"
    return panel | {
        "fieldConfig": {"defaults": {"custom": {"scaleDistribution": {"type": "linear"}}}, "overrides": []},
        "options": {
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Oranges", "scale": "exponential", "exponent": 0.5, "steps": 64},
            "filterValues": {"le": 1e-9},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "yHistogram": True},
            "yAxis": {"unit": unit, "axisPlacement": "left"},
        },
    }


def table(title: str, expr: str, *labels: str, value: str = "", description: str = "") -> Json:
    """The present series, a line each: these labels, and the value where it is given a name."""
    panel = _panel("table", title, [Query(expr)], description)
    panel["targets"][0] |= {"format": "table", "instant": True, "range": False}
    shown = [*labels, *(["Value"] if value else [])]
    organize = {
        "includeByName": dict.fromkeys(shown, True),
        "indexByName": {label: place for place, label in enumerate(shown)},
        "renameByName": {"Value": value} if value else {},
    }
    return panel | {"transformations": [{"id": "organize", "options": organize}]}


def choice(name: str, query: str) -> Json:
    """A variable with the values of a label: all of them, or those that are picked. What lacks the label is in none."""
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "A"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def dashboard(uid: str, title: str, description: str, rows: Iterable[Row], choices: Sequence[Json] = ()) -> Json:
    """The whole, refreshed every ten seconds. Every dashboard links to the others."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["octet"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "tags": ["octet"], "title": "Octet", "includeVars": True, "keepTime": True}],
        "templating": {"list": list(choices)},
        "panels": list(_laid_out(rows)),
    }


def _panel(kind: str, title: str, queries: Iterable[Query], description: str = "") -> Json:
    targets = [
        {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": query.expr, "legendFormat": query.legend}
        for place, query in enumerate(queries)
    ]
    return {"type": kind, "title": title, "description": description, "datasource": SOURCE, "targets": targets}


def _laid_out(rows: Iterable[Row]) -> Iterator[Json]:
    numbers, y = count(1), 0
    for row in rows:
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        yield {
            "id": next(numbers),
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": place,
            "panels": [],
        }
        y += 1
        width = COLUMNS // row.per_line
        height = _STAT_HEIGHT if row.panels[0]["type"] == "stat" else _PANEL_HEIGHT
        for index, panel in enumerate(row.panels):
            line, column = divmod(index, row.per_line)
            place = {"x": column * width, "y": y + line * height, "w": width, "h": height}
            yield {"id": next(numbers), "gridPos": place} | panel
        y += -(-len(row.panels) // row.per_line) * height

"""The page of a version: what it says, that it needs nothing else, and that names in it are only names."""

import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from engines.quantize.page import Content, page
from tests.engines.quantize.made_reports import layer, report

CELLS = {"dd", "dt", "h2", "li", "td", "th"}
VOID = {"br", "hr", "img", "input", "link", "meta"}


class Balanced(HTMLParser):
    """Asserts that what is opened is closed, in order; keeps the tags, their attributes and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in CELLS:
            self.words += " "

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words += data


REPORTS = (
    report("slow", ratio=1.5),
    report("broken", passed=False, ratio=9.0, drop=0.02),
    report("int8", ratio=3.0),
    report("alone", ratio=1.2, batched=False),
)


def test_it_tells_what_was_asked_what_was_found_and_where_it_comes_from() -> None:
    words = Balanced(page(Content(REPORTS))).words
    for said in (
        "3 of 4 variants passed. The fastest of them on this host is int8: 3.00 times as fast",
        "largest drop 0.50%",
        "least speed 1.00 times",
        "judged by accuracy on 540 rows",
        "published 10.00 MB, sha256 " + "a" * 64,
        "int8 onnxruntime 2.70 MB 0.270 3.00 × 3.00 × 3.00 × 98.90% 0.10% (-0.10% to 0.40%) passed",
        "unbatched",
        "broken: refused why broken is so",
        "3 that only the published variant gets right, 2 that only this one does, of 540",
        "change an answer by 0.04 of its scale; 0.001 is allowed; served unbatched",
        "first Conv 20.0 30.0 20 % leave this layer as it is second Conv 25.0 – 25 % leave",
        "seed 7 calibration MinMax excluded none rows 200",
        "calibration rows sha256 " + "b" * 64,
        "evaluation rows sha256 " + "c" * 64,
        "host: cpu Made Up 9000",
        "host: flags avx2, avx512_vnni",
    ):
        assert said in words
    headings = [words.index(f"{name}: {verdict}") for name, verdict in (
        ("int8", "passed"), ("slow", "passed"), ("alone", "passed"), ("broken", "refused"),
    )]  # fmt: skip
    assert headings == sorted(headings), "those that passed first, the fastest on top"


def test_where_none_passed_the_published_variant_serves() -> None:
    assert (
        "None of 1 variants passed: the published one serves." in Balanced(page(Content((report(passed=False),)))).words
    )


def test_it_loads_nothing_and_runs_nothing() -> None:
    tags = Balanced(page(Content(REPORTS))).tags
    assert not [tag for tag, _ in tags if tag in {"script", "iframe", "object", "img"}]
    assert not [attributes for _, attributes in tags if any(name.startswith("on") for name in attributes)]
    links = {attributes[name] for _, attributes in tags for name in ("href", "src", "xlink:href") if name in attributes}
    assert {link for link in links if not str(link).startswith("#")} == {"data:,"}
    assert sum(tag == "svg" for tag, _ in tags) == 3 + len(REPORTS)


def test_every_link_has_its_place() -> None:
    tags = Balanced(page(Content(REPORTS))).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in tags:
        link = attributes.get("href")
        assert link in (None, "data:,") or str(link)[1:] in ids


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}"])
def test_names_are_only_names(name: str) -> None:
    made = report(model=name, layers=(layer(name),))
    made = replace(made, lineage=replace(made.lineage, details={name: [name]}))
    made = replace(made, quality=replace(made.quality, metric=name), verdict=replace(made.verdict, reasons=(name,)))
    shown = Balanced(page(Content((made,))))
    assert not [tag for tag, _ in shown.tags if tag in {"script", "img"}]
    assert f"{name}@1.2.3" in shown.words
    assert f"{name} Conv 20.0" in shown.words


def test_more_than_the_worst_layers_are_folded_away() -> None:
    layers = tuple(layer(f"layer{n:02}", sqnr_db=n) for n in range(25))
    shown = Balanced(page(Content((report(layers=layers),))))
    assert "15 more" in shown.words
    assert "layer24 Conv 24.0" in shown.words


def test_a_variant_without_layers_has_no_chart_of_them() -> None:
    assert "Layers" not in Balanced(page(Content((report(layers=()),)))).words


def test_it_is_made_in_a_process_of_its_own() -> None:
    content = Content(REPORTS, {"int4": "its blob is <gone>"})
    command = (sys.executable, "-P", "-m", "engines.quantize.page")
    made = subprocess.run(command, input=content.to_json(), capture_output=True, check=True).stdout.decode()
    assert made == page(content)
    assert "The report of int4 cannot be read: its blob is <gone>" in Balanced(made).words

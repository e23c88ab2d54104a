"""The charts of a version: what they say, as XML and as PNG, whatever layers are called."""

from io import BytesIO
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from engines.quantize.charts import Chart, layers_chart, version_charts
from engines.quantize.report import Report
from tests.engines.quantize.made_reports import layer, report

REPORTS = (report("int8"), report("int8-dynamic", passed=False, ratio=0.8, batched=False))


def words(chart: Chart) -> str:
    """What is written in its SVG, which is parsed."""
    return " ".join(" ".join(ET.fromstring(chart.svg()).itertext()).split())  # noqa: S314  our own


@pytest.mark.parametrize("reports", [REPORTS[:1], REPORTS, [report(f"v{n}") for n in range(30)]], ids=len)
def test_a_version_has_its_charts_as_svg_and_png(reports: tuple[Report, ...]) -> None:
    charts = version_charts(reports)
    assert [chart.name for chart in charts] == ["accuracy-and-speed", "sizes", "latencies"]
    for chart in charts:
        assert {one.variant for one in reports} <= set(words(chart).split())
        with Image.open(BytesIO(chart.png())) as image:
            assert image.format == "PNG"
            assert image.width >= 1000


def test_they_say_what_is_measured_and_in_which_unit() -> None:
    speed, sizes, latencies = map(words, version_charts(REPORTS))
    for said in ("accuracy on 540 rows", "times as fast as published", "allowed drop 0.50%", "hollow: refused"):
        assert said in speed
    assert "10 MB (1.000)" in sizes
    assert "2.7 MB (0.270)" in sizes
    for said in ("milliseconds, one thread", "a lone row", "batches of 8", "served unbatched"):
        assert said in latencies


def test_the_worst_layers_are_on_top_and_the_good_ones_left_out() -> None:
    chart = layers_chart(report(layers=tuple(layer(f"layer{n}", sqnr_db=10 + n) for n in range(50))))
    told = words(chart)
    assert chart.name == "layers-int8"
    assert "the 20 worst of 50 layers" in chart.title
    assert "layer0 layer1" in told
    assert "layer20" not in told
    assert "signal-to-noise in dB" in told


@pytest.mark.parametrize("name", ["<script>", "$x$", "$", "a&b", "層", "\x00\x1b", "\ud800", "", 'x id="y', "n" * 500])
def test_a_layer_may_be_called_anything(name: str) -> None:
    chart = layers_chart(report(layers=(layer(name), layer("other", predicted_sqnr_db=None))))
    told = words(chart)
    assert "other" in told
    assert len(told) < 500
    if name.isprintable() and 0 < len(name) < 10 and '"' not in name:
        assert name in told
    assert chart.png()


def test_charts_share_a_page_without_sharing_ids() -> None:
    seen: set[str] = set()
    for chart in (*version_charts(REPORTS), layers_chart(REPORTS[0])):
        tree = ET.fromstring(chart.svg())  # noqa: S314  our own
        ids = [element.attrib["id"] for element in tree.iter() if "id" in element.attrib]
        assert len(ids) == len(set(ids))
        assert not seen & set(ids)
        seen |= set(ids)
        for element in tree.iter():
            points_at = element.attrib.get("{http://www.w3.org/1999/xlink}href", "")
            assert not points_at or points_at.removeprefix("#") in ids


def test_the_same_reports_give_the_same_svg() -> None:
    assert [chart.svg() for chart in version_charts(REPORTS)] == [chart.svg() for chart in version_charts(REPORTS)]

"""The reports of a version's variants, asked of a server."""

import re
from pathlib import Path

import numpy as np

from engines.quantize.report import from_json
from model_store.records import NewVariant
from tests import graphs
from tests.service.conftest import Publish, Start, corrupt
from tests.service.variants import add_variant

ROWS = {"x": np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)}


def test_a_version_shows_its_page_and_a_variant_its_report(tmp_path: Path, publish: Publish, start: Start) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    record = add_variant(store, tmp_path, store.resolve("m"), "int8", graphs.adding(1), rows=ROWS)
    record = add_variant(store, tmp_path, record, "fp16", graphs.adding(2))
    server = start()
    page = server.get("/v1/models/m/versions/1.0.0/report")
    assert page.status_code == 200, page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>m@1.0.0</h1>" in page.text
    assert page.text.count("<svg") == 3
    assert "fp16" not in page.text, "it has no report"
    report = server.get("/v1/models/m/versions/1.0.0/variants/int8/report")
    assert report.headers["content-type"] == "application/json"
    assert report.content == store.report(record, "int8")
    assert from_json(report.content).variant == "int8"
    mapped = Path(f"/proc/{server.process.pid}/maps").read_text("utf-8")
    assert "matplotlib" not in mapped, "what draws is no part of the server"


def test_a_report_that_cannot_be_read_leaves_the_others_on_the_page(
    tmp_path: Path, store_folder: Path, publish: Publish, start: Start
) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    record = store.resolve("m")
    for number, name in enumerate(("damaged", "gone", "sound")):
        record = add_variant(store, tmp_path, record, name, graphs.adding(number), rows=ROWS)
    model = graphs.save(graphs.adding(9), tmp_path / "other.onnx")
    store.add_variant(record, NewVariant("other", "onnxruntime", model, {}, {}, b'{"format": 9}', None, accurate=True))
    damaged, gone, sound = (
        store_folder / "blobs" / "sha256" / variant.report.digest for variant in record.variants[1:] if variant.report
    )
    corrupt(damaged)
    gone.unlink()
    server = start()
    page = server.get("/v1/models/m/versions/1.0.0/report")
    assert page.status_code == 200, page.text
    assert '<h2 id="sound">' in page.text
    for name, why in (("damaged", "is damaged"), ("gone", "is missing"), ("other", "none that this Octet knows")):
        assert f'<h2 id="{name}">' not in page.text
        assert re.search(f"The report of {name} cannot be read: .*{why}", page.text)
    for name, why in (("damaged", f"blob {damaged.name} is damaged"), ("gone", f"blob {gone.name} is missing")):
        answer = server.get(f"/v1/models/m/versions/1.0.0/variants/{name}/report")
        assert (answer.status_code, why in answer.json()["error"]) == (500, True)
    sound.unlink()
    answer = server.get("/v1/models/m/versions/1.0.0/report")
    assert (answer.status_code, "no report of m@1.0.0 can be read. blob" in answer.json()["error"]) == (500, True)


def test_where_there_is_no_report_is_said(tmp_path: Path, publish: Publish, start: Start) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    add_variant(store, tmp_path, store.resolve("m"), "fp16", graphs.adding(2))
    server = start()
    for path, status, told in (
        ("m/versions/1.0.0/report", 404, "no variant of m@1.0.0 has a report; `octet quantize m@1.0.0` makes variants"),
        ("m/versions/1.0.0/variants/fp16/report", 404, "has no report: it was stored without"),
        ("m/versions/1.0.0/variants/int8/report", 404, "int8"),
        ("m/versions/2.0.0/report", 404, "2.0.0"),
        ("nobody/versions/1.0.0/report", 404, "nobody"),
        ("m/versions/one/report", 400, "one"),
    ):
        answer = server.get(f"/v1/models/{path}")
        assert answer.status_code == status, answer.text
        assert told in answer.json()["error"]

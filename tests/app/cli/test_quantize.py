"""`octet quantize` on the digits model, as a user types it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from onnxruntime.quantization import quantize_dynamic

from app.cli.main import octet
from engines.quantize.report import from_json
from model_store.store import Store
from tests import graphs

DIGITS = Path(__file__).parents[3] / "examples" / "digits"
ROWS = ("--calibration", str(DIGITS / "calibration.npz"), "--evaluate", str(DIGITS / "test.npz"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the digits model."""
    folder = tmp_path_factory.mktemp("quantize") / "store"
    done = run("model", "publish", "digits", str(DIGITS / "digits.onnx"), "--version", "1.0.0", "--store", str(folder))
    assert done.exit_code == 0, done.output
    return folder


def run(*words: str) -> Result:
    return CliRunner().invoke(octet, words)


def quantize(folder: Path, *words: str) -> Result:
    return run("quantize", "digits@1.0.0", *ROWS, "--store", str(folder), *words)


def test_a_variant_is_made_measured_judged_and_stored_with_its_report(folder: Path) -> None:
    done = quantize(folder, "--recipe", "int8", "--max-drop", "1%", "--min-speedup", "0")
    assert done.exit_code == 0, done.output
    assert "digits@1.0.0 will be served by int8" in done.stdout
    with Store.open(folder) as store:
        record = store.resolve("digits")
        assert [variant.name for variant in record.variants] == ["fp32", "int8"]
        variant = record.variants[1]
        report = from_json(store.report(record, "int8"))
    assert variant.accurate
    assert variant.min_speedup == 0
    assert variant.recipe is not None
    assert variant.recipe["calibration"] == "MinMax"
    assert variant.bytes == report.bytes < 0.275 * report.source_bytes
    assert report.quality.rows == 540
    assert report.quality.variant >= report.quality.source - 0.01
    assert report.verdict.passed
    assert report.layers, "the error of each layer is told"


def test_a_variant_that_drops_too_far_is_kept_with_its_report_and_refused(folder: Path) -> None:
    done = quantize(folder, "--recipe", "int8-per-tensor", "--max-drop", "0.1%", "--min-speedup", "0")
    assert done.exit_code == 0, done.output
    assert "int8-per-tensor is refused: " in done.stdout
    assert "rows are too few to tell: at least" in done.stdout, "540 rows cannot show a tenth of a percent"
    with Store.open(folder) as store:
        (variant,) = (one for one in store.resolve("digits").variants if one.name == "int8-per-tensor")
        assert variant.accurate is False


def test_the_worst_layers_are_left_as_they_are_one_at_a_time_until_the_drop_is_allowed(folder: Path) -> None:
    """Which cannot be shown by so few rows here, so that it goes on to the last layer."""
    words = ("--recipe", "int8-percentile", "--max-drop", "0.1%", "--min-speedup", "0", "--exclude-auto")
    done = quantize(folder, *words, "--json")
    assert done.exit_code == 0, done.output
    (tried,) = json.loads(done.stdout)
    excluded = tried["report"]["lineage"]["details"]["excluded"]
    assert 1 < len(excluded) == len(set(excluded)) <= 8
    assert tried["report"]["bytes"] > 300_000, "they are in float32"


def test_two_at_once_make_one_variant(tmp_path: Path) -> None:
    """Both store it: the second one finds it there."""
    store = str(tmp_path / "store")
    published = run("model", "publish", "digits", str(DIGITS / "digits.onnx"), "--version", "1.0.0", "--store", store)
    assert published.exit_code == 0, published.output
    words = ("quantize", "digits", *ROWS, "--recipe", "int8", "--max-drop", "1%", "--json", "--store", store)
    command = (str(Path(sys.executable).with_name("octet")), *words)
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        printed, complaint = process.communicate()
        assert process.returncode == 0, complaint
        assert [one["why_not"] for one in json.loads(printed)] == [""]
    with Store.open(tmp_path / "store") as opened:
        assert [variant.name for variant in opened.resolve("digits").variants] == ["fp32", "int8"]
        assert opened.verify().findings == ()
        assert opened.gc().leftovers == 0


def test_what_was_quantized_elsewhere_passes_the_same_gate(folder: Path, tmp_path: Path) -> None:
    quantize_dynamic(DIGITS / "digits.onnx", tmp_path / "mine.onnx", op_types_to_quantize=["MatMul", "Gemm"])
    done = quantize(folder, "--import", f"mine={tmp_path / 'mine.onnx'}", "--min-speedup", "0", "--max-drop", "1%")
    assert done.exit_code == 0, done.output
    with Store.open(folder) as store:
        (variant,) = (one for one in store.resolve("digits").variants if one.name == "mine")
    assert variant.accurate
    assert variant.recipe == {"name": "mine", "method": "imported", "file": "mine.onnx"}


def test_an_import_that_clients_would_notice_is_refused(folder: Path, tmp_path: Path) -> None:
    other = graphs.save(graphs.doubling(), tmp_path / "other.onnx")
    done = quantize(folder, "--import", f"other={other}")
    assert "other: other.onnx does not keep the signature of its source: " in done.stdout


def test_reports_as_json(folder: Path) -> None:
    done = quantize(folder, "--recipe", "int8-symmetric", "--json")
    assert done.exit_code == 0, done.output
    (tried,) = json.loads(done.stdout)
    assert tried["recipe"] == "int8-symmetric"
    assert tried["report"]["lineage"]["details"]["activations"] == "int8, symmetric"


def test_a_folder_with_the_page_its_charts_and_the_reports(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "report"
    done = quantize(folder, "--recipe", "int8-entropy", "--max-drop", "1%", "--min-speedup", "0", "--report", str(out))
    assert done.exit_code == 0, done.output
    charts = {f"{name}.{kind}" for name in ("accuracy-and-speed", "sizes", "latencies", "layers-int8-entropy")
              for kind in ("svg", "png")}  # fmt: skip
    assert {path.name for path in out.iterdir()} == {"report.html", "int8-entropy.json"} | charts
    assert "digits@1.0.0" in (out / "report.html").read_text("utf-8")
    with Store.open(folder) as store:
        assert (out / "int8-entropy.json").read_bytes() == store.report(store.resolve("digits"), "int8-entropy")
    again = quantize(folder, "--recipe", "int8-entropy", "--max-drop", "0%", "--report", str(tmp_path / "again"))
    assert "already, with another verdict" in again.stdout
    assert "nothing was measured" in again.stderr
    assert not list((tmp_path / "again").iterdir())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--recipe", "int7"), "there is no recipe 'int7'; the recipes are: int8,"),
        (("--import", "int8=mine.onnx"), "'int8' is the name of a recipe"),
        (("--import", "auto=mine.onnx"), "'auto' is the name of a recipe or policy"),
        (("--import", "mine.onnx"), "'mine.onnx' is no NAME=FILE"),
        (("--max-drop", "much"), "'much' is no share; write it as 0.5% or as 0.005"),
        (("--max-drop", "101%"), "is no share"),
        (("--calibration", "nowhere.npz"), "nowhere.npz does not exist"),
        (("--metric", "f1"), "metric 'f1' is not known; there are accuracy"),
        (("--seed", "-1"), "-1 is not in the range 0<=x<=4294967295"),
        (("--report", "/proc/nowhere"), "no report can be written to /proc/nowhere"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(folder: Path, words: tuple[str, ...], told: str) -> None:
    done = quantize(folder, *words)
    assert done.exit_code != 0
    assert told in f"{done.output}{done.exception}"

"""`octet quantize` with the PyTorch module that a model came from."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli.main import octet
from app.control.quantize import Wish, _chosen
from engines.quantize.gate import Limits
from engines.quantize.recipes import FROM_NETWORK
from engines.quantize.rows import RowsSpec
from model_store.store import Store

pytestmark = pytest.mark.timeout(300)  # the libraries are imported anew, at the lowest priority

DIGITS = Path("examples/digits")
ROWS = ("--calibration", str(DIGITS / "calibration.npz"), "--evaluate", str(DIGITS / "test.npz"))
NETWORK = ("--network", "examples.digits.network:network")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the digits model."""
    folder = tmp_path_factory.mktemp("network") / "store"
    done = run("model", "publish", "digits", str(DIGITS / "digits.onnx"), "--version", "1.0.0", "--store", str(folder))
    assert done.exit_code == 0, done.output
    return folder


def run(*words: str) -> Result:
    return CliRunner().invoke(octet, words)


def quantize(folder: Path, *words: str) -> Result:
    done = run("quantize", "digits@1.0.0", *ROWS, "--store", str(folder), *words)
    assert done.exit_code == 0, done.output
    return done


def test_a_variant_is_made_of_the_module_and_judged_like_any_other(folder: Path) -> None:
    done = quantize(folder, *NETWORK, "--recipe", "int8-litert", "--max-drop", "1%", "--min-speedup", "0", "--json")
    (tried,) = json.loads(done.stdout)
    report = tried["report"]
    assert (report["engine"], report["verdict"]["passed"]) == ("litert", True)
    assert report["lineage"]["details"]["network"] == "examples.digits.network:network"
    assert report["batch_mates"]["invariant"]
    with Store.open(folder) as store:
        (variant,) = (one for one in store.resolve("digits").variants if one.name == "int8-litert")
    assert (variant.engine, [file.name for file in variant.files]) == ("litert", ["model.tflite"])


def test_training_needs_a_function_that_trains(folder: Path) -> None:
    done = quantize(folder, *NETWORK, "--recipe", "int8-qat")
    assert "int8-qat: skipped: nothing trains it: --fine-tune module:function" in done.stdout


@pytest.mark.parametrize("network", [None, "nets:net"])
def test_recipes_of_a_module_are_tried_by_themselves_where_there_is_one(network: str | None) -> None:
    rows = RowsSpec(str(DIGITS / "calibration.npz"))
    tried = {recipe.name for recipe in _chosen(Wish(rows, rows, Limits(0.01, 1.0), network=network))}
    theirs = {recipe.name for recipe in FROM_NETWORK}
    assert tried & theirs == (theirs if network else set())

"""Recipes that start from a PyTorch module, on the digits network and its rows, by the libraries of `make tools`."""

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from engines import litert_engine, onnxruntime_engine
from engines.engine import Array, Arrays
from engines.errors import QuantizeError
from engines.onnx_file import read_onnx
from engines.quantize import tools
from engines.quantize.recipe import Options, Source
from engines.quantize.recipes import FROM_NETWORK
from engines.quantize.rows import RowsSpec
from engines.signature import Signature, TensorSpec
from tests.engines.quantize.conftest import DIGITS

pytestmark = pytest.mark.timeout(300)  # the libraries are imported anew, at the lowest priority

RECIPE = {recipe.name: recipe for recipe in FROM_NETWORK}
LOAD = {"onnxruntime": onnxruntime_engine.load, "litert": litert_engine.load}
FIT_DIGITS = {  # name -> the most bytes, as a share of the source's, and the least signal to noise in dB
    "int8-pt2e": (0.27, 40),
    "int8-qat": (0.27, 20),  # other weights answer otherwise
    "int8-litert": (0.29, 36),
    "int8-dynamic-litert": (0.275, 40),
}
TRACES = (b"/work", b"/tmp", b"/home", b"/root", b"site-packages", b".py", b"torch.nn", b"Sequential")
FUSED_DIGITS = {"QLinearConv": 5, "NhwcMaxPool": 1, "QLinearGlobalAveragePool": 1, "QGemm": 1}
REFUSED = {
    "untrained": r"torch_networks:untrained is not this model: 'logits' differs by \S+, where values go up to 4.3; ",
    "flat": r"does not run the model's inputs, in their order \(image float32 \[8, 1, 8, 8\]\): mat1 and mat2 shapes",
    "two_answers": "is not this model: it gives 2 outputs instead of 1; give the one that the model was exported from",
    "weights": "torch_networks:weights gave dict; it must give a torch.nn.Module",
    "fails": "torch_networks:fails failed with FileNotFoundError: weights.pt",
    "nothing_there": "torch_networks:nothing_there cannot be imported",
    "nothing to quantize": "there is nothing to quantize in this module, or all of it was left out",
    "a layer without weights": "'node_relu' cannot be left out: it takes no weights under the name",
}

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def network(digits: Source) -> Source:
    """The digits model, and the module that it came from."""
    return replace(digits, network="examples.digits.network:network", fine_tune="examples.digits.network:fine_tune")


@pytest.fixture(scope="module")
def make(network: Source, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a variant, once."""

    @cache
    def made(name: str, *exclude: str) -> Path:
        recipe = RECIPE[name]
        assert (tools.missing(recipe), recipe.refuses(network)) == (None, None)
        rows = RowsSpec(str(DIGITS / "calibration.npz")) if recipe.calibrates else None
        folder = tmp_path_factory.mktemp(name)
        return tools.make(recipe, network, rows, folder, Options(exclude), lambda what, done: None).main

    return made


@pytest.fixture(scope="module")
def in_torch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of what `torch_networks` makes, and what it tells."""
    folder = tmp_path_factory.mktemp("torch")
    command = ["build/tools/torch/bin/python", "-m", "tests.engines.quantize.torch_networks", str(folder)]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(Path.cwd())}, capture_output=True, text=True, check=True
    )
    return folder, json.loads(done.stdout.splitlines()[-1])


def answers(engine: str, path: Path, signature: Signature, inputs: Arrays, batch: int) -> dict[str, Array]:
    """Of an engine, so many rows at a time."""
    opened = LOAD[engine](path, signature, instances=1, threads=1)
    runner, count = opened.runner(), len(next(iter(inputs.values())))
    some = [
        runner.run({name: array[start : start + batch] for name, array in inputs.items()})
        for start in range(0, count, batch)
    ]
    opened.close()
    return {spec.name: np.concatenate([one[spec.name] for one in some]) for spec in signature.outputs}


def operators(path: Path, folder: Path) -> Counter[str]:
    """What ONNX Runtime makes of a file: its optimised graph, without what only moves values."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(folder / "optimized.onnx").graph
    return Counter(
        node.op_type for node in graph.node if node.op_type not in ("QuantizeLinear", "Transpose", "Reshape")
    )


@pytest.mark.parametrize("name", FIT_DIGITS)
def test_a_variant_of_digits_keeps_signature_and_accuracy(name: str, make: Make, digits: Source) -> None:
    path, (most_bytes, least_db) = make(name), FIT_DIGITS[name]
    assert path.stat().st_size < most_bytes * digits.path.stat().st_size
    with np.load(DIGITS / "test.npz") as test:
        images, labels = test["image"], test["labels"]
    before = answers("onnxruntime", digits.path, digits.signature, {"image": images}, 60)["logits"]
    after = answers(RECIPE[name].engine, path, digits.signature, {"image": images}, 60)["logits"]
    assert np.mean(after.argmax(1) == labels) >= np.mean(before.argmax(1) == labels) - 0.005
    assert 10 * np.log10((before**2).sum() / ((before - after) ** 2).sum()) > least_db


@pytest.mark.parametrize("name", ["int8-litert", "int8-dynamic-litert"])
def test_a_row_is_answered_alike_in_a_batch_of_any_size(name: str, make: Make, digits: Source) -> None:
    with np.load(DIGITS / "test.npz") as test:
        images = {"image": test["image"][:51]}
    alone, *together = (
        answers("litert", make(name), digits.signature, images, batch)["logits"] for batch in (1, 8, 13)
    )
    for answered in together:
        assert np.array_equal(answered, alone)


@pytest.mark.parametrize("name", ["int8-pt2e", "int8-qat"])
def test_all_of_digits_is_computed_in_int8(name: str, make: Make, digits: Source, tmp_path: Path) -> None:
    path = make(name)
    assert operators(path, tmp_path) == FUSED_DIGITS
    assert read_onnx(path).signature == digits.signature


def test_an_excluded_layer_stays_float(make: Make, tmp_path: Path) -> None:
    found = operators(make("int8-pt2e", "node_Conv_84", "node_linear"), tmp_path)
    assert (found["QLinearConv"], found["Conv"], found["QGemm"], found["Gemm"]) == (4, 1, 0, 1)


def test_litert_leaves_no_layer_out(network: Source, tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="no layer of a LiteRT file can be left float; try it without --exclude"):
        RECIPE["int8-litert"].make(network, None, tmp_path, Options(exclude=("node_Conv_84",)), lambda what, done: None)


@pytest.mark.parametrize("name", FIT_DIGITS)
def test_no_file_says_where_it_was_made(name: str, make: Make) -> None:
    content = make(name).read_bytes()
    assert [path for path in TRACES if path in content] == []


@pytest.mark.parametrize("name", ["calibrated", "trained"])
def test_residual_blocks_are_computed_in_int8(name: str, in_torch: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Each branch and their sum, with batch normalization; not only what the next convolution takes."""
    expected = {"QLinearConv": 5, "QLinearAdd": 2, "QLinearGlobalAveragePool": 1, "QGemm": 1}
    assert operators(in_torch[0] / f"{name}.onnx", tmp_path) == expected


def test_training_quantizes_behind_what_is_fused_to_a_convolution_or_a_sum(
    in_torch: tuple[Path, dict[str, Any]],
) -> None:
    """Behind its normalization and activation; a convolution that goes into a sum ends with its normalization."""
    block = ["relu_1", "batch_norm_1", "relu_2"]
    assert in_torch[1]["ends"] == ["relu", *block, "relu_3", "batch_norm_3", "relu_4"]


def test_a_converted_module_has_the_names_and_order_of_the_signature(in_torch: tuple[Path, dict[str, Any]]) -> None:
    """Which its own arguments and answers have not."""
    inputs = (TensorSpec("ids", "int64", (-1, 4)), TensorSpec("mask", "float32", (-1, 4)))
    outputs = (TensorSpec("mean", "float32", (-1, 16)), TensorSpec("score", "float32", (-1, 1)))
    signature = Signature(inputs, outputs, 0)
    with np.load(in_torch[0] / "words.npz") as words:
        found = answers("litert", in_torch[0] / "words.tflite", signature, {k: words[k] for k in ("ids", "mask")}, 11)
        for name in ("mean", "score"):
            np.testing.assert_allclose(found[name], words[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", REFUSED)
def test_a_module_that_is_not_the_model_is_refused(case: str, in_torch: tuple[Path, dict[str, Any]]) -> None:
    assert re.search(REFUSED[case], in_torch[1]["refusals"][case])


@pytest.mark.parametrize("name", FIT_DIGITS)
def test_without_a_network_a_recipe_says_which_option_gives_it(name: str, digits: Source) -> None:
    told = RECIPE[name].refuses(replace(digits, fine_tune="nets:train"))
    assert told == "no network was given: --network module:function"


def test_without_training_there_is_none_that_was_trained(digits: Source) -> None:
    told = RECIPE["int8-qat"].refuses(replace(digits, network="nets:net"))
    assert told == "nothing trains it: --fine-tune module:function"


@pytest.mark.parametrize("shape", [(-1, -1, 8), None])
def test_litert_refuses_what_it_would_fix(shape: tuple[int, ...] | None) -> None:
    given = TensorSpec("ids", "int64", (-1, 8)), TensorSpec("mask", "float32", shape)
    source = Source(Path("model.onnx"), Signature(given, given[:1], 0), network="nets:net")
    told = RECIPE["int8-litert"].refuses(source)
    assert told == "LiteRT fixes all dimensions but the batch, and 'mask' has more that are dynamic"

"""How a servable is served, as Triton's ModelConfig."""

import json
from typing import Any

import pytest

from app.protocols.triton_config import model_config
from app.serving.servable import QueueLimits
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec
from tests.app.conftest import MakeServable

LIMITS = QueueLimits(max_batch_rows=8, queue_rows=64, max_wait_seconds=0.0025, deadline_seconds=10.0)


def as_read(document: object) -> Any:
    return json.loads(json.dumps(document))


async def test_a_batched_model(make_servable: MakeServable) -> None:
    servable = make_servable("Digits", "1.2.0", limits=LIMITS, instances=2)
    assert as_read(model_config(servable)) == {
        "name": "Digits",
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "version_policy": {"all": {}},
        "max_batch_size": 64,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [2]}],
        "instance_group": [{"name": "Digits", "kind": "KIND_CPU", "count": 2, "gpus": []}],
        "dynamic_batching": {
            "preferred_batch_size": [8],
            "max_queue_delay_microseconds": 2500,
            "priority_levels": 3,
            "default_priority_level": 2,
        },
    }


async def test_an_unbatched_model_keeps_all_dimensions(make_servable: MakeServable) -> None:
    config = as_read(model_config(make_servable(batched=False)))
    assert (config["max_batch_size"], config["input"][0]["dims"]) == (0, [-1, 2])
    assert "dynamic_batching" not in config


@pytest.mark.parametrize(
    ("inputs", "outputs", "most", "dims"),
    [
        ([(-1, 3, 4)], [(-1,)], 64, [[3, 4], []]),
        ([(-1, 3), (-1,)], [(-1, 5)], 0, [[-1, 3], [-1], [-1, 5]]),
        ([(-1,)], [(-1,)], 0, [[-1], [-1]]),
        ([None], [(-1, 2)], 0, [[-1], [-1, 2]]),
        ([(-1, 2)], [None], 64, [[2], [-1]]),
    ],
)
async def test_an_input_of_rank_1_takes_the_batch_dimension_along(
    inputs: list[tuple[int, ...] | None],
    outputs: list[tuple[int, ...] | None],
    most: int,
    dims: list[list[int]],
    make_servable: MakeServable,
) -> None:
    servable = make_servable(limits=LIMITS)
    named = [[TensorSpec(f"t{i}", "float32", shape) for i, shape in enumerate(shapes)] for shapes in (inputs, outputs)]
    servable.signature = Signature(tuple(named[0]), tuple(named[1]), 0)
    config = as_read(model_config(servable))
    assert config["max_batch_size"] == most
    assert [tensor["dims"] for tensor in (*config["input"], *config["output"])] == dims


async def test_every_dtype_has_its_name(make_servable: MakeServable) -> None:
    servable = make_servable()
    servable.signature = Signature(tuple(TensorSpec(dtype, dtype, (2,)) for dtype in NUMPY_DTYPES), (), None)
    assert {tensor["name"]: tensor["data_type"] for tensor in model_config(servable)["input"]} == {
        "float16": "TYPE_FP16", "bfloat16": "TYPE_BF16", "float32": "TYPE_FP32", "float64": "TYPE_FP64",
        "int8": "TYPE_INT8", "int16": "TYPE_INT16", "int32": "TYPE_INT32", "int64": "TYPE_INT64",
        "uint8": "TYPE_UINT8", "uint16": "TYPE_UINT16", "uint32": "TYPE_UINT32", "uint64": "TYPE_UINT64",
        "bool": "TYPE_BOOL", "string": "TYPE_STRING",
    }  # fmt: skip

"""What it costs to read and to write one image, 1x3x224x224 in float32, without a server around it.

Beside the codecs stand the two ways that a handler of one's own would take, with whatever they leave unchecked.
"""

import json
from collections.abc import Callable, Mapping
from statistics import median
from timeit import timeit
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson

from app.protocols import open_inference, tfserving
from app.protocols.shared_memory import Regions
from app.serving.servable import Identity
from benchmarks.results import Result
from benchmarks.run import Run
from engines.signature import Signature, TensorSpec

SHAPE = (1, 3, 224, 224)
SIGNATURE = Signature(
    (TensorSpec("x", "float32", (-1, *SHAPE[1:])),), (TensorSpec("y", "float32", (-1, *SHAPE[1:])),), 0
)
IDENTITY = Identity("image", "1.0.0", "fp32", "onnxruntime")
# Of one kind of work in a round.
_SECONDS = 0.1

Array = np.ndarray[Any, Any]


def codecs(run: Run) -> list[Result]:
    """Decode and encode, each beside `json` + numpy and orjson + numpy, or for bytes beside the bare copy."""
    image = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    return [*_decoding(run, image), *_encoding(run, image)]


def _decoding(run: Run, image: Array) -> list[Result]:
    v1, v2 = _codecs()
    rows = orjson.dumps({"instances": image}, option=orjson.OPT_SERIALIZE_NUMPY)
    flat, nested = (_request(data=data) for data in (image.ravel(), image))
    head = _request(parameters={"binary_data_size": image.nbytes})
    raw = head + image.tobytes()

    def by_hand(loads: Callable[[bytes], Any]) -> Callable[[], Array]:
        return lambda: np.array(loads(rows)["instances"], np.float32)

    hands = {"json + numpy": by_hand(json.loads), "orjson + numpy": by_hand(orjson.loads)}
    return [
        _compare(run, "decode /v1 JSON", lambda: v1.decode_quickly(rows), hands, 0.5),
        _compare(run, "decode /v2 JSON, flat", lambda: v2.decode_quickly(flat), hands, 0.5),
        _compare(run, "decode /v2 JSON, nested", lambda: v2.decode_quickly(nested), hands, 0.5),
        _compare(run, "decode /v2 binary", lambda: v2.decode_quickly(raw, len(head)), {"one copy": image.copy}, 1.5),
    ]


def _encoding(run: Run, image: Array) -> list[Result]:
    v1, v2 = _codecs()
    outputs = {"y": image}
    as_json = v2.decode_exactly(_request(data=image.ravel())).form
    as_bytes = v2.decode_exactly(_request({"binary_data_output": True}, data=image.ravel())).form
    hands = {
        "json + numpy": lambda: json.dumps({"predictions": image.tolist()}).encode(),
        "orjson + numpy": lambda: orjson.dumps({"predictions": image.tolist()}),
    }
    return [
        _compare(run, "encode /v1 JSON", lambda: v1.encode(outputs, tfserving.ROW, IDENTITY), hands),
        _compare(run, "encode /v2 JSON", lambda: v2.encode(outputs, as_json, IDENTITY), hands),
        _compare(run, "encode /v2 binary", lambda: v2.encode(outputs, as_bytes, IDENTITY), {"one copy": image.tobytes}),
    ]


def _codecs() -> tuple[Any, Any]:
    regions = Regions(enabled=False)
    return tfserving.codec(SIGNATURE, regions), open_inference.codec(SIGNATURE, regions)


def _request(asked: Mapping[str, Any] = MappingProxyType({}), **tensor: Any) -> bytes:
    """A V2 request of one tensor with these fields; `asked` are the request's own parameters."""
    tensor = {"name": "x", "shape": SHAPE, "datatype": "FP32", **tensor}
    document = {"parameters": dict(asked), "inputs": [tensor]}
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _compare(
    run: Run, case: str, work: Callable[[], Any], others: Mapping[str, Callable[[], Any]], target: float | None = None
) -> Result:
    """The ratio is to the last of the others."""
    rounds = [{name: _seconds(each) for name, each in {"": work, **others}.items()} for _ in range(run.rounds)]
    *_, last = others
    ours, *theirs = (f"{median(one[name] for one in rounds) * 1e6:,.0f} us {name}".rstrip() for name in rounds[0])
    return Result(
        part="codecs",
        case=f"{case}, against {last}",
        measured=f"{ours}; {', '.join(theirs)}",
        value=median(one[""] / one[last] for one in rounds),
        unit="x",
        target=target,
        lower_is_better=True,
    )


def _seconds(work: Callable[[], Any]) -> float:
    """Of one call, the fastest of a tenth of a second."""
    times = max(1, round(_SECONDS / 5 / max(timeit(work, number=1), 1e-7)))
    return min(timeit(work, number=times) for _ in range(5)) / times

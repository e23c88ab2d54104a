"""A server of small models for every rule of TensorFlow Serving's REST API."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from onnx import ModelProto

from engines.signature import NUMPY_DTYPES
from tests import graphs
from tests.service.conftest import put_refused, store_at
from tests.service.networks import pair
from tests.service.process import Octet
from tests.service.wire import Answer, request

Shapes = Mapping[str, graphs.Shape]
Ask = Callable[..., Answer]
"""`(method, path, body=...)`: the answer to these bytes; nothing between the test and the server tidies the path up."""
Predict = Callable[[str, object], Any]
"""`(model, body)`: the document of a 200; the body as JSON, or as it is where it is bytes."""
Refuse = Callable[..., str]
"""`(model, body, status=400)`: the error's text."""


def copies(dtype: str = "float32", **shapes: graphs.Shape) -> ModelProto:
    """An output `of_NAME` for each input, the same values."""
    return graphs.model(
        [graphs.node("Identity", [name], [f"of_{name}"]) for name in shapes],
        [graphs.value(name, dtype, shape) for name, shape in shapes.items()],
        [graphs.value(f"of_{name}", dtype, shape) for name, shape in shapes.items()],
    )


def text_as_bytes() -> ModelProto:
    """`plain` and `raw_bytes` are both the text `x`."""
    nodes = [graphs.node("Identity", ["x"], [name]) for name in ("plain", "raw_bytes")]
    ends = [graphs.value(name, "string", ["N"]) for name in ("x", "plain", "raw_bytes")]
    return graphs.model(nodes, ends[:1], ends[1:])


def with_total() -> ModelProto:
    """`y = x` with a row each, and `total`, the sum of all, of rank 0."""
    nodes = [graphs.node("Identity", ["x"], ["y"]), graphs.node("ReduceSum", ["x"], ["total"], keepdims=0)]
    return graphs.model(
        nodes, [graphs.value("x", shape=["N"])], [graphs.value("y", shape=["N"]), graphs.value("total", shape=[])]
    )


MODELS = {
    **{dtype: graphs.identity(dtype, ["N"]) for dtype in NUMPY_DTYPES},
    "matrix": graphs.identity("float32", ["N", "M"]),
    "text_matrix": graphs.identity("string", ["N", "M"]),
    "scalar": graphs.identity("float32", []),
    "pair": pair(),
    "apart": copies(a=["A"], b=["B"]),
    "as_bytes": text_as_bytes(),
    "with_total": with_total(),
}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    """MODELS as 1.0.0; `versioned` adds to its input the number of its version; nothing of `broken` can be loaded."""
    folder = tmp_path_factory.mktemp("tensorflow_serving")
    with store_at(folder / "store") as publish:
        for name, model in MODELS.items():
            publish(name, "1.0.0", model)
        publish("versioned", "1.0.0", graphs.adding(100), "stable")
        publish("versioned", "1.2.0", graphs.adding(120))
        publish("versioned", "1.10.0", graphs.adding(200))
        publish("versioned", "2.0.0", graphs.adding(300), "canary")
        publish("versioned", "3.0.0-rc.1", graphs.adding(400))
        publish("early", "0.1.0", graphs.adding(1))
        store = publish("early", "1.0.0", graphs.adding(2))
        put_refused(store, "broken", "1.0.0", folder)
    with Octet(folder, folder / "store") as octet:
        yield octet
        octet.stop()


@pytest.fixture
def ask(server: Octet) -> Ask:
    def ask(method: str, path: str, body: object = b"", *headers: str) -> Answer:
        with server.connect() as wire:
            return wire.send(request(body, path, *headers, method=method)).answer(method)

    return ask


@pytest.fixture
def predict(ask: Ask) -> Predict:
    def predict(model: str, body: object) -> Any:
        answer = ask("POST", f"/v1/models/{model}:predict", body)
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    return predict


@pytest.fixture
def refuse(ask: Ask) -> Refuse:
    def refuse(model: str, body: object, status: int = 400) -> str:
        answer = ask("POST", f"/v1/models/{model}:predict", body)
        assert answer.status == status, answer.body
        return answer.error

    return refuse

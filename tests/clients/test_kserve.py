"""KServe's InferenceRESTClient, over its V1 protocol and over V2."""

from typing import Any

import numpy as np
import pytest

from tests.clients.client import Client, Refused, arrays
from tests.clients.conftest import Connect
from tests.clients.scripts.lines import Array, pack
from tests.clients.served import DATATYPES, assert_same, expected
from tests.clients.values import VALUES
from tests.service.process import Octet

A, B = np.array([[1, 2.5, 3]], np.float32), np.array([[3, 2, 1]])
PROTOCOLS = ["v1", "v2"]


@pytest.fixture(scope="module")
def clients(server: Octet, connect: Connect) -> dict[str, Client]:
    return {protocol: connect("kserve", "kserve_rest.py", server.url, protocol) for protocol in PROTOCOLS}


@pytest.fixture
def v1(clients: dict[str, Client]) -> Client:
    return clients["v1"]


@pytest.fixture
def v2(clients: dict[str, Client]) -> Client:
    return clients["v2"]


def named(name: str, array: Array, *, binary: bool) -> dict[str, Any]:
    return {"name": name, "tensor": pack(array), "binary": binary}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_it_is_live_and_the_model_is_ready(clients: dict[str, Client], protocol: str) -> None:
    assert clients[protocol].ask("is_server_live") is True
    assert clients[protocol].ask("is_model_ready", "double") is True


def test_it_is_ready(v2: Client) -> None:
    assert v2.ask("is_server_ready") is True


def test_v1_predict_gives_a_dictionary(v1: Client) -> None:
    assert v1.ask("predict", "double", {"instances": [[1, 2], [3, 0.5]]}) == {"predictions": [[2, 4], [6, 1]]}


def test_v1_predict_of_several_inputs(v1: Client) -> None:
    row = {"a": A[0].tolist(), "b": B[0].tolist()}
    wanted = {name: array[0].tolist() for name, array in expected("pair", a=A, b=B).items()}
    assert v1.ask("predict", "pair", {"instances": [row]}) == {"predictions": [wanted]}


def test_v1_tells_an_unknown_model(v1: Client) -> None:
    with pytest.raises(Refused, match=r"no model 'dooble'.*404") as refused:
        v1.ask("is_model_ready", "dooble")
    assert refused.value.status == 404


def test_v1_tells_why_a_body_is_refused(v1: Client) -> None:
    with pytest.raises(Refused, match=r"input 'x' has shape \[1, 3\], expected \[\?, 2\].*400") as refused:
        v1.ask("predict", "double", {"instances": [[1, 2, 3]]})
    assert refused.value.status == 400


def test_v1_explain_is_answered_in_words(v1: Client) -> None:
    with pytest.raises(Refused, match=r"no explainer.*501") as refused:
        v1.ask("explain", "double", {"instances": [[1, 2]]})
    assert refused.value.status == 501


def test_v2_an_unknown_model_is_not_ready(v2: Client) -> None:
    assert v2.ask("is_model_ready", "dooble") is False


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("dtype", DATATYPES.values())
def test_v2_infer_of_every_datatype(v2: Client, dtype: str, *, binary: bool) -> None:
    x = VALUES[dtype]
    sent = binary or dtype == "float16"  # the client itself sends no FP16 as JSON
    inputs, outputs = [named("x", x, binary=sent)], [{"name": "y", "binary": binary}]
    answer = v2.ask("infer", f"same_{dtype}", inputs=inputs, outputs=outputs)
    assert_same(arrays(answer["outputs"]), expected(f"same_{dtype}", x=x))


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_v2_infer_of_several_inputs_and_outputs(v2: Client, *, binary: bool) -> None:
    """`binary_data_output` asks for all outputs at once."""
    answer = v2.ask(
        "infer",
        "pair",
        inputs=[named("a", A, binary=binary), named("b", B, binary=not binary)],
        parameters={"binary_data_output": binary},
        request_id="mine",
    )
    assert_same(arrays(answer["outputs"]), expected("pair", a=A, b=B))
    assert answer["id"] == "mine"
    assert answer["model_name"] == "pair"


def test_v2_tells_why_a_request_is_refused(v2: Client) -> None:
    with pytest.raises(Refused, match=r"400 Bad Request") as refused:
        v2.ask("infer", "double", inputs=[named("z", A, binary=True)])
    assert refused.value.status == 400
    assert "'z'" in refused.value.message

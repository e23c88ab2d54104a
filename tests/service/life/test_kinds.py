"""Models of every kind, from publishing to an answer over HTTP."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.graphs import operator
from tests.service.conftest import store_at
from tests.service.networks import pair, share_of_largest
from tests.service.process import Octet

MODELS = {
    "fixed": operator("Neg", shape=(2, 2)),
    "softmax0": operator("Softmax", axis=0),
    "share": share_of_largest(),
    "rank0": operator("Neg", shape=()),
    "text": operator("Identity", "string"),
    "pair": pair(("N", 2)),
    "float16": operator("Neg", "float16"),
    "bfloat16": operator("Identity", "bfloat16"),
    "int8": operator("Neg", "int8"),
    "int64": operator("Identity", "int64"),
    "uint64": operator("Identity", "uint64"),
    "bool": operator("Not", "bool"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    folder = tmp_path_factory.mktemp("kinds")
    with store_at(folder / "store") as publish:
        for name, model in MODELS.items():
            publish(name, "1.0.0", model)
    with Octet(folder, folder / "store", split=(2, 1)) as server:
        yield server


def test_everything_is_loaded(server: Octet) -> None:
    assert not server.log("version cannot be loaded")
    assert server.get("/healthz/ready").status_code == 200


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("fixed", "served unbatched: the model has no dynamic batch axis"),
        ("rank0", "served unbatched: the model has no dynamic batch axis"),
        ("softmax0", "served unbatched: output 'y' of a row changes by"),
        ("share", "served unbatched: output 'y' of a row changes by"),
        ("float16", ""),
        ("text", ""),
    ],
)
def test_the_status_says_whether_requests_share_batches_and_why_not(server: Octet, name: str, why: str) -> None:
    status = server.status(name, "1.0.0")
    assert status["batched"] is not bool(why)
    assert status["notes"].startswith(why) if why else status["notes"] == ""
    assert status["max_batch_rows"] == (1 if why else 64)


async def answers(server: Octet, name: str, bodies: list[dict[str, Any]]) -> list[Any]:
    """All at once, from as many connections."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        asked = [client.post(f"/v1/models/{name}:predict", json=body) for body in bodies]
        answered = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answered] == [200] * len(bodies), answered[0].text
    return [answer.json() for answer in answered]


async def test_rows_that_influence_each_other_never_meet_those_of_others(server: Octet) -> None:
    """The largest of each request is another power of two, so a stranger in the batch would show in every number."""
    bodies = [{"instances": [[1, 2], [2**power, 0]]} for power in range(2, 34)]
    for power, answer in enumerate(await answers(server, "share", bodies), start=2):
        expected = np.array([[2.0**-power, 2.0 ** (1 - power)], [1, 0]], np.float32)
        assert np.array_equal(np.array(answer["predictions"], np.float32), expected)


async def test_softmax_over_the_batch_is_over_the_requests_own_rows(server: Octet) -> None:
    bodies = [{"instances": [[number, 0]] * rows} for number, rows in enumerate((1, 2, 4) * 8)]
    expected = [{"predictions": [[1 / rows, 1 / rows]] * rows} for rows in (1, 2, 4) * 8]  # exact in binary
    assert await answers(server, "softmax0", bodies) == expected


async def test_a_model_of_fixed_shape_answers_many_at_once(server: Octet) -> None:
    bodies = [{"inputs": [[number, 1], [2, 3]]} for number in range(32)]
    assert await answers(server, "fixed", bodies) == [{"outputs": [[-number, -1], [-2, -3]]} for number in range(32)]


async def test_batched_rows_come_back_to_their_own_request(server: Octet) -> None:
    bodies = [{"instances": [[number, row] for row in range(1 + number % 5)]} for number in range(60)]
    assert await answers(server, "int64", bodies) == [{"predictions": body["instances"]} for body in bodies]


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("rank0", {"inputs": 1.5}, {"outputs": -1.5}),
        ("rank0", {"inputs": {"x": -2}}, {"outputs": 2.0}),
        ("text", {"instances": [["a", "ä😀"], ["", "b"]]}, {"predictions": [["a", "ä😀"], ["", "b"]]}),
        ("text", {"instances": [["a", {"b64": "w6Q="}]]}, {"predictions": [["a", "ä"]]}),
        (
            "pair",
            {"instances": [{"a": [1, 5], "b": [2, 2]}]},
            {"predictions": [{"sum": [3, 7], "less": [True, False]}]},
        ),
        (
            "pair",
            {"inputs": {"a": [[1, 5]], "b": [[2, 2]]}},
            {"outputs": {"sum": [[3, 7]], "less": [[True, False]]}},
        ),
        ("float16", {"instances": [[0.1, 65504]]}, {"predictions": [[-0.099975586, -65504.0]]}),
        ("bfloat16", {"instances": [[1.5, -3]]}, {"predictions": [[1.5, -3.0]]}),
        ("int8", {"instances": [[-127, 127]]}, {"predictions": [[127, -127]]}),
        ("int64", {"instances": [[2**53 + 1, -(2**63)]]}, {"predictions": [[2**53 + 1, -(2**63)]]}),
        ("uint64", {"instances": [[2**64 - 1, 0]]}, {"predictions": [[2**64 - 1, 0]]}),
        ("bool", {"instances": [[True, False]]}, {"predictions": [[False, True]]}),
    ],
)
def test_a_model_of_each_dtype_answers(server: Octet, name: str, body: object, expected: object) -> None:
    answer = server.predict(name, body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == expected


@pytest.mark.parametrize(
    ("name", "body", "names"),
    [
        ("int8", {"instances": [[1, 128]]}, ["'x'", "128", "int8"]),
        ("int8", {"instances": [[1, 1.5]]}, ["'x'", "int8"]),
        ("uint64", {"instances": [[1, -1]]}, ["'x'", "-1", "uint64"]),
        ("bool", {"instances": [[1, False]]}, ["'x'", "true or false"]),
        ("text", {"instances": [["a", 1]]}, ["'x'", "string"]),
        ("rank0", {"inputs": [1.0]}, ["'x'"]),
        ("fixed", {"inputs": [[1, 2]]}, ["'x'", "[2, 2]"]),
        ("pair", {"instances": [{"a": [1, 5]}]}, ["'b'"]),
        ("float16", {"instances": [[1, 2, 3]]}, ["'x'", "3"]),
    ],
)
def test_what_does_not_fit_is_refused_by_the_name_of_the_input(
    server: Octet, name: str, body: object, names: list[str]
) -> None:
    answer = server.predict(name, body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert all(word in error for word in names), error

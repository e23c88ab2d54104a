"""Trace and logging settings of a real server, and what its log says after them."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests import graphs
from tests.service.conftest import store_at
from tests.service.process import ASGI_DOOR, OCTET, Octet

MOMENTS = ["REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_END", "REQUEST_END"]
INFER = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}


@pytest.fixture(params=[(OCTET,), ASGI_DOOR], ids=["fast", "asgi"])
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    """A server of `M` and `other`, behind either door."""
    folder = tmp_path_factory.mktemp("settings")
    with store_at(folder / "store") as publish:
        publish("M", "1.0.0", graphs.adding(1))
        publish("other", "1.0.0", graphs.adding(1))
    with Octet(folder, folder / "store", command=request.param) as octet:
        yield octet
        octet.stop()


def change(server: Octet, path: str, settings: object) -> dict[str, Any]:
    answer = server.client.post(f"/v2/{path}", json=settings)
    assert answer.status_code == 200, answer.text
    assert answer.json() == server.get(f"/v2/{path}").json()
    return answer.json()  # type: ignore[no-any-return]


def ask(server: Octet, path: str, body: object, request_id: str) -> httpx.Response:
    return server.client.post(path, json=body, headers={"x-request-id": request_id})


def test_one_request_in_so_many_is_traced_whatever_its_protocol(own: Octet) -> None:
    assert own.get("/v2/trace/setting").json() == own.get("/v2/models/m/trace/setting").json()
    change(own, "trace/setting", {"trace_level": ["TIMESTAMPS"], "trace_rate": "2", "trace_count": "3"})
    for number in range(6):
        assert ask(own, "/v2/models/m/infer", INFER, f"a{number}").status_code == 200
    assert ask(own, "/v1/models/m:predict", {"instances": [[1, 2]]}, "b0").status_code == 200
    assert ask(own, "/v1/models/m:predict", {"instances": [[1, 2]]}, "b1").status_code == 200
    assert change(own, "trace/setting", {})["trace_count"] == "0"
    traces = own.log("trace")
    assert [one["request_id"] for one in traces] == ["a1", "a3", "a5"]
    for one in traces:
        assert (one["level"], one["model"], one["version"], one["status"]) == ("info", "m", "1.0.0", 200)
        assert list(one["timestamps"]) == MOMENTS
        assert list(one["timestamps"].values()) == sorted(one["timestamps"].values())


def test_a_models_traces_are_its_own_and_null_ends_them(own: Octet) -> None:
    off = own.get("/v2/trace/setting").json()
    of_model = change(own, "models/m/trace/setting", {"trace_level": ["TIMESTAMPS"], "trace_rate": "1"})
    assert of_model == off | {"trace_level": ["TIMESTAMPS"], "trace_rate": "1"}
    assert own.get("/v2/models/other/trace/setting").json() == own.get("/v2/trace/setting").json() == off
    ask(own, "/v1/models/other:predict", {"instances": [[1, 2]]}, "other")
    ask(own, "/v1/models/nobody:predict", {"instances": [[1, 2]]}, "nobody")
    ask(own, "/v1/models/M:predict", {"instances": [[1, 2]]}, "M")
    ask(own, "/v1/models/m:predict", {}, "refused")
    assert change(own, "models/M/trace/setting", {"trace_level": None, "trace_rate": None}) == off
    ask(own, "/v1/models/m:predict", {"instances": [[1, 2]]}, "after")
    answered, refused = own.log("trace")
    assert (answered["request_id"], list(answered["timestamps"])) == ("M", MOMENTS)
    assert (refused["request_id"], refused["status"]) == ("refused", 400)
    assert list(refused["timestamps"]) == ["REQUEST_START", "REQUEST_END"]


def test_the_log_follows_its_settings(own: Octet) -> None:
    at_info = {
        "log_file": "",
        "log_info": True,
        "log_warning": True,
        "log_error": True,
        "log_verbose_level": 0,
        "log_format": "ISO8601",
    }
    assert own.get("/v2/logging").json() == at_info
    ask(own, "/v1/models/m:predict", {"instances": [[1, 2]]}, "quiet")
    assert change(own, "logging", {"log_verbose_level": 1, "log_info": False}) == at_info | {
        "log_verbose_level": 1,
        "log_info": False,
    }
    ask(own, "/v1/models/m:predict", {"instances": [[1, 2]]}, "told")
    own.client.post("/v2/repository/models/other/unload")
    assert change(own, "logging", {"log_verbose_level": 0, "log_info": True}) == at_info
    ask(own, "/v1/models/m:predict", {"instances": [[1, 2]]}, "quiet again")
    own.client.post("/v2/repository/models/m/unload")
    assert [line["request_id"] for line in own.log("request")] == ["told"]
    assert [line["model"] for line in own.log("version is unloaded")] == ["M"], "the other was not logged"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("trace/setting", b'{"trace_file": "/x"}', 400),
        ("models/double/trace/setting", b'{"trace_rate": "0"}', 400),
        ("models/nobody/trace/setting", b"{}", 404),
        ("trace/setting", b"[", 400),
        ("logging", b'{"log_format": "default"}', 400),
        ("logging", b"[]", 400),
    ],
)
def test_what_cannot_be_set(path: str, body: bytes, status: int, server: Octet) -> None:
    before = server.get("/v2/trace/setting").json()
    answer = server.client.post(f"/v2/{path}", content=body)
    assert (answer.status_code, list(answer.json())) == (status, ["error"]), answer.text
    assert server.get("/v2/trace/setting").json() == before
    assert server.client.put(f"/v2/{path}").status_code == 405


def test_a_model_that_nobody_knows_has_no_trace_settings(server: Octet) -> None:
    assert server.get("/v2/models/nobody/trace/setting").status_code == 404

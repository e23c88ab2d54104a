"""What tritonclient asks about the server and its models, and how it steers them."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.clients.client import Client, Refused
from tests.clients.triton import infer
from tests.service.process import Octet

X = np.array([[1, 2], [3, 0.5]], np.float32)


def test_it_is_live_and_ready(triton: Client) -> None:
    assert triton.ask("is_server_live") is True
    assert triton.ask("is_server_ready") is True


@pytest.mark.parametrize(
    ("model", "version", "is_ready"),
    [("double", "", True), ("adding", "1.2.0", True), ("adding", "3", False), ("dooble", "", False)],
)
def test_a_model_is_ready(triton: Client, model: str, version: str, *, is_ready: bool) -> None:
    assert triton.ask("is_model_ready", model, version) is is_ready


def test_what_the_server_is(triton: Client) -> None:
    metadata = triton.ask("get_server_metadata")
    assert metadata["name"] == "octet"
    assert metadata["extensions"].count("statistics") == 1
    assert {"binary_tensor_data", "system_shared_memory"} <= set(metadata["extensions"])


def test_what_a_model_is(triton: Client) -> None:
    assert triton.ask("get_model_metadata", "pair") == {
        "name": "pair",
        "versions": ["1.0.0"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "a", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "b", "datatype": "INT64", "shape": [-1, 3]},
        ],
        "outputs": [
            {"name": "sum", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "less", "datatype": "BOOL", "shape": [-1, 3]},
        ],
        "parameters": {"variant": "fp32"},
    }


def test_which_versions_there_are(triton: Client) -> None:
    versions = triton.ask("get_model_metadata", "adding")["versions"]
    assert Counter(versions) == Counter(["1.0.0", "1.2.0", "2.0.0"])
    assert triton.ask("get_model_metadata", "adding", "1.2.0")["inputs"][0]["shape"] == [-1, 2]


def test_how_a_model_is_served(triton: Client) -> None:
    config = triton.ask("get_model_config", "pair")
    assert config["max_batch_size"] > 1
    assert config["input"] == [
        {"name": "a", "data_type": "TYPE_FP32", "dims": [3]},
        {"name": "b", "data_type": "TYPE_INT64", "dims": [3]},
    ]
    assert [output["data_type"] for output in config["output"]] == ["TYPE_FP32", "TYPE_BOOL"]


def test_how_a_model_without_batch_axis_is_served(triton: Client) -> None:
    config = triton.ask("get_model_config", "turned")
    assert config["max_batch_size"] == 0
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [3]}]


def test_text_is_told_in_both_spellings(triton: Client) -> None:
    assert triton.ask("get_model_config", "same_string")["input"][0]["data_type"] == "TYPE_STRING"
    assert triton.ask("get_model_metadata", "same_string")["inputs"][0]["datatype"] == "BYTES"


def test_statistics_count_requests_and_rows(triton: Client, server: Octet) -> None:
    """V1's requests are in them too."""
    before = _statistics(triton, "double", "1.0.0")
    infer(triton, "double", {"x": X})
    server.rows("double", [[1, 2]])
    with pytest.raises(Refused):
        infer(triton, "double", {"x": X[:, :1]})
    after = _statistics(triton, "double", "1.0.0")
    assert after["inference_count"] - before["inference_count"] == 3
    assert after["execution_count"] - before["execution_count"] == 2
    grown = {
        name: after["inference_stats"][name]["count"] - old["count"] for name, old in before["inference_stats"].items()
    }
    assert grown == {
        "success": 2, "fail": 1, "queue": 2, "compute_input": 2, "compute_infer": 2, "compute_output": 2,
        "cache_hit": 0, "cache_miss": 0,
    }  # fmt: skip
    assert after["last_inference"] >= before["last_inference"]


def test_statistics_of_all_versions_and_of_all_models(triton: Client) -> None:
    of_model = triton.ask("get_inference_statistics", "adding")["model_stats"]
    assert {stats["version"] for stats in of_model} == {"1.0.0", "1.2.0", "2.0.0"}
    of_all = triton.ask("get_inference_statistics")["model_stats"]
    assert {"double", "pair", "adding"} <= {stats["name"] for stats in of_all}


def test_the_index_lists_versions_and_states(triton: Client) -> None:
    index = triton.ask("get_model_repository_index")
    assert {"name": "double", "version": "1.0.0", "state": "READY"}.items() <= _entry(index, "double").items()
    assert sum(entry["name"] == "adding" for entry in index) == 3


def test_unload_and_load(triton: Client) -> None:
    triton.ask("unload_model", "shelved")
    assert triton.ask("is_model_ready", "shelved") is False
    assert _entry(triton.ask("get_model_repository_index"), "shelved")["state"] == "UNAVAILABLE"
    with pytest.raises(Refused, match="shelved") as refused:
        infer(triton, "shelved", {"x": X})
    assert refused.value.status == "404"
    triton.ask("load_model", "shelved")
    assert triton.ask("is_model_ready", "shelved") is True
    assert _entry(triton.ask("get_model_repository_index"), "shelved")["state"] == "READY"
    assert infer(triton, "shelved", {"x": X}).outputs["y"].tolist() == (X + X).tolist()


def test_load_of_what_is_loaded(triton: Client) -> None:
    triton.ask("load_model", "shelved")
    assert infer(triton, "shelved", {"x": X}).outputs["y"].tolist() == (X + X).tolist()


def test_load_of_an_unknown_model(triton: Client) -> None:
    with pytest.raises(Refused, match="dooble") as refused:
        triton.ask("load_model", "dooble")
    assert refused.value.status == "404"


@pytest.mark.parametrize("model", [None, "double"])
def test_trace_settings(triton: Client, model: str | None) -> None:
    settings = triton.ask("get_trace_settings", model)
    assert settings.keys() == {
        "trace_level", "trace_rate", "trace_count", "log_frequency", "trace_file", "trace_mode",
    }  # fmt: skip
    assert triton.ask("update_trace_settings", model, {"trace_level": ["OFF"]})["trace_level"] == ["OFF"]


def test_log_settings(triton: Client) -> None:
    settings = triton.ask("get_log_settings")
    assert settings.keys() == {
        "log_file", "log_info", "log_warning", "log_error", "log_verbose_level", "log_format",
    }  # fmt: skip
    triton.ask("update_log_settings", {"log_info": False})
    assert triton.ask("get_log_settings")["log_info"] is False
    assert triton.ask("update_log_settings", {"log_info": settings["log_info"]}) == settings


def test_no_gpu_memory_is_registered(triton: Client) -> None:
    assert triton.ask("get_cuda_shared_memory_status") == []


def _statistics(triton: Client, model: str, version: str) -> dict[str, Any]:
    (stats,) = triton.ask("get_inference_statistics", model, version)["model_stats"]
    return stats


def _entry(index: list[dict[str, Any]], model: str) -> dict[str, Any]:
    (entry,) = (entry for entry in index if entry["name"] == model)
    return entry

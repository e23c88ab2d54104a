"""What tests of every folder use."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from tests.graphs import model, node, save, value

settings.register_profile("octet", deadline=None)  # a busy machine is no failure
settings.load_profile("octet")

DEPLOY = Path(__file__).with_name("deploy")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """tests/deploy needs a Docker engine: it is run where it is named, by `make test-deploy`."""
    is_named = any(arg.startswith("tests/deploy") for arg in config.args)
    return True if collection_path == DEPLOY and not is_named else None


@pytest.fixture
def mlp_onnx(tmp_path: Path) -> Path:
    """A tiny network: `x` [N,64] float32 -> `y` [N,10] float32, one hidden layer of 32, weights of a fixed seed."""
    random = np.random.default_rng(0)
    shapes = {"w1": (64, 32), "b1": (32,), "w2": (32, 10), "b2": (10,)}
    weights = {name: random.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        node("Gemm", ["x", "w1", "b1"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "w2", "b2"], ["y"]),
    ]
    made = model(nodes, [value("x", shape=["N", 64])], [value("y", shape=["N", 10])], weights)
    return save(made, tmp_path / "mlp.onnx")

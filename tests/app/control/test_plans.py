"""What a deployment asks of the plans of its variants."""

import pytest

from app.control.plans import build_settings
from app.settings import ModelSettings
from engines.tensorrt.build import Bounds, BuildSettings


def test_the_limits_of_a_deployment_are_those_of_its_plans() -> None:
    settings = ModelSettings(
        max_batch_rows=16, tensorrt_lengths=(1, 128, 512), tensorrt_workspace_bytes="1GiB", tensorrt_level=5
    )
    assert build_settings("int8", settings) == BuildSettings(
        rows=Bounds(1, 16, 16),
        lengths=Bounds(1, 128, 512),
        workspace_bytes=1 << 30,
        optimization_level=5,
        tf32=True,
    )


@pytest.mark.parametrize(
    ("variant", "allowed", "tf32"),
    [("fp32", True, False), ("fp32-exported", True, False), ("fp16", True, True), ("fp16", False, False)],
)
def test_what_is_called_fp32_is_computed_in_fp32(variant: str, allowed: bool, tf32: bool) -> None:
    assert build_settings(variant, ModelSettings(tensorrt_tf32=allowed)).tf32 is tf32

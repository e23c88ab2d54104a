"""Triton's model configuration of what is served here, with the settings that mean the same in both.

Source: `extension_model_configuration.md` in triton-inference-server/server, and `ModelConfig` in
`protobuf/model_config.proto` of triton-inference-server/common.
"""

from typing import Any

from app.protocols.open_inference_metadata import DATATYPES, engine_name, platform
from app.serving.request import NORMAL_PRIORITY, PRIORITY_LEVELS
from app.serving.servable import Servable
from engines.signature import TensorSpec


def model_config(servable: Servable) -> dict[str, Any]:
    """The configuration of one servable.

    `max_batch_size` bounds the rows of a request: those beyond `preferred_batch_size` run in several batches. Where it
    is above 0, `dims` leave the batch dimension out, as Triton has it.
    """
    identity, signature = servable.identity, servable.signature
    batches = _is_batched_for_clients(servable)
    return {
        "name": identity.model,
        "platform": platform(identity),
        "backend": engine_name(identity),
        "version_policy": {"all": {}},
        "max_batch_size": servable.limits.queue_rows if batches else 0,
        "input": [_tensor(spec, batches) for spec in signature.inputs],
        "output": [_tensor(spec, batches) for spec in signature.outputs],
        "instance_group": [{"name": identity.model, "kind": "KIND_CPU", "count": servable.split.instances, "gpus": []}],
        **({"dynamic_batching": _dynamic_batching(servable)} if batches else {}),
    }


def _is_batched_for_clients(servable: Servable) -> bool:
    """Whether every input has a dimension behind the batch's: perf_analyzer can send none with empty `dims`."""
    return servable.batched and all(
        spec.shape is not None and len(spec.shape) > 1 for spec in servable.signature.inputs
    )


def _tensor(spec: TensorSpec, batches: bool) -> dict[str, Any]:
    """A rank that is unknown to the signature is shown as one variable dimension, as the metadata shows it."""
    dims = [-1] if spec.shape is None else list(spec.shape[1:] if batches else spec.shape)
    return {"name": spec.name, "data_type": _data_type(spec.dtype), "dims": dims}


def _data_type(dtype: str) -> str:
    return "TYPE_STRING" if dtype == "string" else f"TYPE_{DATATYPES[dtype]}"


def _dynamic_batching(servable: Servable) -> dict[str, Any]:
    return {
        "preferred_batch_size": [servable.limits.max_batch_rows],
        "max_queue_delay_microseconds": round(servable.limits.max_wait_seconds * 1e6),
        "priority_levels": PRIORITY_LEVELS,
        "default_priority_level": NORMAL_PRIORITY,
    }

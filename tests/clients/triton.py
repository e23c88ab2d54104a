"""Inference requests as the tests of tritonclient write them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tests.clients.client import Client, arrays
from tests.clients.scripts.lines import Array, pack


@dataclass(frozen=True, slots=True)
class Inference:
    """An answer: its JSON part, and its tensors but those that went to shared memory."""

    response: dict[str, Any]
    outputs: dict[str, Array]


def request(
    model: str, inputs: Mapping[str, Array], *, binary: bool = True, json: Collection[str] = (), **options: Any
) -> dict[str, Any]:
    """The keywords of one inference. `json` names inputs that go as JSON; `binary=False` sends all of them so."""
    tensors = [
        {"name": name, "tensor": pack(array), "binary": binary and name not in json} for name, array in inputs.items()
    ]
    return {"model_name": model, "inputs": tensors, **options}


def infer(triton: Client, model: str, inputs: Mapping[str, Array], **options: Any) -> Inference:
    """What the client's `infer` gives. Raises Refused."""
    return inference(triton.ask("infer", **request(model, inputs, **options)))


def inference(answer: Mapping[str, Any]) -> Inference:
    """What a script printed of one answer."""
    return Inference(answer["response"], arrays(answer["outputs"]))

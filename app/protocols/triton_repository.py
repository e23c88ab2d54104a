"""Triton's model repository: what can be asked of it, and its index.

Source: `extension_model_repository.md` in triton-inference-server/server.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from app.errors import Malformed, Unsupported
from app.protocols.quoting import quoted
from app.protocols.triton_checks import checked, switch
from app.serving.lifecycle import State
from app.serving.table import ServedModel

_STATES = {
    State.START: "LOADING",  # its turn comes: who polls until the loading is over goes on polling
    State.LOADING: "LOADING",
    State.AVAILABLE: "READY",
    State.UNLOADING: "UNLOADING",
    State.END: "UNAVAILABLE",
}


def check_load_parameters(parameters: Mapping[str, Any]) -> None:
    """Triton takes a configuration or whole model files along; here models come through the store.

    Raises Unsupported for these, Malformed for anything else.
    """
    for name in parameters:
        if name == "config" or name.startswith("file:"):
            raise loads_no_files(f"load parameter {quoted(name)}")
        raise Malformed(f"there is no load parameter {quoted(name)}: send none")


def loads_no_files(what: str) -> Unsupported:
    """The error of a load that brings along what comes through the store here."""
    return Unsupported(
        f"{what} is not supported: publish the model as a version of its own instead, "
        "and say in the server's settings how to serve it"
    )


def check_unload_parameters(parameters: Mapping[str, Any]) -> None:
    """No model here depends on another, so either is fine. Raises Malformed for anything else."""
    checked(parameters, {"unload_dependents": switch})


def index(models: Iterable[ServedModel], *, only_ready: bool) -> list[dict[str, str]]:
    """Every version that is or could be served; a model that is not in the store yet has none."""
    entries: list[dict[str, str]] = []
    for model in sorted(models, key=lambda model: model.name):
        entries += [
            {
                "name": model.name,
                "version": status.version,
                "state": _STATES[State.END if status.failed else status.state],
                "reason": status.message,
            }
            for status in reversed(model.statuses)
        ]
        if not model.statuses:
            entries.append({"name": model.name, "state": "UNAVAILABLE", "reason": "not in the store yet"})
    return [entry for entry in entries if entry["state"] == "READY" or not only_ready]

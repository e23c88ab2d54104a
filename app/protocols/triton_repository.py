"""Triton's model repository: what can be asked of it, and its index.

Source: `extension_model_repository.md` in triton-inference-server/server.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, StrictBool

from app.errors import Malformed, Unsupported
from app.serving.lifecycle import State
from app.serving.table import ServedModel

_STATES = {
    State.START: "LOADING",  # its turn comes: who polls until the loading is over goes on polling
    State.LOADING: "LOADING",
    State.AVAILABLE: "READY",
    State.UNLOADING: "UNLOADING",
    State.END: "UNAVAILABLE",
}


class IndexRequest(BaseModel):
    """Whether only versions that answer are to be listed."""

    ready: StrictBool | None = None


class LoadRequest(BaseModel):
    """Triton lets a client send a configuration or whole model files along; here models come through the store."""

    parameters: dict[str, Any] | None = None

    def refuse_overrides(self) -> None:
        """Raises Unsupported for what Triton knows, Malformed for anything else that is not."""
        for name in self.parameters or ():
            if name == "config" or name.startswith("file:"):
                raise Unsupported(
                    f"load parameter '{name}' is not supported: publish the model as a version of its own instead, "
                    "and set how it is served in the server's settings"
                )
            raise Malformed(f"there is no load parameter '{name}'")


class UnloadParameters(BaseModel):
    """No model here depends on another, so either is fine."""

    unload_dependents: StrictBool | None = None


class UnloadRequest(BaseModel):
    """What may stand in the body of an unload."""

    parameters: UnloadParameters | None = None


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

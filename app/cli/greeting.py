"""What `octet serve` prints once everything is loaded: what is served, where, by which engine, and a line to try."""

import json
from collections.abc import Iterator
from typing import Any

from app.lifespan import Service
from app.serving.table import ServedModel
from engines.signature import TensorSpec

# An example request is printed whole up to this many numbers.
_MOST_EXAMPLE_NUMBERS = 256


def greeting(service: Service, port: int) -> str:
    """The lines, for a server that listens on this port."""
    host = service.settings.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    models = sorted(service.table.models.values(), key=lambda model: model.name)
    lines = [f"Octet {service.version} on {url}, documentation on {url}/docs"]
    for model in models:
        lines += [f"  {model.name} {line}" for line in _versions(model)]
    if not models:
        store = service.settings.store
        lines.append(f"  nothing yet: octet model publish NAME FILE.onnx --version 1.0.0 --store {store}")
    examples = (_example(url, model) for model in models if model.ready)
    lines += [f"Try:  {line}" for line in list(examples)[:1]]
    return "\n".join(lines)


def _versions(model: ServedModel) -> Iterator[str]:
    for version, servable in sorted(model.versions.items(), reverse=True):
        identity, split = servable.identity, servable.split
        labels = ", ".join(sorted(name for name, of in model.labels.items() if of is servable))
        yield (
            f"{version}{f' ({labels})' if labels else ''}: {identity.variant} on {identity.engine}, "
            f"instances x threads: {split.instances} x {split.threads}"
        )
    for status in model.statuses:
        if status.failed:
            yield f"{status.version}: cannot be loaded: {status.message}"
    if not model.statuses:
        yield "is not in the store yet"


def _example(url: str, model: ServedModel) -> str:
    """A curl line that the model answers, made from its signature."""
    servable = model.default
    assert servable is not None
    inputs = {spec.name: _zeros(spec) for spec in servable.signature.inputs}
    value = next(iter(inputs.values())) if len(inputs) == 1 else inputs
    rows = len(inputs) == 1 and servable.signature.batch_axis is not None
    body = json.dumps({"instances" if rows else "inputs": value}, separators=(",", ":"))
    if body.count(",") >= _MOST_EXAMPLE_NUMBERS:
        return f"curl -s {url}/v1/models/{model.name}/metadata"
    return f"curl -s {url}/v1/models/{model.name}:predict -d '{body}'"


def _zeros(spec: TensorSpec) -> Any:
    value: Any = {"string": "", "bool": False}.get(spec.dtype, 0)
    for size in reversed(spec.shape or ()):
        value = [value] * (1 if size == -1 else size)
    return value

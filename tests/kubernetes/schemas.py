"""Holds an object against the published schema of its kind, in which a field that nobody knows is an error."""

import json
from functools import cache
from importlib.metadata import version
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator

from tests.kubernetes.kustomizations import KUBERNETES
from tests.kubernetes.pods import Object

SCHEMAS = KUBERNETES / "schemas"
# Kind -> file. A ClusterServingRuntime has the spec of a ServingRuntime; deploy/kubernetes/schemas/README.md.
OF_OPERATORS = {
    "ScaledObject": "scaledobject",
    "ServiceMonitor": "servicemonitor",
    "PrometheusRule": "prometheusrule",
    "ClusterServingRuntime": "servingruntime",
    "InferenceService": "inferenceservice",
}
OLDEST, NEWEST = "1.30", version("kubernetes-validate")
"""Releases of Kubernetes: docs/deploy.md names the first."""


def check(one: Object, release: str = NEWEST) -> None:
    """Raises jsonschema.ValidationError."""
    if one["kind"] in OF_OPERATORS:
        _validator(OF_OPERATORS[one["kind"]]).validate(one)
        one = {"apiVersion": "v1", "kind": "Secret", "metadata": one["metadata"]}  # metadata are Kubernetes' own
    kubernetes_validate.validate(one, release, strict=True)


@cache
def _validator(file: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{file}.json").read_text("utf-8"))
    (named,) = schema["x-kubernetes-group-version-kind"]
    apart = {"apiVersion": {"const": f"{named['group']}/{named['version']}"}, "metadata": True}
    return Draft202012Validator(strict(schema | {"properties": schema["properties"] | apart}))


def strict(schema: Any) -> Any:
    """The same in words of JSON Schema, and without room for fields that are not named."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    told = {key: strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string") is True:
        told["type"] = ["integer", "string"]
    if schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        told.setdefault("additionalProperties", False)
    return told

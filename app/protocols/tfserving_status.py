"""TensorFlow Serving's status and metadata documents, with KServe V1's fields beside them.

TensorFlow Serving's clients parse `version` as an int64, so it carries the MAJOR and `semver` beside it the whole.
Source: apis/get_model_status.proto and testdata/saved_model_half_plus_two_2_versions_metadata.json.
"""

from dataclasses import asdict
from typing import Any

from semver import Version

from app.errors import ModelNotFound, NotReady
from app.protocols.tfserving_versions import plain, select
from app.serving.cost import LOOP_BOUND_SECONDS
from app.serving.lifecycle import State
from app.serving.servable import Servable
from app.serving.table import ServedModel, VersionStatus, is_meant
from app.serving.variants import VariantStatus
from engines.signature import TensorSpec

_DTYPES = {
    "float32": "DT_FLOAT", "float64": "DT_DOUBLE", "float16": "DT_HALF", "bfloat16": "DT_BFLOAT16",
    "int8": "DT_INT8", "int16": "DT_INT16", "int32": "DT_INT32", "int64": "DT_INT64",
    "uint8": "DT_UINT8", "uint16": "DT_UINT16", "uint32": "DT_UINT32", "uint64": "DT_UINT64",
    "bool": "DT_BOOL", "string": "DT_STRING",
}  # fmt: skip


def status(model: ServedModel, version: str | None = None, label: str | None = None) -> dict[str, Any]:
    """Every version of the model, newest first, or the one that is named, loaded or not.

    Raises as `tfserving_versions.select` where nothing is known of it.
    """
    statuses = model.statuses if version is None and label is None else (_named(model, version, label),)
    return {
        "model_version_status": [_version_status(model, status) for status in statuses],
        "name": model.name,
        "ready": model.ready,
    }


def _named(model: ServedModel, version: str | None, label: str | None) -> VersionStatus:
    """That of the version which answers under a name, else of the newest that would if it were loaded."""
    try:
        chosen = select(model, version, label).identity.version
    except (ModelNotFound, NotReady):
        for status in model.statuses:
            if version is not None and is_meant(plain(version), status.version):
                return status
        raise
    return next(status for status in model.statuses if status.version == chosen)


def metadata(servable: Servable) -> dict[str, Any]:
    """The signature of what answers, as a SavedModel's would be, and what was published beside it."""
    identity, signature = servable.identity, servable.signature
    signature_def = {
        "inputs": {spec.name: _tensor_info(spec) for spec in signature.inputs},
        "outputs": {spec.name: _tensor_info(spec) for spec in signature.outputs},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    return {
        "model_spec": {
            "name": identity.model,
            "signature_name": "",
            "version": _major(identity.version),
            "semver": identity.version,
            "variant": identity.variant,
        },
        "metadata": {
            "signature_def": {"signature_def": {"serving_default": signature_def}},
            "octet": dict(servable.metadata),
        },
    }


def _version_status(model: ServedModel, status: VersionStatus) -> dict[str, Any]:
    servable = model.versions.get(Version.parse(status.version))
    document: dict[str, Any] = {
        "version": _major(status.version),
        "semver": status.version,
        "state": State.END if status.failed else status.state,
        "status": {
            "error_code": "INTERNAL" if status.failed else "OK",
            "error_message": status.message if status.failed else "",
        },
        "labels": sorted(label for label, labelled in model.labels.items() if labelled is servable),
        "variants": [_variant(variant) for variant in status.variants],
    }
    return document | (_serving(servable, status.message) if servable else {})


def _variant(variant: VariantStatus) -> dict[str, Any]:
    """What is known of a variant, and whether it is loaded: as the one that serves, or because requests named it."""
    return {
        "name": variant.name,
        "engine": variant.engine,
        "passed": variant.passed,
        "speedup": asdict(variant.speedup) if variant.speedup else None,
        "loaded": variant.servable is not None,
        "refusal": variant.refusal,
    }


def _serving(servable: Servable, notes: str) -> dict[str, Any]:
    """How a version is being served here."""
    costs = servable.cost.by_rows()
    return {
        "variant": servable.identity.variant,
        "engine": servable.identity.engine,
        "instances": servable.split.instances,
        "threads": servable.split.threads,
        "batched": servable.batched,
        "max_batch_rows": servable.limits.max_batch_rows if servable.batched else 1,
        "batch_milliseconds": {str(rows): round(seconds * 1000, 3) for rows, seconds in costs.items()},
        "runs_on_loop_up_to_rows": max((r for r, s in costs.items() if s < LOOP_BOUND_SECONDS), default=0),
        "notes": notes,
    }


def _tensor_info(spec: TensorSpec) -> dict[str, Any]:
    dims = [{"size": str(size), "name": ""} for size in spec.shape or ()]
    return {
        "dtype": _DTYPES[spec.dtype],
        "tensor_shape": {"dim": dims, "unknown_rank": spec.shape is None},
        "name": spec.name,
    }


def _major(version: str) -> str:
    return str(Version.parse(version).major)

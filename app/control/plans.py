"""TensorRT and a store: which variants it takes, what is built of them for a deployment, and which plans are needed."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.settings import ModelSettings
from engines.errors import LoadError
from engines.signature import Signature
from engines.tensorrt.build import Bounds, BuildSettings
from engines.tensorrt.build_apart import Checked, check, obtain
from engines.tensorrt.digest import digest_of, onnx_digest
from engines.tensorrt.engine import target_here
from engines.tensorrt.plans import Made, Plan, Plans, Target
from model_store.records import VariantRecord, VersionRecord
from model_store.store import Store

_BUILT_FROM_ONNX = "onnxruntime"


def build_settings(variant: str, settings: ModelSettings) -> BuildSettings:
    """What a deployment with these settings needs of a variant's plan. The server and `octet engine build` agree."""
    return BuildSettings(
        rows=Bounds(1, settings.max_batch_rows, settings.max_batch_rows),
        lengths=None if settings.tensorrt_lengths is None else Bounds(*settings.tensorrt_lengths),
        workspace_bytes=settings.tensorrt_workspace_bytes,
        optimization_level=settings.tensorrt_level,
        tf32=settings.tensorrt_tf32 and not variant.startswith("fp32"),
    )


def onnx_variants(record: VersionRecord, name: str | None = None) -> list[VariantRecord]:
    """The variants that are ONNX files, or the one of this name. Raises LoadError where there is none."""
    found = [variant for variant in record.variants if variant.engine == _BUILT_FROM_ONNX]
    if name is None:
        return found
    for variant in record.variants:
        if variant.name == name and variant in found:
            return [variant]
    known = ", ".join(variant.name for variant in found) or "none"
    raise LoadError(f"{record} has no variant {name!r} that TensorRT could build from; those of ONNX are: {known}")


def checked(store: Store, record: VersionRecord, variant: VariantRecord) -> Checked:
    """Whether TensorRT takes the variant. Raises LoadError where there is none to ask, and Corrupt."""
    return check(store.materialise(record, variant.name), Signature.from_json(record.signature))


def build(
    store: Store,
    record: VersionRecord,
    variant: VariantRecord,
    settings: ModelSettings,
    target: Target,
    progress: Callable[[str, float], None],
) -> Plan:
    """The variant's plan for a target, built unless it is there. Raises LoadError and Corrupt."""
    return obtain(
        store.materialise(record, variant.name),
        Signature.from_json(record.signature),
        build_settings(variant.name, settings),
        target,
        Plans(store.plans),
        progress,
    )


def how_to_open(store: Store, variant: str, settings: ModelSettings) -> dict[str, Any]:
    """What `engines.tensorrt.opener` needs to open a variant as this server does."""
    return {"folder": str(store.plans), "settings": asdict(build_settings(variant, settings))}


def find_plan(store: Store, path: Path, variant: str, settings: ModelSettings) -> Plan | None:
    """The plan of a variant, if it is there; its file lies at `path`. Raises LoadError where nothing could run it."""
    return Plans(store.plans).find(Made(onnx_digest(path), build_settings(variant, settings), target_here()))


def named_plans(store: Store) -> list[tuple[str, Plan]]:
    """Every plan with what it was built from: `digits@1.0.0 int8`, or nothing where no version has that any more."""
    names = dict(_models(store))
    return [(names.get(plan.made.onnx, ""), plan) for plan in Plans(store.plans).all()]


def prune(store: Store) -> list[Plan]:
    """Remove plans that no version needs, those that a newer library or driver has replaced, and leftovers."""
    return Plans(store.plans).prune(dict(_models(store)))


def _models(store: Store) -> Iterator[tuple[str, str]]:
    """What stands for each variant in the key of a plan, and its name."""
    for model in store.models():
        for record in store.versions(model):
            for variant in onnx_variants(record):
                main, *others = variant.files
                files = {"": main.digest} | {file.name: file.digest for file in others}
                yield digest_of(files), f"{record} {variant.name}"

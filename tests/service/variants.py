"""Variants for versions that are in a store, as `octet quantize` would add them; and this host's speeds."""

from pathlib import Path

import numpy as np
from onnx import ModelProto

from app.control.speeds import SpeedMemory
from engines.engine import Array
from engines.onnxruntime_engine import load
from engines.quantize.answers import Answering
from engines.quantize.golden import write_golden
from engines.quantize.open_rows import open_rows
from engines.quantize.report import (
    BatchMates,
    Interval,
    Lineage,
    Pace,
    Quality,
    Report,
    Speed,
    Speedup,
    Timing,
    Verdict,
    to_json,
)
from engines.quantize.rows import RowsSpec
from engines.signature import Signature
from model_store.records import NewVariant, VersionRecord
from model_store.store import Store
from tests.graphs import save


def add_variant(
    store: Store,
    folder: Path,
    record: VersionRecord,
    name: str,
    model: ModelProto,
    *,
    accurate: bool | None = True,
    speedup: float | None = None,
    min_speedup: float = 1.0,
    rows: dict[str, Array] | None = None,
    sqnr_db: float = 200.0,
    batched: bool = True,
) -> VersionRecord:
    """Add `model`; with `rows` a report too, and the published variant's answers to them; with `speedup` a speed.

    The files are made in `folder`.
    """
    golden = report = None
    if rows is not None:
        golden = _golden(store, record, folder / f"{name}.npz", rows)
        report = to_json(_report(record, name, sqnr_db, batched=batched))
    file = save(model, folder / f"{name}.onnx")
    new = NewVariant(name, "onnxruntime", file, {}, {}, report, golden, accurate, min_speedup)
    added = store.add_variant(record, new).record
    if speedup is not None:
        set_speed(store, added, name, speedup)
    return added


def set_speed(store: Store, record: VersionRecord, name: str, ratio: float) -> None:
    """Let this host have measured that the variant is so many times as fast as its source."""
    (variant,) = [variant for variant in record.variants if variant.name == name]
    SpeedMemory(store).remember(record, variant, Speedup(ratio, ratio, batched=True))


def _golden(store: Store, record: VersionRecord, path: Path, rows: dict[str, Array]) -> Path:
    signature = Signature.from_json(record.signature)
    given = path.with_name("rows.npz")
    np.savez(given, **rows)  # type: ignore[arg-type]
    engine = load(store.materialise(record, record.variants[0].name), signature, instances=1, threads=1)
    write_golden(path, Answering(engine.runner(), signature, batched=True), open_rows(RowsSpec(str(given)), signature))
    engine.close()
    return path


def _report(record: VersionRecord, name: str, sqnr_db: float, *, batched: bool) -> Report:
    """One of which a server reads how close the variant is to its source, and whether it was measured in batches."""
    pace = Pace(Timing(1.0, 1.0, 1.0), None, 1.0)
    return Report(
        model=record.name,
        version=record.version,
        variant=name,
        engine="onnxruntime",
        recipe=name,
        bytes=1,
        source_bytes=1,
        seconds=1.0,
        quality=Quality(1, "cosine", 1.0, 1.0, Interval(0.0, 0.0, 0.0, 0.95), None, None, None, 1.0, 0.0, sqnr_db),
        speed=Speed({}, "", pace, pace, 1.0, None, 1.0),
        batch_mates=BatchMates(invariant=batched, difference=0.0, tolerance=1e-3, batched=batched),
        layers=(),
        verdict=Verdict(passed=True, reasons=(), max_drop=0.0, min_speedup=1.0),
        lineage=Lineage(record.digest, None, "", 0, {}),
    )

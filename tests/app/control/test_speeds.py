"""Speeds as this host remembers them."""

from pathlib import Path

from app.control.quantize import first_of
from app.control.speeds import SpeedMemory
from engines.quantize.report import Speedup
from model_store.manifest import Metadata
from model_store.records import NewVariant, NewVersion
from model_store.store import Store
from tests.fakes.fake_gpu import fake_gpu

TWICE = Speedup(2.0, 2.0, batched=True)


def test_a_speed_is_that_of_one_artifact_in_one_engine_beside_one_source(store: Store, tmp_path: Path) -> None:
    memory = SpeedMemory(store)
    (tmp_path / "variant.onnx").write_bytes(b"the same bytes")
    records = []
    for version in ("1.0.0", "1.1.0"):
        (tmp_path / "source.onnx").write_bytes(version.encode())
        new = NewVersion("m", version, tmp_path / "source.onnx", {}, {}, Metadata())
        record = store.publish(new).record
        for engine in ("onnxruntime", "other"):
            variant = NewVariant(engine, engine, tmp_path / "variant.onnx", {}, {}, None, None, accurate=True)
            record = store.add_variant(record, variant).record
        records.append(record)
    memory.remember(records[0], records[0].variants[1], TWICE)
    assert memory.recall(records[0]) == {"onnxruntime": TWICE}
    assert memory.recall(records[1]) == {}


def test_what_cannot_be_read_is_not_known(store: Store, tmp_path: Path) -> None:
    memory = SpeedMemory(store)
    (tmp_path / "model.onnx").write_bytes(b"model")
    record = store.publish(NewVersion("m", "1.0.0", tmp_path / "model.onnx", {}, {}, Metadata())).record
    new = NewVariant("int8", "onnxruntime", tmp_path / "model.onnx", {}, {}, None, None, accurate=True)
    record = store.add_variant(record, new).record
    memory.remember(record, record.variants[1], TWICE)
    (kept,) = (path for path in (tmp_path / "store" / "cache" / "measured" / "speed").rglob("*") if path.is_file())
    kept.write_bytes(b'{"of": "another version"}')
    assert memory.recall(record) == {}
    kept.unlink()
    kept.symlink_to(kept.name)  # in a circle: the system refuses to open it
    assert memory.recall(record) == {}


def test_a_speed_on_the_processor_says_nothing_of_a_gpu(store: Store, tmp_path: Path) -> None:
    memory = SpeedMemory(store)
    (tmp_path / "model.onnx").write_bytes(b"model")
    record = store.publish(NewVersion("m", "1.0.0", tmp_path / "model.onnx", {}, {}, Metadata())).record
    (tmp_path / "int8.onnx").write_bytes(b"int8")
    new = NewVariant("int8", "onnxruntime", tmp_path / "int8.onnx", {}, {}, None, None, accurate=True)
    record = store.add_variant(record, new).record
    memory.remember(record, record.variants[1], TWICE)
    assert first_of(store, record).name == "int8"
    with fake_gpu():
        assert first_of(store, record).name == "fp32"
    both, one = dict.fromkeys(("fp32", "int8"), "tensorrt"), {"int8": "tensorrt"}
    memory.remember(record, record.variants[1], TWICE, both)
    assert (memory.recall(record, both), memory.recall(record, one)) == ({"int8": TWICE}, {})

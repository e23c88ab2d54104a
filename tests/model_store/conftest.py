"""A store on a real disk, and small artifacts to put into it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model_store.manifest import Metadata
from model_store.records import NewVariant, NewVersion
from model_store.store import Store

SIGNATURE = {"inputs": [{"name": "x", "dtype": "float32", "shape": [-1, 4]}], "outputs": [], "batch_axis": 0}

MakeVersion = Callable[..., NewVersion]
MakeVariant = Callable[..., NewVariant]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with Store.open(root, wait_seconds=5) as opened:
        yield opened


@pytest.fixture
def new_version(tmp_path: Path) -> MakeVersion:
    """Make a NewVersion whose file holds `content`, and whose external files hold what `external` says."""
    folder = tmp_path / "sources"
    folder.mkdir()

    def make(
        version: str = "1.0.0",
        content: bytes = b"a model",
        *,
        name: str = "digits",
        external: dict[str, bytes] | None = None,
        labels: tuple[str, ...] = (),
    ) -> NewVersion:
        number = sum(1 for _ in folder.iterdir())
        source = folder / f"{number}.onnx"
        source.write_bytes(content)
        files = {}
        for file, data in (external or {}).items():
            files[file] = folder / f"{number}-{file.replace('/', '-')}"
            files[file].write_bytes(data)
        return NewVersion(name, version, source, files, SIGNATURE, Metadata(), labels=labels)

    return make


@pytest.fixture
def new_variant(tmp_path: Path) -> MakeVariant:
    """Make a NewVariant whose files hold what the arguments say."""
    folder = tmp_path / "variants"
    folder.mkdir()

    def write(name: str, data: bytes) -> Path:
        path = folder / f"{sum(1 for _ in folder.iterdir())}-{name}"
        path.write_bytes(data)
        return path

    def make(
        name: str = "int8",
        content: bytes = b"a variant",
        *,
        engine: str = "onnxruntime",
        suffix: str = ".onnx",
        external: dict[str, bytes] | None = None,
        recipe: dict[str, Any] | None = None,
        report: bytes | None = b"{}",
        golden: bytes | None = b"golden rows",
        accurate: bool | None = True,
        min_speedup: float = 1.0,
    ) -> NewVariant:
        return NewVariant(
            name=name,
            engine=engine,
            source=write(f"variant{suffix}", content),
            external={file: write(file, data) for file, data in (external or {}).items()},
            recipe={"method": "minmax"} if recipe is None else recipe,
            report=report,
            golden=None if golden is None else write("golden.npz", golden),
            accurate=accurate,
            min_speedup=min_speedup,
        )

    return make


def files_under(root: Path) -> dict[str, bytes]:
    """Every file of a store but the lock, the catalogue and caches: what a backup must have."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] in ("blobs", "manifests", "journal", "format.json")
    }

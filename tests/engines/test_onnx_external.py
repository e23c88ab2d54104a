"""Files beside the ONNX file: found, missing, cut, or somewhere they may not be."""

from pathlib import Path

import pytest

from engines.errors import ModelFileError
from engines.onnx_file import read_onnx
from engines.onnxruntime_engine import load
from tests.graphs import model, node, value, with_external


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The model's own folder, with twelve bytes in `weights.bin`; beside it lies `outside.bin`."""
    (tmp_path / "outside.bin").write_bytes(bytes(12))
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(bytes(12))
    return folder


def external(folder: Path, location: str, **entries: str) -> dict[str, Path]:
    path = folder / "model.onnx"
    with_external(path, location, **entries)
    return dict(read_onnx(path).external)


@pytest.mark.parametrize("location", ["weights.bin", "sub/weights.bin", "sub/two words é.bin", "..bin", "a..b"])
def test_a_file_in_the_folder_is_found(location: str, folder: Path) -> None:
    (folder / location).write_bytes(bytes(12))
    assert external(folder, location) == {location: folder / location}


def test_what_is_taken_in_can_be_loaded(folder: Path) -> None:
    external(folder, "weights.bin", offset="0", length="12")
    path = folder / "model.onnx"
    load(path, read_onnx(path).signature, instances=1, threads=1).close()


def test_a_link_inside_the_folder_means_the_file_it_points_to(folder: Path) -> None:
    (folder / "link.bin").symlink_to("weights.bin")
    assert external(folder, "link.bin") == {"link.bin": folder / "weights.bin"}


@pytest.mark.parametrize(
    "location",
    [
        "../outside.bin",
        "sub/../../outside.bin",
        "sub/../weights.bin",
        "./weights.bin",
        "sub//weights.bin",
        "..",
        ".",
        "",
        "/etc/hostname",
        "{outside}",
        "..\\outside.bin",
        "weights.bin\0",
        "weights.bin\n",
        "*/_ORT_MEM_ADDR_/*",
        "_ORT_MEM_ADDR_",
    ],
)
def test_a_location_that_is_no_plain_path_in_the_folder_is_refused(location: str, folder: Path) -> None:
    marked = folder / "*" / "_ORT_MEM_ADDR_"
    marked.mkdir(parents=True)
    (marked / "*").write_bytes(bytes(12))
    with pytest.raises(ModelFileError, match=r"'w' is at .* not a plain path below the model's folder"):
        external(folder, location.format(outside=folder.parent / "outside.bin"))


def test_a_link_that_leaves_the_folder_is_refused(folder: Path) -> None:
    (folder / "link.bin").symlink_to("../outside.bin")
    (folder / "sub" / "up").symlink_to(folder.parent)
    for location in ("link.bin", "sub/up/outside.bin"):
        with pytest.raises(ModelFileError, match="a link that leaves the model's folder"):
            external(folder, location)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "loop").symlink_to("loop")
    for location in ("gone.bin", "sub", "sub/gone.bin", "weights.bin/below", "loop", "x" * 1000):
        with pytest.raises(ModelFileError, match=f"'w' is at '{location}', and there is no such file"):
            external(folder, location)


@pytest.mark.parametrize(("offset", "length"), [("0", "13"), ("8", "5"), ("13", "0"), ("9" * 19, "0")])
def test_a_tensor_beyond_the_end_of_its_file_is_refused(offset: str, length: str, folder: Path) -> None:
    with pytest.raises(ModelFileError, match=r"'w' ends at byte \d+ of 'weights.bin', which has 12"):
        external(folder, "weights.bin", offset=offset, length=length)


@pytest.mark.parametrize("text", ["-1", "1.5", "", "0x4", "٣", "9" * 5000])
@pytest.mark.parametrize("key", ["offset", "length"])
def test_an_offset_that_is_no_number_is_refused(key: str, text: str, folder: Path) -> None:
    with pytest.raises(ModelFileError, match=f"'w' has {key} .*a number was expected"):
        external(folder, "weights.bin", **{key: text})


def test_tensors_in_nodes_are_looked_at_too(folder: Path) -> None:
    hidden = with_external(folder / "model.onnx", "../outside.bin").graph.initializer[0]
    made = model(
        [node("Constant", [], ["c"], value=hidden), node("Add", ["x", "c"], ["y"])],
        [value("x", "float32", ["N", 3])],
        [value("y", "float32", ["N", 3])],
    )
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(ModelFileError, match="not a plain path"):
        read_onnx(folder / "model.onnx")

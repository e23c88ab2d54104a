"""Rows from folders of images, against what Pillow and numpy give."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engines.errors import DataError
from engines.quantize.image_steps import read_steps
from engines.quantize.open_rows import open_rows
from engines.quantize.rows import Batch, RowsSpec
from engines.signature import Signature, TensorSpec

Array = np.ndarray[Any, Any]
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)  # height 6, width 8
IMAGENET = "resize 4 bilinear, rgb, /255, mean .485 .456 .406, std .229 .224 .225"


def signature_of(shape: tuple[int, ...], dtype: str = "float32", batch_axis: int | None = 0) -> Signature:
    return Signature((TensorSpec("image", dtype, shape),), (), batch_axis)


PLANES = signature_of((-1, 3, 6, 8))


def save(folder: Path, *names: str, pixels: Array = PIXELS) -> Path:
    for place, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels + place, np.uint8)).save(folder / name)
    return folder


def read(folder: Path, line: str | None, signature: Signature = PLANES) -> Batch:
    (batch,) = open_rows(RowsSpec(str(folder), image=line), signature).batches(100)
    return batch


def test_the_usual_line_gives_what_numpy_gives(tmp_path: Path) -> None:
    batch = read(save(tmp_path, "a.png"), IMAGENET, signature_of((-1, 3, 4, 4)))
    resized = np.asarray(Image.fromarray(PIXELS).resize((4, 4), Image.Resampling.BILINEAR), np.float32)
    expected = (resized / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    assert batch.inputs["image"].dtype == np.float32
    assert np.allclose(batch.inputs["image"][0], expected.transpose(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("line", "signature", "expected"),
    [
        pytest.param("rgb", PLANES, PIXELS.transpose(2, 0, 1), id="channels first"),
        pytest.param("bgr", PLANES, PIXELS[:, :, ::-1].transpose(2, 0, 1), id="bgr"),
        pytest.param("rgb", signature_of((-1, 6, 8, 3)), PIXELS, id="channels last"),
        pytest.param("rgb", signature_of((-1, 6, 8, 3), "uint8"), PIXELS, id="uint8"),
        pytest.param("rgb", signature_of((1, 3, 6, 8), batch_axis=None), PIXELS.transpose(2, 0, 1)[None], id="one row"),
        pytest.param(
            "crop 3x6", signature_of((-1, 3, 6, 3)), PIXELS[:, 2:5].transpose(2, 0, 1), id="either way: first"
        ),
        pytest.param("crop 2x4", signature_of((-1, 3, 4, 2)), PIXELS[1:5, 3:5].transpose(2, 0, 1), id="crop"),
        pytest.param("mean 100, /2", PLANES, (PIXELS.transpose(2, 0, 1) - 100.0) / 2, id="in the order written"),
        pytest.param("/2, mean 100", PLANES, PIXELS.transpose(2, 0, 1) / 2 - 100.0, id="in the other order"),
    ],
)
def test_a_line_and_a_signature_give(tmp_path: Path, line: str, signature: Signature, expected: Array) -> None:
    assert read(save(tmp_path, "a.png"), line, signature).inputs["image"][0].tolist() == expected.tolist()


@pytest.mark.parametrize("shape", [(-1, 1, 6, 8), (-1, 6, 8, 1), (-1, 6, 8)])
def test_gray_images_have_one_channel_or_none(tmp_path: Path, shape: tuple[int, ...]) -> None:
    found = read(save(tmp_path, "a.png"), "gray", signature_of(shape)).inputs["image"]
    assert found.shape == (1, *shape[1:])
    assert found.ravel().tolist() == np.asarray(Image.fromarray(PIXELS).convert("L")).ravel().tolist()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 16))
def test_the_short_side_becomes_what_is_asked_and_can_be_cropped(width: int, height: int, side: int) -> None:
    values = read_steps(f"resize short {side}, crop {side}").apply(Image.new("RGB", (width, height)))
    assert values.shape == (side, side, 3)


def test_images_come_in_the_order_of_their_names_and_the_rest_is_left(tmp_path: Path) -> None:
    save(tmp_path, "b.png", "a.png", "c.bmp")
    (tmp_path / "notes.txt").write_text("no image")
    batch = read(tmp_path, "rgb")
    assert batch.inputs["image"].shape == (3, 3, 6, 8)
    assert batch.inputs["image"][:, 0, 0, 0].tolist() == [float(PIXELS[0, 0, 0]) + place for place in (1, 0, 2)]
    assert batch.labels is None


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        (("cat/1.png", "dog/1.png", "ant/1.png"), [0, 1, 2]),
        (("10/a.png", "7/a.png", "7/b.png"), [10, 7, 7]),
    ],
)
def test_a_subfolder_is_a_label(tmp_path: Path, files: tuple[str, ...], labels: list[int]) -> None:
    found = read(save(tmp_path, *files), "rgb").labels
    assert found is not None
    assert found.tolist() == labels


def test_a_list_of_labels_goes_before_the_folders(tmp_path: Path) -> None:
    save(tmp_path, "x/b.png", "x/a.png")
    (tmp_path / "labels.csv").write_text("file,label\nx/b.png,4\nx/a.png,9\nx/other.png,1\n")
    found = read(tmp_path, "rgb").labels
    assert found is not None
    assert found.tolist() == [9, 4]


def test_only_the_chosen_images_are_opened(tmp_path: Path) -> None:
    save(tmp_path, *(f"{place:02}.png" for place in range(20)))
    spec = RowsSpec(str(tmp_path), image="rgb", most_rows=1)
    (row,) = next(open_rows(spec, PLANES).batches(1)).inputs["image"]
    kept = int(row[0, 0, 0] - float(PIXELS[0, 0, 0]))
    for place in range(20):
        if place != kept:
            (tmp_path / f"{place:02}.png").write_bytes(b"broken")
    assert open_rows(spec, PLANES).count == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (None, "say how an image becomes a row"),
        ("resize", "'resize' is not understood"),
        ("resize 4 cubic", "'resize 4 cubic' is not"),
        ("resize 0", "'resize 0' is not"),
        ("crop 4 4", "'crop 4 4' is not"),
        ("/0", "'/0' is not"),
        ("mean 1 2", "'mean 1 2' is not"),
        ("rotate 90", "'rotate 90' is not"),
        ("rgb, gray", "rgb and gray; only one"),
        ("", "'' is not"),
        ("crop 9", "has no 9x9 to crop"),
        ("resize 4", r"shape \[3, 4, 4\], the model takes \[3, 6, 8\]"),
    ],
)
def test_a_line_that_does_not_fit_is_said(tmp_path: Path, line: str | None, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(save(tmp_path, "a.png"), line)


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows"):
        read(tmp_path, "rgb")
    save(tmp_path, "a.png")
    with pytest.raises(DataError, match="gives fractions"):
        read(tmp_path, "/255", signature_of((-1, 3, 6, 8), "uint8"))
    with pytest.raises(DataError, match="whole numbers 0 to 255"):
        read(tmp_path, "rgb", signature_of((-1, 3, 6, 8), "int8"))
    two = Signature((PLANES.inputs[0], TensorSpec("size", "int64", (-1,))), (), 0)
    with pytest.raises(DataError, match="feeds one input, the model has 2"):
        read(tmp_path, "rgb", two)
    (tmp_path / "labels.csv").write_text("file,label\n")
    with pytest.raises(DataError, match=r"no line for a\.png"):
        read(tmp_path, "rgb")
    (tmp_path / "labels.csv").write_text("file,label\na.png,cat\n")
    with pytest.raises(DataError, match=r"labels\.csv cannot be read"):
        read(tmp_path, "rgb")
    (tmp_path / "labels.csv").unlink()
    save(tmp_path, "sub/b.png")
    with pytest.raises(DataError, match="both beside and in subfolders"):
        read(tmp_path, "rgb")


def test_a_broken_image_is_said(tmp_path: Path) -> None:
    file = save(tmp_path, "a.png") / "a.png"
    for broken in (b"", b"no image", file.read_bytes()[:60]):
        file.write_bytes(broken)
        with pytest.raises(DataError, match=r"a\.png cannot be read as an image"):
            read(tmp_path, "rgb")

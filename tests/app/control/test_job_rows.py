"""Which rows a job may read."""

from pathlib import Path

import pytest

from app.control.job_rows import rows_below
from app.errors import Malformed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "rows"
    (root / "images").mkdir(parents=True)
    (root / "test.npz").touch()
    (root / "inside").symlink_to("test.npz")
    (root / "outside").symlink_to("../secret.npz")
    (root / "circle").symlink_to("circle")
    (tmp_path / "secret.npz").touch()
    (tmp_path / "rows-of-others").mkdir()
    return root


@pytest.mark.parametrize("name", ["test.npz", "images", "images/../test.npz", "inside"])
def test_what_lies_below(root: Path, name: str) -> None:
    assert rows_below(root, name) == (root / name).resolve()


def test_the_folder_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert rows_below(tmp_path / "link", "test.npz") == root / "test.npz"


@pytest.mark.parametrize(
    "name",
    ["", "nowhere.npz", "../secret.npz", "../rows-of-others", "/etc/passwd", "outside", "circle", "test.npz/x", "a\0b"],
)
def test_what_does_not(root: Path, name: str) -> None:
    with pytest.raises(Malformed, match="there are no rows "):
        rows_below(root, name)


@pytest.mark.parametrize("name", ["os:getcwd", "my.rows:batches"])
def test_code(root: Path, name: str) -> None:
    with pytest.raises(Malformed, match=r"would run code of the server's host, .* run `octet quantize` there"):
        rows_below(root, name)

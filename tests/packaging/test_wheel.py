"""The wheel: exactly the three packages, the command, and what the packages need beside Python files."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("app", "engines", "model_store")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, without the network, by the setuptools that requirements/build.txt names."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "packaging", source / "tests")  # must stay out of the wheel
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip_wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip_wheel, "--wheel-dir", str(out), str(source)], check=True, timeout=100)
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


def test_it_holds_every_file_of_the_three_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = {path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.*")}
    assert held == {name for name in wanted if "__pycache__" not in PurePosixPath(name).parts}


def test_it_brings_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    info = {PurePosixPath(name).name: name for name in wheel.namelist() if ".dist-info/" in name}
    assert wheel.read(info["entry_points.txt"]).decode() == "[console_scripts]\noctet = app.cli.main:main\n"
    assert wheel.read(info["LICENSE"]) == (ROOT / "LICENSE").read_bytes()


def test_it_cannot_be_uploaded_by_accident(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    assert "Classifier: Private :: Do Not Upload" in wheel.read(metadata).decode()

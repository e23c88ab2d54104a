"""requirements/*.txt: every download is named by version and hash, and they say what pyproject.toml asks for."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SERVE = PYPROJECT["project"]["dependencies"]
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
WANTED = {
    "serve": SERVE,
    "dev": [*SERVE, *EXTRAS["dev"], *EXTRAS["openvino"], *EXTRAS["litert"], *EXTRAS["otel"]],
    "openvino": [*SERVE, *EXTRAS["openvino"]],
    "litert": [*SERVE, *EXTRAS["litert"]],
    "otel": [*SERVE, *EXTRAS["otel"]],
    # onnxruntime-gpu takes the place of onnxruntime; TensorRT's libraries are in NVIDIA's index alone.
    "gpu": [one for one in (*SERVE, *EXTRAS["gpu"]) if not one.startswith(("onnxruntime>", "tensorrt"))],
    "build": PYPROJECT["build-system"]["requires"],
}
LOCKS = sorted(
    path.relative_to(ROOT / "requirements").with_suffix("").as_posix()
    for path in (ROOT / "requirements").rglob("*.txt")
)
PYTHONS = ["3.11", "3.12", "3.13"]


def text(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")


def pins(lock: str, python: str) -> dict[str, str]:
    """Name -> version of what `lock` installs under that Python on Linux. Two pins for one name fail."""
    found: dict[str, str] = {}
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    for line in re.findall(r"^([a-z0-9].*?) *\\?$", text(lock), flags=re.MULTILINE):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in found
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            found[name] = specifier.version
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_there_is_no_address(lock: str) -> None:
    blocks = re.split(r"^(?=[a-z0-9])", text(lock), flags=re.MULTILINE)[1:]
    assert blocks
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block
    assert "://" not in text(lock)
    assert not re.findall(r"^ *--(?!hash)", text(lock), flags=re.MULTILINE)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", WANTED)
def test_every_dependency_of_pyproject_is_pinned_to_a_version_that_fits(lock: str, python: str) -> None:
    pinned = pins(lock, python)
    for requirement in map(Requirement, WANTED[lock]):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} but the lock has {version}: make lock"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_checks_run_on_the_versions_that_serve(python: str) -> None:
    assert {item for item in pins("serve", python).items() if item[0] != "onnxruntime"} <= pins("gpu", python).items()
    for extra in ("openvino", "litert", "otel"):
        assert pins("serve", python).items() <= pins(extra, python).items() <= pins("dev", python).items()


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock.startswith(("clients/", "tools/"))])
def test_the_lock_of_an_environment_pins_what_is_asked_for(lock: str) -> None:
    asked = re.findall(r"^[a-z].*", (ROOT / "requirements" / f"{lock}.in").read_text("utf-8"), flags=re.MULTILINE)
    for python in PYTHONS:
        pinned = pins(lock, python)
        for requirement in map(Requirement, asked):
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("python", PYTHONS)
def test_one_onnxruntime_alone_is_installed_for_a_gpu(python: str) -> None:
    assert {name for name in pins("gpu", python) if "onnxruntime" in name} == {"onnxruntime-gpu"}


def test_the_build_group_repeats_the_build_requirement() -> None:
    assert PYPROJECT["dependency-groups"]["build"] == PYPROJECT["build-system"]["requires"]

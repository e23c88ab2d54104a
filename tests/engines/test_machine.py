"""The fingerprint of a machine, and the cores that may be used."""

import os
import string
from pathlib import Path

import pytest

from engines import machine

CPUINFO = """processor\t: 0
model name\t: Imaginary CPU @ 3.00GHz
flags\t\t: fpu sse2 avx2 avx512f avx512_vnni

processor\t: 1
model name\t: Another CPU
flags\t\t: fpu
"""


@pytest.fixture(autouse=True)
def imaginary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine in a folder: its /proc/cpuinfo and its cgroup's quota."""
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "_CGROUP_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(machine, "_GPUS", tmp_path / "gpus")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    return tmp_path


def test_the_first_processor_is_described() -> None:
    described = machine.describe()
    assert described["cpu"] == "Imaginary CPU @ 3.00GHz"
    assert described["flags"] == ["avx2", "avx512f", "avx512_vnni"]
    assert described["cores"] == 8


def test_the_fingerprint_is_stable() -> None:
    fingerprint = machine.fingerprint()
    assert len(fingerprint) == 16
    assert set(fingerprint) <= set(string.hexdigits)
    assert machine.fingerprint() == fingerprint


def test_the_fingerprint_changes_with_the_cpu(imaginary: Path) -> None:
    before = machine.fingerprint()
    (imaginary / "cpuinfo").write_text(CPUINFO.replace("Imaginary", "Real"))
    assert machine.fingerprint() != before


def test_the_fingerprint_changes_with_an_instruction_set(imaginary: Path) -> None:
    before = machine.fingerprint()
    (imaginary / "cpuinfo").write_text(CPUINFO.replace("avx512_vnni", "avx512_vnni amx_int8"))
    assert machine.fingerprint() != before


def test_the_fingerprint_changes_with_the_gpus(imaginary: Path) -> None:
    found = {machine.fingerprint()}
    assert "gpus" not in machine.describe()
    for index, model in enumerate(("IMAGINARY 80GB", "IMAGINARY 40GB")):
        folder = imaginary / "gpus" / f"0000:0{index}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 0\n")
        found.add(machine.fingerprint())
    assert machine.describe()["gpus"] == ["IMAGINARY 80GB", "IMAGINARY 40GB"]
    assert len(found) == 3


def test_the_fingerprint_keeps_with_a_flag_that_decides_no_kernel(imaginary: Path) -> None:
    before = machine.fingerprint()
    (imaginary / "cpuinfo").write_text(CPUINFO.replace("fpu", "fpu la57"))
    assert machine.fingerprint() == before


def test_the_fingerprint_changes_with_the_cores(imaginary: Path) -> None:
    before = machine.fingerprint()
    (imaginary / "cpu.max").write_text("200000 100000\n")
    assert machine.fingerprint() != before


@pytest.mark.parametrize("what", ["machine", "system"])
def test_the_fingerprint_changes_with_the_platform(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = machine.fingerprint()
    monkeypatch.setattr(f"platform.{what}", lambda: "other")
    assert machine.fingerprint() != before


def test_the_fingerprint_changes_with_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = machine.fingerprint()
    monkeypatch.setattr(machine, "version", lambda _: "0.0.1")
    assert machine.fingerprint() != before


def test_a_machine_that_tells_nothing_is_described_all_the_same(imaginary: Path) -> None:
    (imaginary / "cpuinfo").unlink()
    described = machine.describe()
    assert described["cpu"]
    assert described["flags"] == []


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        pytest.param("max 100000\n", 8, id="no limit"),
        pytest.param("200000 100000\n", 2, id="two cores"),
        pytest.param("250000 100000\n", 2, id="a part of a core is none"),
        pytest.param("50000 100000\n", 1, id="less than one is one"),
        pytest.param("6400000 100000\n", 8, id="more than there are"),
        pytest.param("", 8, id="nothing"),
        pytest.param("rubbish", 8, id="rubbish"),
    ],
)
def test_usable_cores_keep_to_the_quota(imaginary: Path, quota: str, cores: int) -> None:
    (imaginary / "cpu.max").write_text(quota)
    assert machine.usable_cores() == cores


def test_usable_cores_keep_to_the_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert machine.usable_cores() == 1


def test_usable_cores_keep_to_the_share_which_has_a_fingerprint_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = machine.fingerprint()
    monkeypatch.setenv(machine.SHARE_VARIABLE, "3")
    assert machine.usable_cores() == 3
    assert machine.fingerprint() != whole

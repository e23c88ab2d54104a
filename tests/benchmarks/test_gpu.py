"""The benchmark of a GPU runs to its end: without a GPU, and on a fake one. What it times here means nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.fake_gpu import FAKES


def run(folder: Path, **variables: str) -> tuple[int, str, dict[str, Any]]:
    """Exit status, what was printed, and the file."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--quick", "--only", "digits", "--out", str(folder / "gpu.json")]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout, json.loads((folder / "gpu.json").read_text())


def test_without_a_gpu_it_says_so_and_asks_what_can_be_asked(tmp_path: Path) -> None:
    code, printed, record = run(tmp_path)
    assert code == 0
    assert "Nothing is timed" in printed
    assert printed.count("tensorrt_rtx") == printed.count("takes it") == 3
    assert printed.endswith("RESULT NO GPU\n")
    assert record["result"] == "NO GPU"


def test_on_a_gpu_every_precision_is_checked_timed_and_served(tmp_path: Path) -> None:
    code, printed, record = run(tmp_path, PYTHONPATH=str(FAKES))
    assert code == 0
    assert printed.startswith("FAKE GPU")
    assert printed.endswith("RESULT PASS\n")
    assert "digits fp16 was served by" in printed or "digits fp16: served" in printed
    assert [one["case"] for one in record["runs"]] == ["digits fp32", "digits fp16", "digits int8"]
    for one in record["runs"]:
        assert len(one["errors"]) == 6
        assert [rows for rows, *times in one["times"] if all(time > 0 for time in times)] == [1, 4]
        assert list(one["rows_per_second"]) == ["1", "2"]
        assert one["failures"] == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nan", "digits int8, 4 rows, graphs: error inf"),
        ("capture", r"no graph could be captured for batches of \[1, 2, 4\]"),
        ("context", "tensorrt 0.0.fake cannot run the model here: .*out of memory"),
    ],
)
def test_what_is_wrong_fails_it(fault: str, words: str, tmp_path: Path) -> None:
    code, printed, record = run(tmp_path, PYTHONPATH=str(FAKES), FAKE_GPU_FAULTS=fault)
    assert code == 1
    assert re.search(words, printed)
    assert printed.endswith("RESULT FAIL\n")
    assert record["result"] == "FAIL"

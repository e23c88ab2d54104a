"""The benchmark's own arithmetic and its networks; nothing is timed here."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from benchmarks.bare import Split, splits
from benchmarks.load import parse
from benchmarks.results import MARK, Result, save, write_into
from benchmarks.run import IMAGE, Run

RATIO = Result("tiny", "8 connections", "850 and 1,000 req/s", 0.85, "x", target=0.85)
SECONDS = Result("start", "until ready", "1.6 s", 1.6, "s", target=1.5, lower_is_better=True)
SHOWN = Result("swap", "p99", "2 and 1 ms", 2.0, "x")


def test_a_target_is_reached_from_above_or_from_below() -> None:
    assert (RATIO.reached, SECONDS.reached, SHOWN.reached) == (True, False, None)
    assert RATIO.row()[3:] == ["0.85 x", "at least 0.85 x", "yes"]
    assert SECONDS.row()[3:] == ["1.6 s", "at most 1.5 s", "no"]
    assert SHOWN.row()[3:] == ["2 x", "", ""]


def test_results_replace_the_last_ones_of_their_part_and_leave_the_rest(tmp_path: Path) -> None:
    page, kept = tmp_path / "README.md", tmp_path / "results.json"
    page.write_text(f"before\n{MARK}\nold\n{MARK}\nafter\n")
    for results in ([SECONDS, replace(SHOWN, part="tiny")], [RATIO]):
        write_into(page, save(results, kept, ("tiny", "start")))
    text = page.read_text()
    assert text.startswith(f"before\n{MARK}\nOn ")
    assert text.endswith(f"\n{MARK}\nafter\n")
    rows = [line.split(" | ")[:6] for line in text.splitlines() if line.startswith(("| tiny", "| start"))]
    assert rows == [
        ["| tiny", "8 connections", "850 and 1,000 req/s", "0.85 x", "at least 0.85 x", "yes"],
        ["| start", "until ready", "1.6 s", "1.6 s", "at most 1.5 s", "no"],
    ]
    assert [(one["part"], one["value"], one["reached"]) for one in json.loads(kept.read_text())["results"]] == [
        ("tiny", 0.85, True),
        ("start", 1.6, False),
    ]


def test_splits_use_no_more_threads_than_there_are_cores() -> None:
    assert {(s.instances, s.threads) for s in splits(4)} == {
        (1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1),
    }  # fmt: skip
    assert str(Split(2, 1, 8)) == "2x1x8"


def test_the_last_line_of_wrk_is_read() -> None:
    load = parse(
        'Running 3s test\n\nRESULT {"requests": 300, "seconds": 3.0, "refused": 0, "broken": 1, '
        '"p50_ms": 1.0, "p99_ms": 2.0, "worst_ms": 3.0}\n'
    )
    assert (load.per_second, load.broken) == (100, 1)


@pytest.mark.parametrize(("name", "dtype", "answer"), [("mlp", np.float32, (1, 10)), ("encoder", np.int64, (1, 384))])
def test_a_network_is_valid_and_takes_the_bodies_made_for_it(
    tmp_path: Path, name: str, dtype: type, answer: tuple[int, int]
) -> None:
    run = Run(tmp_path, rounds=1, seconds=1)
    model = run.network(name)
    onnx.checker.check_model(model, full_check=True)
    bodies = run.bodies(name)
    assert len({body.read_bytes() for body in bodies}) == 8
    session = onnxruntime.InferenceSession(str(model))
    rows: np.ndarray[Any, Any] = np.array(json.loads(bodies[0].read_bytes())["instances"], dtype)
    (result,) = session.run(None, {session.get_inputs()[0].name: rows})
    assert result.shape == answer
    assert np.isfinite(result).all()


def test_the_name_of_a_binary_body_says_where_its_bytes_begin(tmp_path: Path) -> None:
    run = Run(tmp_path, rounds=1, seconds=1)
    bodies = run.bodies("resnet50")
    assert run.bodies("resnet50") == bodies, "made once"
    head, json_bytes, kind = bodies[0].name.split(".")
    assert (head, kind) == ("resnet50-0", "binary")
    body = bodies[0].read_bytes()
    assert json.loads(body[: int(json_bytes)])["inputs"][0]["shape"] == list(IMAGE)
    assert np.frombuffer(body, np.float32, offset=int(json_bytes)).size == np.prod(IMAGE)

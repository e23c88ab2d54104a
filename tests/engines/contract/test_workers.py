"""Who owns what, and what many workers do at once."""

import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from engines.engine import Runner
from engines.errors import InputRefused, LoadError, RunError
from engines.signature import NUMPY_DTYPES
from tests.engines.contract.conftest import ENGINES, SAYS_NO_MEMORY, Open, written
from tests.graphs import doubling, gather, identity, model, node, value

SPLITS = [(1, 1), (4, 1), (2, 2)]


def network() -> ModelProto:
    """`y` [N,8] from `x` [N,16], with enough sums in it to show an answer that was mixed up."""
    weights = {"w": np.random.default_rng(1).normal(size=(16, 8)).astype(np.float32)}
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Sin", ["h"], ["y"])]
    return model(nodes, [value("x", "float32", ["N", 16])], [value("y", "float32", ["N", 8])], weights)


@pytest.mark.parametrize(("instances", "threads"), SPLITS)
def test_workers_that_run_at_once_each_get_their_own_answer(instances: int, threads: int, open_engine: Open) -> None:
    engine = open_engine(network(), instances=instances, threads=threads)
    runners = [engine.runner() for _ in range(instances)]
    random = np.random.default_rng(2)
    batches = [random.normal(size=(rows, 16)).astype(np.float32) for rows in (1, 3, 8, 1, 5, 2) * 8]
    expected = [runners[0].run({"x": batch})["y"].tobytes() for batch in batches]
    start = threading.Barrier(instances)
    wrong: list[int] = []

    def work(runner: Runner) -> None:
        start.wait()
        for index, batch in enumerate(batches):
            if runner.run({"x": batch})["y"].tobytes() != expected[index]:
                wrong.append(index)

    workers = [threading.Thread(target=work, args=(runner,)) for runner in runners]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_a_runner_may_move_from_thread_to_thread(open_engine: Open) -> None:
    runner = open_engine(identity("float32", ["N"])).runner()
    answers: list[list[float]] = []
    for number in range(3):
        sent = {"x": np.array([number], np.float32)}
        thread = threading.Thread(target=lambda sent=sent: answers.append(runner.run(sent)["y"].tolist()))
        thread.start()
        thread.join()
    assert answers == [[0], [1], [2]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_caller_owns_the_answer_and_keeps_the_input(dtype: str, open_engine: Open) -> None:
    runner = open_engine(identity(dtype, ["N"])).runner()
    sent = np.array([1, 2], NUMPY_DTYPES[dtype])
    first = runner.run({"x": sent})["y"]
    runner.run({"x": np.array([8, 9], NUMPY_DTYPES[dtype])})
    assert first.tolist() == [1, 2]
    first[:] = 7
    assert sent.tolist() == [1, 2]
    assert runner.run({"x": sent})["y"].tolist() == [1, 2]


def test_an_input_that_cannot_be_written_to_is_run(open_engine: Open) -> None:
    """As those are that lie in the bytes of a request."""
    runner = open_engine(identity("float32", ["N"])).runner()
    sent = np.frombuffer(np.array([1, 2], np.float32).tobytes(), np.float32)
    assert not sent.flags.writeable
    assert runner.run({"x": sent})["y"].tolist() == [1, 2]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "string"])
def test_no_reference_to_either_side_is_kept(dtype: str, open_engine: Open) -> None:
    runner = open_engine(identity(dtype, ["N"])).runner()
    sent = np.array([1, 2]).astype(NUMPY_DTYPES[dtype]) if dtype != "string" else np.array(["1", "2"], object)
    answer = runner.run({"x": sent})["y"]
    left = [weakref.ref(sent), weakref.ref(answer)]
    del sent, answer
    gc.collect()
    assert [reference() for reference in left] == [None, None]


def test_values_that_the_model_refuses_are_the_callers_fault(open_engine: Open) -> None:
    runner = open_engine(gather()).runner()
    with pytest.raises(InputRefused, match="99"):
        runner.run({"x": np.array([0, 99])})
    assert runner.run({"x": np.array([2, 0])})["y"].tolist() == [30, 10]


def test_half_a_surrogate_pair_is_no_text(open_engine: Open) -> None:
    runner = open_engine(identity("string", ["N"])).runner()
    with pytest.raises(InputRefused, match="surrogate"):
        runner.run({"x": np.array(["\ud800"], object)})
    assert runner.run({"x": np.array(["\U0001f701"], object)})["y"].tolist() == ["\U0001f701"]


def test_a_run_that_fails_is_not_the_callers_fault_and_the_next_one_runs(open_engine: Open) -> None:
    inputs = [value("x", "float32", ["N"]), value("s", "int64", [2])]
    expand = model([node("Expand", ["x", "s"], ["y"])], inputs, [value("y", "float32", [None, None])])
    engine = open_engine(expand)
    runner, one = engine.runner(), np.ones(1, np.float32)
    failure = (InputRefused, "failed") if engine.name.split()[0] in SAYS_NO_MEMORY else (RunError, r"memory|Alloc")
    with pytest.raises(failure[0], match=failure[1]):
        runner.run({"x": one, "s": np.array([1 << 24, 1 << 24])})
    assert runner.run({"x": one, "s": np.array([1, 2])})["y"].tolist() == [[1, 1]]


def test_shapes_that_do_not_fit_together_are_the_callers_fault(open_engine: Open) -> None:
    shapes = [value("x", "float32", ["N", "K"]), value("z", "float32", ["M", "L"])]
    matmul = model([node("MatMul", ["x", "z"], ["y"])], shapes, [value("y", "float32", ["N", "L"])])
    runner = open_engine(matmul).runner()
    one, three = np.ones((1, 1), np.float32), np.ones((3, 3), np.float32)
    with pytest.raises(InputRefused, match="dimension"):
        runner.run({"x": one, "z": three})
    assert runner.run({"x": three, "z": three})["y"].tolist() == [[3, 3, 3]] * 3


@pytest.mark.parametrize(("instances", "threads"), SPLITS)
def test_as_many_runners_as_instances(instances: int, threads: int, open_engine: Open) -> None:
    engine = open_engine(identity("float32", ["N"]), instances=instances, threads=threads)
    runners = [engine.runner() for _ in range(instances)]
    assert len({id(runner) for runner in runners}) == instances
    with pytest.raises(LoadError, match="instances"):
        engine.runner()


def test_a_closed_engine_gives_out_no_runner(open_engine: Open) -> None:
    engine = open_engine(identity("float32", ["N"]), instances=2)
    engine.runner()
    engine.close()
    engine.close()
    with pytest.raises(LoadError):
        engine.runner()


def test_it_says_its_name_and_version(open_engine: Open) -> None:
    engine = open_engine(identity("float32", ["N"]))
    name, _, version = engine.name.partition(" ")
    assert name in ENGINES
    assert version[0].isdigit()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_is_gone_or_broken_is_a_load_error(engine: str, tmp_path: Path) -> None:
    path, signature = written(engine, network(), tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LoadError):
        ENGINES[engine](path, signature, instances=1, threads=1)
    path.unlink()
    with pytest.raises(LoadError):
        ENGINES[engine](path, signature, instances=1, threads=1)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_of_another_signature_is_a_load_error(engine: str, tmp_path: Path) -> None:
    ends = [value("i"), value("j")], [value("y")]
    path, _ = written(engine, model([node("Add", ["i", "j"], ["y"])], *ends), tmp_path)
    (tmp_path / "other").mkdir()
    _, signature = written(engine, doubling(), tmp_path / "other")
    with pytest.raises(LoadError, match="'i'"):
        ENGINES[engine](path, signature, instances=1, threads=1)

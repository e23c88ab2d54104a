"""The source runs once for all variants, and what it answered is kept within bounds."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from engines import onnxruntime_engine
from engines.engine import Engine, Runner
from engines.quantize import kept_answers
from engines.quantize.answers import Answering
from engines.quantize.kept_answers import KeptAnswers
from engines.quantize.open_rows import open_rows
from engines.quantize.quality import compare
from engines.quantize.recipe import Source
from engines.quantize.reference import Reference
from engines.quantize.rows import Rows, RowsSpec
from engines.signature import Signature, TensorSpec
from tests.engines.quantize.conftest import DIGITS, Open

TEXT = Signature((TensorSpec("t", "string", (-1, 2)),), (TensorSpec("b", "bfloat16", (-1,)),), 0)
NUMBERS = Signature((TensorSpec("x", "float32", (-1, 256)),), (TensorSpec("y", "float32", (-1, 256)),), 0)
Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


class Counting:
    """The engine of digits, which counts the rows that its runners run."""

    def __init__(self) -> None:
        self.rows = 0

    def load(self, path: Path, signature: Signature, *, instances: int, threads: int) -> Engine:
        engine = onnxruntime_engine.load(path, signature, instances=instances, threads=threads)
        counting, plain = self, engine.runner

        class Counted:
            def __init__(self) -> None:
                self.inner = plain()

            def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
                counting.rows += len(inputs["image"])
                return self.inner.run(inputs)

        engine.runner = Counted  # type: ignore[method-assign,assignment]
        return engine


@pytest.fixture
def rows(digits: Source) -> Rows:
    return open_rows(RowsSpec(str(DIGITS / "test.npz")), digits.signature)


def test_the_source_runs_once_over_the_rows(digits: Source, static_digits: Path, open_digits: Open, rows: Rows) -> None:
    counting = Counting()
    runner: Runner = open_digits(static_digits).runner()
    variant = Answering(runner, digits.signature, batched=True)
    with closing(Reference(digits, counting.load, rows, cores=1)) as reference:
        first = compare(reference, variant, rows, "accuracy", seed=0)
        reference.contender()
        once = counting.rows
        assert compare(reference, variant, rows, "accuracy", seed=0) == first
        assert counting.rows == once
        source = Answering(open_digits(digits.path).runner(), digits.signature, batched=True)
        assert compare(source, variant, rows, "accuracy", seed=0) == first


@pytest.fixture
def kept() -> Iterator[KeptAnswers]:
    with closing(KeptAnswers(NUMBERS, most_bytes=20_000)) as made:
        yield made


def numbers(start: int) -> dict[str, Array]:
    return {"x": np.arange(start, start + 1024, dtype=np.float32).reshape(4, 256)}


def test_answers_beyond_the_bound_are_not_kept(kept: KeptAnswers) -> None:
    """4096 bytes each."""
    for start in range(10):
        kept.put(numbers(start), {"y": numbers(start)["x"] * 2})
    found = [kept.get(numbers(start)) for start in range(10)]
    assert [answers is not None for answers in found] == [True] * 4 + [False] * 6
    for start, answers in enumerate(found[:4]):
        assert answers is not None
        assert np.array_equal(answers["y"], numbers(start)["x"] * 2)


def test_many_answers_go_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_answers, "_IN_MEMORY_BYTES", 10_000)
    with closing(KeptAnswers(NUMBERS)) as kept:
        for start in range(10):
            kept.put(numbers(start), {"y": numbers(start)["x"]})
        assert kept._file._rolled  # type: ignore[attr-defined]
        for start in range(10):
            answers = kept.get(numbers(start))
            assert answers is not None
            assert np.array_equal(answers["y"], numbers(start)["x"])


def test_where_the_disk_is_full_nothing_more_is_kept(kept: KeptAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.put(numbers(0), {"y": numbers(0)["x"]})
    with monkeypatch.context() as patch:

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(np.lib.format, "write_array", full)
        kept.put(numbers(1), {"y": numbers(1)["x"]})
    kept.put(numbers(2), {"y": numbers(2)["x"]})
    assert [kept.get(numbers(start)) is not None for start in range(3)] == [True, False, False]


def test_rows_of_text_are_told_apart_and_answers_keep_their_dtype() -> None:
    first, other = ({"t": np.array([words], object)} for words in (["a", "bc"], ["ab", "c"]))
    with closing(KeptAnswers(TEXT)) as kept:
        kept.put(first, {"b": np.array([1.5], ml_dtypes.bfloat16)})
        assert kept.get(other) is None
        answers = kept.get(first)
        assert answers is not None
        assert (answers["b"].dtype, answers["b"].tolist()) == (ml_dtypes.bfloat16, [1.5])

"""A fake GPU, see `tests/fakes`. What only a real one can show is in `benchmarks/gpu.py`."""

from collections.abc import Iterator

import pytest

from tests.fakes.fake_gpu import FakeGpu, fake_gpu


@pytest.fixture
def gpu() -> Iterator[FakeGpu]:
    """A new one for every test."""
    with fake_gpu() as new:
        yield new

"""Which layer `--exclude-auto` leaves as it is next."""

import pytest

from app.control.quantize import next_excluded
from tests.engines.quantize.made_reports import layer, report

LAYERS = tuple(layer(f"layer {number}") for number in range(10))


@pytest.mark.parametrize(
    ("excluded", "expected"),
    [
        ((), "worst"),
        (("worst",), "good"),
        (("worst", "good"), None),  # the last one stays: with none quantized there is no variant
    ],
)
def test_the_worst_that_is_left_and_never_the_last(excluded: tuple[str, ...], expected: str | None) -> None:
    made = report(drop=0.02, layers=(layer("good", 5.0), layer("better", 1.0), layer("worst", 20.0)))
    assert next_excluded(made, excluded) == expected


def test_none_where_the_drop_is_allowed() -> None:
    assert next_excluded(report(drop=0.001, layers=LAYERS), ()) is None


def test_none_where_enough_was_tried() -> None:
    made = report(drop=0.02, layers=LAYERS)
    assert next_excluded(made, tuple(one.node for one in LAYERS[:7])) is not None
    assert next_excluded(made, tuple(one.node for one in LAYERS[:8])) is None

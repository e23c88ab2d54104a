"""Which variants are loaded beside those that answer, situation by situation."""

import pytest

from app.control.pins import DropPin, LoadPin, PinKey, next_pin_action
from app.serving.lifecycle import VersionKey

A1, A2, B1 = VersionKey("a", "1.0.0"), VersionKey("a", "2.0.0"), VersionKey("b", "1.0.0")
INT8, FP16, BF16 = (PinKey(A1, variant) for variant in ("int8", "fp16", "bf16"))
NEWER, OTHER = PinKey(A2, "int8"), PinKey(B1, "int8")
ALL = {INT8, FP16, BF16, NEWER, OTHER}


@pytest.mark.parametrize(
    ("why", "asked", "loaded", "may_stay", "is_busy", "action"),
    [
        ("nobody named one", [], {}, ALL, False, None),
        ("what was named is loaded", [INT8], {}, ALL, False, LoadPin(INT8)),
        ("the one first that was named first", [FP16, INT8], {}, ALL, False, LoadPin(FP16)),
        ("once", [INT8], {INT8: 5.0}, ALL, False, None),
        ("when nothing else is being loaded", [INT8], {}, ALL, True, None),
        ("not one that may not serve", [INT8, FP16], {}, {FP16}, False, LoadPin(FP16)),
        ("beside another", [INT8], {FP16: 5.0}, ALL, False, LoadPin(INT8)),
        ("in the place of the one that waited longest", [INT8], {FP16: 5.0, BF16: 3.0}, ALL, False, DropPin(BF16)),
        ("whatever version it is of", [INT8], {FP16: 5.0, NEWER: 3.0}, ALL, False, DropPin(NEWER)),
        ("each model has its own bound", [OTHER], {FP16: 5.0, BF16: 3.0}, ALL, False, LoadPin(OTHER)),
        ("nothing goes for one that may not come", [INT8], {FP16: 5.0, BF16: 3.0}, {FP16, BF16}, False, None),
        ("nothing goes while nothing can come", [INT8], {FP16: 5.0, BF16: 3.0}, ALL, True, None),
        ("what may not stay goes", [], {INT8: 5.0}, set(), False, DropPin(INT8)),
        ("at once", [], {INT8: 5.0}, {FP16}, True, DropPin(INT8)),
    ],
)
def test_situation(
    why: str, asked: list[PinKey], loaded: dict[PinKey, float], may_stay: set[PinKey], is_busy: bool, action: object
) -> None:
    assert next_pin_action(asked, loaded, may_stay, {"a": 2, "b": 2}, is_busy=is_busy) == action, why


def test_a_model_that_has_no_room_loads_none() -> None:
    assert next_pin_action([INT8], {}, ALL, {"a": 0}, is_busy=False) is None

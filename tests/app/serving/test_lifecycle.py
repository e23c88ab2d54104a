"""The policy of loading and unloading: situations, and what holds in every history."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.serving.lifecycle import Load, Replace, State, Unload, VersionKey, next_action

ONE, TWO, THREE = (VersionKey("m", f"{major}.0.0") for major in (1, 2, 3))
OTHER = VersionKey("other", "1.0.0")
AVAILABLE, LOADING, UNLOADING, END = State.AVAILABLE, State.LOADING, State.UNLOADING, State.END


@pytest.mark.parametrize(
    ("why", "wanted", "states", "action"),
    [
        ("nothing is wanted, nothing is there", [], {}, None),
        ("the most important one first", [TWO, ONE], {}, Load(TWO)),
        ("the next one when it is there", [TWO, ONE], {TWO: AVAILABLE}, Load(ONE)),
        ("all is as wanted", [TWO, ONE], {TWO: AVAILABLE, ONE: AVAILABLE}, None),
        ("one load at a time", [TWO, ONE], {TWO: LOADING}, None),
        ("one load at a time, of all models", [OTHER, TWO], {OTHER: LOADING}, None),
        ("nothing is unloaded beside a load", [TWO], {ONE: AVAILABLE, TWO: LOADING}, None),
        ("a new version is loaded beside the old", [TWO], {ONE: AVAILABLE}, Load(TWO)),
        ("the old one goes when the new one can answer", [TWO], {ONE: AVAILABLE, TWO: AVAILABLE}, Unload(ONE)),
        ("the old one stays when the new one failed", [TWO], {ONE: AVAILABLE, TWO: END}, None),
        ("any wanted one will do", [THREE, TWO], {ONE: AVAILABLE, TWO: AVAILABLE, THREE: END}, Unload(ONE)),
        ("but only after all had their chance", [THREE, TWO], {ONE: AVAILABLE, TWO: AVAILABLE}, Load(THREE)),
        ("a failed one is not tried again", [TWO], {TWO: END}, None),
        ("a failed one does not stop the next", [TWO, ONE], {TWO: END}, Load(ONE)),
        ("a model that is not wanted at all goes", [], {ONE: AVAILABLE}, Unload(ONE)),
        ("it waits for no load", [OTHER], {ONE: AVAILABLE, OTHER: LOADING}, Unload(ONE)),
        ("but what is being loaded of it is waited for", [], {ONE: LOADING}, None),
        ("and goes then", [OTHER], {ONE: AVAILABLE, TWO: UNLOADING, OTHER: AVAILABLE}, Unload(ONE)),
        ("another model is no substitute", [OTHER, TWO], {ONE: AVAILABLE, OTHER: AVAILABLE, TWO: END}, None),
        ("what is going is left alone", [], {ONE: UNLOADING}, None),
        ("a load does not wait for what is going", [TWO], {ONE: UNLOADING}, Load(TWO)),
        ("one that is wanted again while it goes is not loaded twice", [ONE], {ONE: UNLOADING}, None),
        ("a failed one that is not wanted needs nothing", [], {ONE: END}, None),
    ],
)  # fmt: skip
def test_situation(why: str, wanted: list[VersionKey], states: dict[VersionKey, State], action: object) -> None:
    assert next_action(wanted, states) == action, why


@pytest.mark.parametrize(
    ("why", "wanted", "states", "outdated", "is_busy", "action"),
    [
        ("a better variant takes the place of what answers", [ONE], {ONE: AVAILABLE}, [ONE], False, Replace(ONE)),
        ("where one is wanted", [], {ONE: AVAILABLE}, [ONE], False, Unload(ONE)),
        ("of what answers", [ONE], {ONE: END}, [ONE], False, None),
        ("of nothing that is going", [ONE], {ONE: UNLOADING}, [ONE], False, None),
        ("after what does not answer yet", [ONE, TWO], {ONE: AVAILABLE}, [ONE], False, Load(TWO)),
        ("and after what is being loaded", [ONE, TWO], {ONE: AVAILABLE, TWO: LOADING}, [ONE], False, None),
        ("the most important first", [TWO, ONE], {ONE: AVAILABLE, TWO: AVAILABLE}, [ONE, TWO], False, Replace(TWO)),
        ("one at a time", [ONE], {ONE: AVAILABLE}, [ONE], True, None),
        ("nothing is loaded beside it", [ONE, TWO], {ONE: AVAILABLE}, [ONE], True, None),
        ("what is not wanted goes all the same", [OTHER], {ONE: AVAILABLE, OTHER: AVAILABLE}, [], True, Unload(ONE)),
    ],
)  # fmt: skip
def test_situation_of_variants(
    why: str,
    wanted: list[VersionKey],
    states: dict[VersionKey, State],
    outdated: list[VersionKey],
    is_busy: bool,
    action: object,
) -> None:
    assert next_action(wanted, states, outdated, is_busy=is_busy) == action, why


KEYS = [VersionKey(model, f"{major}.0.0") for model in "ab" for major in (1, 2, 3)]
wishes = st.lists(st.sampled_from(KEYS), unique=True)


class History:
    """A server that carries the policy out; `broken` versions cannot be loaded."""

    def __init__(self, broken: set[VersionKey]) -> None:
        self.broken = broken
        self.states: dict[VersionKey, State] = {}
        self.loads: Counter[VersionKey] = Counter()
        self.steps = 0

    def follow(self, wanted: list[VersionKey]) -> None:
        """Act until nothing is left to do."""
        before = self.loads.copy()
        while (action := next_action(wanted, self.states)) is not None:
            self.steps += 1
            assert self.steps < 1000, "it comes to an end"
            if isinstance(action, Load):
                self._load(action.key, wanted)
            else:
                assert isinstance(action, Unload), "nothing is outdated"
                self._unload(action.key, wanted)
        assert all(count <= 1 for count in (self.loads - before).values()), "one chance each"

    def _load(self, key: VersionKey, wanted: list[VersionKey]) -> None:
        assert key in wanted
        assert key not in self.states
        self.loads[key] += 1
        self.states[key] = LOADING
        while (beside := next_action(wanted, self.states)) is not None:
            assert isinstance(beside, Unload), "one load at a time"
            assert all(other.model != beside.key.model for other in wanted), "its model may need it yet"
            self._unload(beside.key, wanted)
        self.states[key] = END if key in self.broken else AVAILABLE

    def _unload(self, key: VersionKey, wanted: list[VersionKey]) -> None:
        assert key not in wanted
        assert self.states.pop(key) is AVAILABLE
        of_model = [other for other in wanted if other.model == key.model]
        assert not of_model or self.available(of_model), "somebody wanted answers in its place"

    def available(self, keys: list[VersionKey]) -> list[VersionKey]:
        return [key for key in keys if self.states.get(key) is AVAILABLE]


@given(st.lists(wishes, min_size=1, max_size=6), st.sets(st.sampled_from(KEYS)))
def test_whatever_is_wished_for_availability_comes_first(
    sequence: list[list[VersionKey]], broken: set[VersionKey]
) -> None:
    history = History(broken)
    for wanted in sequence:
        answering = {key.model for key in history.available(KEYS)}
        history.follow(wanted)
        assert all(key in history.states for key in wanted), "everything wanted had its chance"
        for model in "ab":
            of_model = [key for key in wanted if key.model == model]
            there = [key for key in history.available(KEYS) if key.model == model]
            if not of_model or history.available(of_model):
                assert set(there) <= set(of_model), "nothing unwanted is left"
            elif model in answering:
                assert there, "a model that answered goes on answering"

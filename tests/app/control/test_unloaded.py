"""What was unloaded: a set, which processes that have the same file open share."""

import os

from app.control.unloaded import Unloaded


def test_alone_it_is_a_set() -> None:
    unloaded = Unloaded()
    unloaded.add("a")
    unloaded.add("b")
    unloaded.discard("b")
    unloaded.discard("never")
    unloaded.look()
    assert list(unloaded) == ["a"]
    assert "a" in unloaded
    unloaded.keep({"b"})
    assert len(unloaded) == 0


def test_what_one_changes_others_see_when_they_look_and_no_change_is_lost() -> None:
    with os.fdopen(os.memfd_create("test"), "r+b") as file:
        one, other = Unloaded(file.fileno()), Unloaded(file.fileno())
        one.add("a long name of a model")
        assert list(other) == []
        other.add("b")
        assert sorted(other) == ["a long name of a model", "b"]
        other.discard("a long name of a model")
        one.look()
        assert list(one) == ["b"], "the shorter list is read to its end"
        one.keep({"c"})
        assert list(Unloaded(file.fileno())) == []
        other.look()
        assert list(other) == []

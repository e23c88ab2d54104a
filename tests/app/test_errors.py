"""Every error has an answer, and only foreseen ones tell their text."""

import orjson
import pytest

from app.errors import INTERNAL, RULES, Draining, Malformed, OctetError, Rule, rule_for, text_for
from engines.errors import EngineError, InputRefused, LoadError, RunError
from model_store.errors import Corrupt, NotFound, StoreError


def families(*roots: type[Exception]) -> list[type[Exception]]:
    """All subclasses, however deep."""
    return [cls for root in roots for cls in (*root.__subclasses__(), *families(*root.__subclasses__()))]


EVERY = families(OctetError, EngineError, StoreError)


def test_there_are_errors_to_look_at() -> None:
    assert {Draining, RunError, Corrupt} <= set(EVERY)


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
def test_every_error_has_a_rule(cls: type[Exception]) -> None:
    rule = rule_for(cls("why"))
    assert rule is not INTERNAL
    assert 400 <= rule.status < 600
    assert text_for(cls("why")) == "why"


def test_an_error_of_the_application_has_a_rule_of_its_own() -> None:
    assert [cls.__name__ for cls in families(OctetError) if cls not in RULES] == []


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.code)
def test_trying_again_is_offered_exactly_where_it_helps(rule: Rule) -> None:
    assert (rule.retry_after_seconds is not None) == (rule.status == 503)


def test_a_code_has_one_status() -> None:
    assert len({rule.code for rule in RULES.values()}) == len({(rule.code, rule.status) for rule in RULES.values()})


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputRefused(""), 400),
        (RunError(""), 500),
        (LoadError(""), 500),
        (NotFound(""), 404),
        (Corrupt(""), 500),
        (ValueError(""), 500),
        (KeyboardInterrupt(), 500),
    ],
)
def test_the_nearest_class_decides(error: BaseException, status: int) -> None:
    assert rule_for(error).status == status


def test_an_unforeseen_error_keeps_its_text_to_itself() -> None:
    class Deeper(RunError):
        pass

    for error in (ValueError("/secret/path"), KeyError("password"), AssertionError("x")):
        assert rule_for(error) is INTERNAL
        assert text_for(error) == "internal error: it is logged under this request's id (X-Request-Id)"
    assert text_for(Deeper("engine")) == "engine"


def test_every_text_can_be_written_as_json() -> None:
    half = "a \ud800 b"
    assert orjson.dumps(text_for(Malformed(half))) == rb'"a \\ud800 b"'

"""Every object is what the published schema of its kind says; a wrong name and a wrong type are seen anywhere."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import ValidationError
from kubernetes_validate import SchemaNotFoundError

from tests.kubernetes.kustomizations import KUBERNETES, KUSTOMIZATIONS, ROOT, composed, read
from tests.kubernetes.pods import Object
from tests.kubernetes.schemas import NEWEST, OF_OPERATORS, OLDEST, SCHEMAS, check

FILES = sorted(file for file in KUBERNETES.rglob("*.yaml") if file.name != "kustomization.yaml")
OBJECTS = {f"{file.parent.name}/{file.name}": one for file in FILES for one in read(file)}
Way = tuple[str | int, ...]
# Mappings whose keys are anybody's.
_FREE = {"annotations", "labels", "matchLabels", "limits", "requests"}


def places(value: Any, path: Way = ()) -> Iterator[tuple[Way, Any]]:
    """Every value in an object and the way to it, the object itself first."""
    yield path, value
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(below, (*path, key))


def is_free(kind: str, path: Way) -> bool:
    of_a_trigger = "triggers" in path and path[-1] == "metadata"
    return of_a_trigger or not _FREE.isdisjoint(path[-1:]) or (kind, path) == ("Service", ("spec", "selector"))


def changed(one: Object, path: Way, value: Any) -> Object:
    """A copy with another value there."""
    *way, last = path
    copy = below = deepcopy(one)
    for key in way:
        below = below[key]
    below[last] = value
    return copy


@pytest.mark.parametrize("release", [OLDEST, NEWEST])
@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda folder: folder.name)
def test_what_a_kustomization_comes_to_is_valid(folder: Path, release: str) -> None:
    for one in composed(folder):
        check(one, release)


def test_the_oldest_release_is_the_one_that_is_told() -> None:
    assert f"Kubernetes {OLDEST} or newer" in (ROOT / "docs" / "deploy.md").read_text("utf-8")
    with pytest.raises(ValidationError):
        check(OBJECTS["base/deployment.yaml"], "1.28")


@pytest.mark.parametrize("one", OBJECTS.values(), ids=OBJECTS)
def test_an_object_is_valid(one: Object) -> None:
    check(one)


@pytest.mark.parametrize("one", OBJECTS.values(), ids=OBJECTS)
def test_a_name_that_is_not_known_is_seen_anywhere(one: Object) -> None:
    mappings = [path for path, value in places(one) if isinstance(value, dict) and not is_free(one["kind"], path)]
    assert mappings
    for path in mappings:
        with pytest.raises(ValidationError):
            check(changed(one, (*path, "tpyo"), "x"))


@pytest.mark.parametrize("one", OBJECTS.values(), ids=OBJECTS)
def test_a_wrong_type_is_seen_anywhere(one: Object) -> None:
    plain = [path for path, value in places(one) if not isinstance(value, dict | list)]
    for path in plain:
        if path in (("apiVersion",), ("kind",)):  # by these the schema is found
            continue
        with pytest.raises(ValidationError):
            check(changed(one, path, [{}]))


@pytest.mark.parametrize("one", OBJECTS.values(), ids=OBJECTS)
def test_another_group_is_seen(one: Object) -> None:
    with pytest.raises((ValidationError, SchemaNotFoundError)):
        check(one | {"apiVersion": "octet.example/v1"})


def test_every_schema_is_used() -> None:
    assert {file.stem for file in SCHEMAS.glob("*.json")} == set(OF_OPERATORS.values())
    assert {one["kind"] for one in OBJECTS.values()} >= OF_OPERATORS.keys() - {"PrometheusRule"}

"""What a real store asks to be served, and in which order."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.control.desired import Desired, desired, wanted
from app.serving.lifecycle import VersionKey
from app.settings import Settings, load_settings
from model_store.manifest import Metadata
from model_store.records import NewVersion, VersionRecord
from model_store.store import Store

Publish = Callable[..., None]


@pytest.fixture
def publish(store: Store, tmp_path: Path) -> Publish:
    def versions(name: str, *numbers: str) -> None:
        for number in numbers:
            source = tmp_path / "model"
            source.write_text(f"{name} {number}")
            store.publish(NewVersion(name, number, source, {}, {}, Metadata()))

    return versions


def settings(*names: str) -> Settings:
    return load_settings({"model": ",".join(names)} if names else {})


def order(store: Store, *names: str) -> list[str]:
    found = desired(store, settings(*names))
    assert all(record.version == key.version for key, record in found.versions.items())
    return [f"{key.model} {key.version}" for key in found.versions]


def test_an_empty_store_asks_for_nothing(store: Store) -> None:
    found = desired(store, settings())
    assert (found.names, found.versions, found.labels) == ({}, {}, {})


def test_defaults_come_first_then_labelled_ones_then_the_rest(store: Store, publish: Publish) -> None:
    publish("a", "1.0.0", "1.9.0", "1.10.0", "2.0.0-rc.1")
    publish("B", "1.0.0", "1.1.0")
    store.label("a", "1.0.0", "stable")
    store.label("a", "2.0.0-rc.1", "canary")
    found = order(store)
    assert set(found[:2]) == {"a 1.10.0", "b 1.1.0"}
    assert found[2:4] == ["a 1.0.0", "a 2.0.0-rc.1"]
    assert set(found[4:]) == {"a 1.9.0", "b 1.0.0"}


def test_a_pre_release_is_the_default_only_where_nothing_is_released(store: Store, publish: Publish) -> None:
    publish("a", "1.0.0-rc.1", "1.0.0-rc.2")
    assert order(store) == ["a 1.0.0-rc.2", "a 1.0.0-rc.1"]
    publish("a", "0.1.0")
    assert order(store)[0] == "a 0.1.0"


def test_retired_versions_are_not_asked_for(store: Store, publish: Publish) -> None:
    publish("a", "1.0.0", "2.0.0")
    store.retire("a", "2.0.0")
    assert order(store) == ["a 1.0.0"]
    store.retire("a", "1.0.0")
    found = desired(store, settings())
    assert (found.names, found.versions) == ({"a": "a"}, {})


def test_labels_point_at_versions(store: Store, publish: Publish) -> None:
    publish("Digits", "1.0.0")
    store.label("Digits", "1.0.0", "stable")
    found = desired(store, settings())
    assert found.names == {"digits": "Digits"}
    assert found.labels == {("digits", "stable"): VersionKey("digits", "1.0.0")}


def test_only_what_was_asked_for_is_served_whatever_its_case(store: Store, publish: Publish) -> None:
    publish("Digits", "1.0.0")
    publish("other", "1.0.0")
    store.label("other", "1.0.0", "stable")
    found = desired(store, settings("DIGITS", "missing"))
    assert found.names == {"digits": "Digits", "missing": "missing"}
    assert list(found.versions) == [VersionKey("digits", "1.0.0")]
    assert found.labels == {}


A1, A2, B1 = VersionKey("a", "1.0.0"), VersionKey("a", "2.0.0"), VersionKey("b", "1.0.0")


@pytest.mark.parametrize(
    ("why", "published", "answering", "unloaded", "found"),
    [
        ("all that is published", [A2, B1], [], set(), [A2, B1]),
        ("what answers under a label stays behind it", [A2], [A1], set(), [A2, A1]),
        ("nothing of an unloaded model", [A2, B1], [], {"a"}, [B1]),
        ("not even under its label", [A2, B1], [A1], {"a"}, [B1]),
        ("nor what is published meanwhile", [A1, A2, B1], [], {"a"}, [B1]),
        ("nor where all of it was retired", [B1], [], {"a"}, [B1]),
        ("nothing at all", [A2, B1], [A1], {"a", "b"}, []),
    ],
)
def test_what_is_wanted(
    why: str, published: list[VersionKey], answering: list[VersionKey], unloaded: set[str], found: list[VersionKey]
) -> None:
    record = VersionRecord("", "", "", {}, Metadata(), None, datetime.now(UTC), False, ())
    assert wanted(Desired(versions=dict.fromkeys(published, record)), answering, unloaded) == found, why

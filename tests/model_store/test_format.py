"""docs/format.md names every file and every field of the format."""

from pathlib import Path

import pytest

from model_store.journal import Entry
from model_store.layout import FORMAT, Layout
from model_store.manifest import FileManifest, Metadata, VariantManifest, VersionManifest

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text("utf-8")


@pytest.mark.parametrize("kind", [VersionManifest, VariantManifest, FileManifest, Metadata, Entry])
def test_every_field_is_described(kind: type[VersionManifest]) -> None:
    for field in kind.model_fields:
        assert f"`{field}`" in PAGE or f'"{field}"' in PAGE, field


def test_every_place_is_described() -> None:
    layout = Layout(Path("root"))
    places = [getattr(layout, name) for name, value in vars(Layout).items() if isinstance(value, property)]
    assert len(places) == 11
    for place in places:
        assert str(place.relative_to("root")) in PAGE, place


def test_the_page_is_about_this_format() -> None:
    assert f"This page is format {FORMAT}." in PAGE
    assert f'{{"octet_store": {FORMAT}}}' in PAGE

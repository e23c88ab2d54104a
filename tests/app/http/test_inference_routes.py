"""Which URLs are inference paths, and what they ask for."""

from types import SimpleNamespace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from semver import Version

from app.errors import LabelNotFound, ModelNotFound
from app.http.inference_routes import _MOST_TARGETS, Targets
from app.protocols.shared_memory import Regions
from app.serving.table import ServedModel, Table
from tests.app.conftest import MakeServable


def asked(url: bytes) -> tuple[str, str | None, str | None] | None:
    target = Targets().match(url)
    return target and (target.model, target.version, target.label)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (b"/v1/models/m:predict", ("m", None, None)),
        (b"/v1/models/m/versions/1:predict", ("m", "1", None)),
        (b"/v1/models/m/versions/1.2:predict", ("m", "1.2", None)),
        (b"/v1/models/m/versions/1.2.3-rc.1:predict", ("m", "1.2.3-rc.1", None)),
        (b"/v1/models/m/versions/99999999999999999999:predict", ("m", "9" * 20, None)),
        (b"/v1/models/m/labels/stable:predict", ("m", None, "stable")),
        (b"/V1/Models/M/Labels/Stable:Predict", ("M", None, "Stable")),
        (b"/v1/models/m:predict?verbose=1&x=/y", ("m", None, None)),
        (b"/v1/models/a%20b:predict", ("a b", None, None)),
        (b"/v1/models/a%2Fb%3Ac:predict", ("a/b:c", None, None)),
        (b"/v1/models/gr%C3%BC%C3%9Fe:predict", ("grüße", None, None)),
        (b"/v1/models/%FF%zz:predict", ("\ufffd%zz", None, None)),
        (b"/v1/models/m/labels/a%2fb:predict", ("m", None, "a/b")),
        (b"/v1/models/m.x_y-z:predict", ("m.x_y-z", None, None)),
        (b"/v2/models/m/infer", ("m", None, None)),
        (b"/v2/models/m:8/versions/1.2.3-rc.1/infer?x", ("m:8", "1.2.3-rc.1", None)),
        (b"/v2/models/gr%C3%BC%C3%9Fe/versions/a%2Fb/infer", ("grüße", "a/b", None)),
        (b"/v2/models/versions/infer", ("versions", None, None)),
        (b"/v2/models/m/generate", ("m", None, None)),
        (b"/v2/models/a%2Fb/versions/1.2/generate_stream?x", ("a/b", "1.2", None)),
    ],
)
def test_an_inference_path_is_taken_apart(url: bytes, expected: tuple[str, str | None, str | None]) -> None:
    assert asked(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        b"",
        b"/",
        b"*",
        b"/metrics",
        b"/v1/models",
        b"/v1/models/m",
        b"/v1/models/m:classify",
        b"/v1/models/m:predict/",
        b"/v1/models/m:predict:predict",
        b"/v1/models/:predict",
        b"/v1/models/m/:predict",
        b"/v1/models/m/versions/:predict",
        b"/v1/models/m/versions/HELLO:predict",
        b"/v1/models/m/versions/v1:predict",
        b"/v1/models/m/versions/-1:predict",
        b"/v1/models/m/versions/1.:predict",
        b"/v1/models/m/versions/1.2-rc.1:predict",
        b"/v1/models/m/versions/1.2.3.4:predict",
        b"/v1/models/m/versions/%31:predict",
        b"/v1/models/m/versions/\xb2:predict",
        b"/v1/models/m/versions/1/labels/stable:predict",
        b"/v1/models/m/labels/stable/versions/1:predict",
        b"/v1/models/a/b:predict",
        b"/v1/models/m%3Apredict",
        b"/v2/models/m:predict",
        b"/v2/models/m/infer/",
        b"/v2/models/infer",
        b"/v2/models/m/versions/infer",
        b"/V2/models/m/infer",
        b"/v2/models/m/generate/",
        b"/v2/models/m/generates",
        b"/v2/models/m/versions/generate",
        b"/v2/models/m/labels/stable/generate",
        b"/V2/models/m/generate",
        b"//v1/models/m:predict",
        b"/x/v1/models/m:predict",
        b"http://host/v1/models/m:predict",
        b"/v1/models/m?:predict",
        b"/v1/models/m/metadata",
    ],
)
def test_anything_else_is_no_inference_path(url: bytes) -> None:
    assert asked(url) is None


@given(st.binary(max_size=60) | st.binary(max_size=20).map(lambda name: b"/v1/models/" + name + b":predict"))
def test_any_url_is_read_or_passed_on(url: bytes) -> None:
    found = asked(url)
    assert found is None or found[0]


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(texts, texts)
def test_a_quoted_name_arrives_as_it_was(model: str, label: str) -> None:
    url = f"/v1/models/{quote(model, safe='')}/labels/{quote(label, safe='')}:predict".encode()
    assert asked(url) == (model, None, label)


def test_the_same_url_is_parsed_once() -> None:
    targets = Targets()
    url = b"/v1/models/m:predict"
    assert targets.match(url) is targets.match(bytes(bytearray(url)))


def test_made_up_urls_fill_no_memory() -> None:
    targets = Targets()
    for number in range(3 * _MOST_TARGETS):
        assert targets.match(b"/v1/models/m%d:predict" % number) is not None
        assert len(targets._known) <= _MOST_TARGETS
    for number in range(_MOST_TARGETS):
        targets.match(b"/other/%d" % number)
    assert not any(url.startswith(b"/other") for url in targets._known), "what is no inference path is not remembered"


async def test_a_target_follows_the_table(make_servable: MakeServable) -> None:
    one, two = make_servable("m", "1.0.0"), make_servable("m", "2.0.0")
    versions = {Version(1): one, Version(2): two}
    table = Table()
    table.complete = True
    service = SimpleNamespace(table=table, regions=Regions(enabled=False))
    target = Targets().match(b"/v1/models/M/labels/stable:predict")
    assert target is not None
    with pytest.raises(ModelNotFound):
        target.resolve(service)
    table.models = {"m": ServedModel("m", versions, {"stable": one})}
    servable, codec = target.resolve(service)
    assert servable is one
    assert codec.decode_quickly(b'{"instances":[[1,2]]}').rows == 1
    table.models = {"m": ServedModel("m", versions, {"stable": two})}
    assert target.resolve(service) == (two, codec)
    table.models = {"m": ServedModel("m", versions)}
    for _ in range(2):  # an error is not remembered as an answer
        with pytest.raises(LabelNotFound):
            target.resolve(service)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (b"/v1/models/m/variants/int8:predict", ("m", None, "int8")),
        (b"/V1/Models/m/Versions/1.2/Variants/int8-smooth:Predict", ("m", "1.2", "int8-smooth")),
        (b"/v2/models/m/variants/int8/infer", ("m", None, "int8")),
        (b"/v2/models/m/versions/1.2.3-rc.1/variants/a%2Fb/infer?x", ("m", "1.2.3-rc.1", "a/b")),
        (b"/v2/models/m/infer", ("m", None, None)),
    ],
)
def test_a_path_may_name_a_variant(url: bytes, expected: tuple[str, str | None, str | None]) -> None:
    target = Targets().match(url)
    assert target
    assert (target.model, target.version, target.variant) == expected


@pytest.mark.parametrize(
    "url",
    [
        b"/v1/models/m/labels/stable/variants/int8:predict",
        b"/v1/models/m/variants/:predict",
        b"/v1/models/m/variants/int8/versions/1:predict",
        b"/v2/models/m/variants/int8/generate",
    ],
)
def test_no_other_path_does(url: bytes) -> None:
    assert Targets().match(url) is None

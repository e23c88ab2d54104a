"""The OpenAPI document and its page, as a server gives them."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from app.errors import RULES
from app.http.inference_routes import ROUTES
from tests.service.process import Octet

TEMPLATES = [template for route in ROUTES for template in route.paths]
# Twice [1, 2], of each kind of inference.
ASKED = {
    "predict": {"instances": [[1, 2]]},
    "infer": {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]},
    "generate": {"x": [1, 2]},
    "generate_stream": {"x": [1, 2]},
}
# The client that the one is written for is gone; the other is of jobs.
OF_NO_INFERENCE = {499, 409}


@pytest.fixture(scope="module")
def document(server: Octet) -> dict[str, Any]:
    answer = server.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for operation in item.values():
            yield path, operation


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from references(child)


def test_it_is_an_openapi_document(document: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert {"title", "version"} <= set(document["info"])
    for path, operation in operations(document):
        named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), path
        assert all(one["required"] for one in operation.get("parameters", ()) if one["in"] == "path")
        assert operation["responses"]
        assert all(
            re.fullmatch(r"[1-5]\d\d", code) and one["description"] for code, one in operation["responses"].items()
        )
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        node: Any = document
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_inference_path_is_there_with_every_error(document: dict[str, Any], template: str) -> None:
    operation = document["paths"][template]["post"]
    errors = {str(rule.status) for rule in RULES.values() if rule.status not in OF_NO_INFERENCE}
    assert set(operation["responses"]) == errors | {"200"}
    assert operation["requestBody"]["required"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_documented_path_is_served(document: dict[str, Any], server: Octet, template: str) -> None:
    path = template.format(model="double", version="1.2.3", label="stable", variant="fp32")
    answer = server.client.post(path, json=ASKED[re.split("[:/]", path)[-1]])
    assert answer.status_code == 200, answer.text
    assert "4.0" in answer.text
    documented = document["paths"][template]["post"]["responses"]["200"]["content"]
    assert list(documented) == [answer.headers["content-type"].partition(";")[0]]


class Sources(HTMLParser):
    """Where a page takes its scripts, styles and pictures from."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def test_the_page_loads_nothing_from_elsewhere(server: Octet) -> None:
    page = server.get("/docs")
    assert page.status_code == 200
    sources = Sources()
    sources.feed(page.text)
    assert len(sources.found) >= 2
    for source in sources.found:
        assert source.startswith("/"), source
        assert not source.startswith("//"), source
        assert server.get(source).status_code == 200, source
    assert not re.search(r"https?://", page.text)

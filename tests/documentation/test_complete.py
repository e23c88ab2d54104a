"""What the code offers is documented, and the generated parts are up to date."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from app.cli.main import octet
from app.errors import INTERNAL, RULES
from app.http.api import make_api
from app.http.inference_routes import ROUTES
from app.lifespan import Service
from app.logs import Levels
from app.metrics import Metrics
from app.protocols.open_inference_metadata import server_metadata
from app.settings import Settings, names
from docs.generate import PARTS, renew
from model_store.store import Store
from tests.documentation.pages import PAGES, ROOT, blocks, blocks_in, name_of, prose, sections

DOCS = [page for page in PAGES if name_of(page).startswith("docs/")]


def text(page: str) -> str:
    return (ROOT / "docs" / page).read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_generated_parts_are_up_to_date(page: Path) -> None:
    written = page.read_text("utf-8")
    assert written == renew(written), f"{name_of(page)} is stale: make docs"


def test_every_generated_part_stands_somewhere_once() -> None:
    found = [name for page in DOCS for name in re.findall("<!-- generated: (.*) -->", page.read_text("utf-8"))]
    assert sorted(found) == sorted(PARTS)


def test_a_stale_part_is_noticed() -> None:
    stale = "before\n<!-- generated: errors -->\n| 400 | ... |\n<!-- end of errors -->\nafter"
    assert renew(stale) != stale
    assert renew(stale).startswith("before\n<!-- generated: errors -->\n| status |")
    assert renew(stale).endswith("\n<!-- end of errors -->\nafter")
    assert renew(renew(stale)) == renew(stale)


@pytest.mark.parametrize("name", [*names(), "models"])
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in text("settings.md") or f"[{name}." in text("settings.md")


@pytest.mark.parametrize("code", sorted({rule.code for rule in (*RULES.values(), INTERNAL)}))
def test_every_error_code_is_documented(code: str) -> None:
    assert f"`{code}`" in text("serving.md")


SUFFIX = {"counter": "_total", "info": "_info"}


@pytest.mark.parametrize("name", [one.name + SUFFIX.get(one.type, "") for one in Metrics().collect()])
def test_every_metric_is_documented(name: str) -> None:
    assert f"`{name}`" in text("metrics.md")


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, f"{path} {name}")


COMMANDS = dict(commands(octet, "octet"))


def test_there_are_commands_to_look_at() -> None:
    assert {"octet serve", "octet config", "octet model publish"} <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_is_documented(path: str) -> None:
    section = text("cli.md").split(f"\n## {path}\n", 1)[1].split("\n## ", 1)[0]
    options = [name for parameter in COMMANDS[path].params for name in parameter.opts if name.startswith("--")]
    assert [name for name in options if name not in section] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_is_mentioned_exists(page: Path) -> None:
    shell = [re.sub("#.*", "", block.text) for block in blocks(page) if block.language == "sh"]
    code = "\n".join([*re.findall("`(.+?)`", prose(page)), *shell])
    for found in re.findall(r"\boctet (?:model [a-z]+(?:-[a-z]+)*|serve|config|[a-z]+\b(?!-))", code):
        assert found in COMMANDS, f"{name_of(page)} mentions `{found}`"


def served_paths(folder: Path) -> dict[str, Any]:
    with Store.open(folder / "store") as store:
        paths: dict[str, Any] = make_api(Service(Settings(), store, Levels())).openapi()["paths"]
    return paths


def test_every_path_has_a_row_and_a_line_that_is_run(tmp_path: Path) -> None:
    pages = [ROOT / "docs" / page for page in ("protocols.md", "serving.md", "metrics.md", "quantization.md")]
    run = [line for page in pages for block in blocks(page) if block.part == "run" for line in block.text.splitlines()]
    paths = served_paths(tmp_path)
    assert {template for route in ROUTES for template in route.paths} <= set(paths)
    for path, operations in paths.items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(path))
        asked = [line for line in run if re.search(rf":808[01]{pattern}(?= |$)", line)]
        for method in operations:
            assert f"| {method.upper()} | `{path}` |" in text("protocols.md")
            sends = [" -d " in line or " -X POST " in line for line in asked]
            assert (method == "post") in sends, f"no page shows a curl line for {method} {path}"


PROTOCOLS = sections(ROOT / "docs" / "protocols.md")


@pytest.mark.parametrize("name", server_metadata("", shared_memory=True)["extensions"])
def test_every_extension_has_its_section(name: str) -> None:
    heading = next(heading for heading in PROTOCOLS if f"`{name.partition('(')[0]}`" in heading)
    assert f"`{name}`" in heading + PROTOCOLS[heading]


@pytest.mark.parametrize("section", [heading for heading, below in PROTOCOLS.items() if "curl" in below])
def test_what_is_asked_with_curl_is_asked_from_python(section: str) -> None:
    below = PROTOCOLS[section]
    typed = "".join(block.text for block in blocks_in(below) if block.language == "pycon")
    assert "server." in typed
    if "/v2" in below:
        assert "triton." in typed or "tritonclient has no" in " ".join(below.split())

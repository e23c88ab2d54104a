"""Links between pages lead somewhere, and nothing names the machine that it was written on."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.documentation.pages import PAGES, ROOT, name_of, prose

FOLDERS = (".ci", "app", "benchmarks", "docs", "engines", "examples", "model_store", "requirements", "tests")
TOP = [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "Makefile", ROOT / ".gitignore"]
FILES = sorted(
    path
    for path in [*TOP, *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    if path.is_file() and path.suffix not in (".pyc", ".onnx", ".npz")
)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https", link
            continue
        target = (page.parent / parts.path).resolve() if parts.path else page
        assert target.exists(), f"{name_of(page)} links to {link}"
        assert target.is_relative_to(ROOT), link
        if parts.fragment:
            assert parts.fragment in anchors(target), f"{name_of(page)} links to {link}"


def test_every_page_of_docs_is_linked_from_another() -> None:
    linked = {
        (page.parent / urlsplit(link).path).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s:]+)\)", prose(page))
    }
    assert [name_of(page) for page in PAGES if name_of(page).startswith("docs/") and page not in linked] == []


def registry_hosts() -> set[str]:
    """Where packages come from: by default, and as this machine has it set."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    told = subprocess.run(pip, capture_output=True, text=True, check=True, timeout=60).stdout
    told += " ".join(text for name, text in os.environ.items() if name.startswith(("PIP_", "UV_")))
    hosts = set(re.findall(r"https?://(?:[^/@\s]*@)?([^/:'\s]+)", told))
    return hosts - {"localhost", "127.0.0.1"} | {f"{name}.org" for name in ("pypi", "pythonhosted")}


def test_no_file_names_a_path_of_this_machine_or_a_registry() -> None:
    homes = re.compile(r"(?<![\w.])/(?:home|Users|root|work|opt)/\w")
    names = [f"{ROOT}/", *registry_hosts()]
    assert len(FILES) > 100
    for path in FILES:
        text = path.read_text("utf-8", errors="ignore")
        assert [name for name in names if name in text] == [], path
        assert homes.findall(text) == [], path

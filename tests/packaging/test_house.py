"""What holds for every file of the project."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("app", "benchmarks", "engines", "examples", "model_store", "tests")
STAND_INS = ROOT / "tests" / "fakes" / "gpu"
"""What stands on the path in the place of others' packages, and has their form."""
FILES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if not path.is_relative_to(STAND_INS)
)
NO_NAMES = {"base", "common", "core", "helpers", "manager", "misc", "models", "schema", "types", "utils"}


def test_there_are_files_to_look_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} >= {"app", "engines", "model_store", "tests"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_and_named_for_its_idea(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) <= 400
    assert path.stem not in NO_NAMES
    assert not NO_NAMES & set(path.relative_to(ROOT).parts)


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=str)
def test_a_package_file_holds_a_docstring_and_nothing_else(path: Path) -> None:
    text = path.read_text("utf-8").strip()
    assert text.startswith('"""')
    assert text.endswith('"""')
    assert text.count('"""') == 2


def test_tests_are_no_packages() -> None:
    assert [path for path in FILES if path.name == "__init__.py" and "tests" in path.relative_to(ROOT).parts] == []


def test_ci_calls_make_test_and_nothing_else() -> None:
    assert (ROOT / ".ci" / "run").read_text("utf-8") == "#!/usr/bin/env bash\nexec make test\n"

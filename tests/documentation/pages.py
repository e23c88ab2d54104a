"""The pages of the documentation, and the blocks of code in them.

A block's first line tells its language and its part in the tests: `sh run` is run, `answer` is what the block run
before it must print, `sh serve` starts another server, `pycon run` is typed into Python, `json NAME` and `toml NAME`
are files that are there from then on.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "benchmarks", "examples")
PAGES = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))])

_BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """Code between fences."""

    language: str
    part: str
    """`run`, `answer`, `serve`, a file's name, or nothing."""
    text: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    return blocks_in(page.read_text("utf-8"))


def blocks_in(text: str) -> list[Block]:
    return [Block(*found) for found in _BLOCK.findall(text)]


def sections(page: Path) -> dict[str, str]:
    """Heading -> what stands below it, up to the next one."""
    _, *found = re.split(r"^##+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(found[::2], found[1::2], strict=True))


def prose(page: Path) -> str:
    """The page without its blocks."""
    return _BLOCK.sub("", page.read_text("utf-8"))

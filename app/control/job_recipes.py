"""Which recipes there are, so that a job which names another one is refused when it comes."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from app.control.selection import AUTO, PUBLISHED
from app.errors import Malformed

# Asked of another process: what the recipes are made of takes a third of a second to import, and memory for good.
_TELL = "from engines.quantize.recipes import RECIPES; print(*(recipe.name for recipe in RECIPES))"


class KnownRecipes:
    """The names of all recipes. They are asked for once, when a wish names any. Lives on the event loop's thread."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._asking = asyncio.Lock()

    async def judge(self, wish: Mapping[str, Any]) -> None:
        """Raises Malformed for a recipe that is not there, and for an import under the name of one that is."""
        if not wish["recipes"] and not wish["imports"]:
            return
        async with self._asking:
            self._names = self._names or await asyncio.to_thread(_ask)
        for name in wish["recipes"]:
            if name not in self._names:
                raise Malformed(f"there is no recipe {name!r}; the recipes are: {', '.join(self._names)}")
        for name in wish["imports"]:
            if name in (*self._names, AUTO, PUBLISHED):
                raise Malformed(f"{name!r} is the name of a recipe or policy; call what you import otherwise")


def _ask() -> list[str]:
    command = (sys.executable, "-P", "-c", _TELL)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

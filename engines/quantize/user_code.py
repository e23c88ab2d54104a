"""Functions that a user names: `module:function`."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engines.errors import DataError


def load_function(name: str) -> Callable[..., Any]:
    """Import it; modules in the current folder are found too, after those that are installed. Raises DataError."""
    module_name, _, function_name = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # at the end: a file there must not stand in for an installed module
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (Exception, SystemExit) as error:  # noqa: BLE001  a module of the user's may raise anything
        raise DataError(
            f"{name} cannot be imported ({type(error).__name__}: {error}); give module:function, "
            "importable from the current folder"
        ) from None
    if not callable(function):
        raise DataError(f"{name} is no function but {type(function).__name__}; give module:function")
    loaded: Callable[..., Any] = function
    return loaded

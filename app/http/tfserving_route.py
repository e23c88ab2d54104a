"""Paths that are matched as TensorFlow Serving does: as they were sent, whole, in any case; names are decoded after.

Source: the regular expressions in model_servers/http_rest_api_util.cc.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from app.protocols.tfserving_versions import VERSION

_PARAMETERS = {"model": "[^/:]+", "label": "[^/:]+", "version": VERSION}


class TfServingRoute(APIRoute):
    """A path operation for such a path.

    Its router's routes go into the application as they are: `include_router` would match them its own way.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        named = re.sub(r"{(\w+)}", lambda found: f"(?P<{found[1]}>{_PARAMETERS[found[1]]})", path)
        self.path_regex = re.compile(rf"{named}\Z", re.IGNORECASE)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches({**scope, "path": scope["raw_path"].decode("latin-1")})
        if match is not Match.NONE:
            child["path_params"] = {name: unquote(text) for name, text in child["path_params"].items()}
        return match, child

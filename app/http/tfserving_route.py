"""TensorFlow Serving's paths in the framework: matched as they were sent; names are decoded after."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from app.http.paths import tfserving_pattern


class TfServingRoute(APIRoute):
    """A path operation of such a path.

    Its router's routes go into the application as they are: `include_router` would match them its own way.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.path_regex = tfserving_pattern(path)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches({**scope, "path": scope["raw_path"].decode("latin-1")})
        if match is not Match.NONE:
            child["path_params"] = {name: unquote(text) for name, text in child["path_params"].items()}
        return match, child

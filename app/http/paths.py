"""Path templates and what matches them: whole paths, as they were sent; the names in them are decoded after."""

import re
from collections.abc import Mapping

from app.protocols.tfserving_versions import VERSION

Paths = Mapping[str, re.Pattern[str]]
"""Template, as the OpenAPI page shows it -> what matches it, with a group a name."""

_TFSERVING = {"model": "[^/:]+", "label": "[^/:]+", "version": VERSION, "variant": "[^/:]+", "job": "[^/:]+"}
_V2 = {"model": "[^/]+", "version": "[^/]+", "variant": "[^/]+"}
_VARIANTS = ("/variants/{variant}", "/versions/{version}/variants/{variant}")


def tfserving_paths(action: str) -> Paths:
    """Where TensorFlow Serving and KServe V1 have what can be done with a model, a version or a label.

    And, in their shape, what is ours: with a variant.
    """
    parts = ("", "/versions/{version}", "/labels/{label}", *_VARIANTS)
    return {template: tfserving_pattern(template) for template in (f"/v1/models/{{model}}{p}:{action}" for p in parts)}


def v2_paths(action: str) -> Paths:
    """Where the Open Inference Protocol has what can be done with a model or a version."""
    return _v2(action, "", "/versions/{version}")


def v2_variant_paths(action: str) -> Paths:
    """In its shape, what is ours: what can be done with a variant."""
    return _v2(action, *_VARIANTS)


def _v2(action: str, *parts: str) -> Paths:
    templates = (f"/v2/models/{{model}}{part}/{action}" for part in parts)
    return {template: re.compile(_regex(template, _V2)) for template in templates}


def tfserving_pattern(template: str) -> re.Pattern[str]:
    """As TensorFlow Serving matches: in any case. Source: its model_servers/http_rest_api_util.cc."""
    return re.compile(_regex(template, _TFSERVING), re.IGNORECASE)


def _regex(template: str, parts: Mapping[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: f"(?P<{found[1]}>{parts[found[1]]})", template) + r"\Z"

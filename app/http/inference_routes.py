"""Every inference path, once: both doors match against this table and the OpenAPI page documents it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from app.http.paths import Paths, tfserving_paths, v2_paths, v2_variant_paths
from app.lifespan import Service
from app.protocols.codec import Codec
from app.protocols.generate import codec as generate_codec
from app.protocols.generate import stream_codec as generate_stream_codec
from app.protocols.open_inference import codec as open_inference_codec
from app.protocols.shared_memory import Regions
from app.protocols.tfserving import codec as tfserving_codec
from app.protocols.tfserving import read_document as tfserving_form
from app.protocols.tfserving_versions import select as tfserving_select
from app.serving.servable import Servable
from app.serving.table import ServedModel
from app.serving.variants import pick
from engines.signature import Signature


@dataclass(frozen=True, slots=True)
class InferenceRoute:
    """One kind of inference path, its wire format, and what the OpenAPI page says of it."""

    paths: Paths
    codec: Callable[[Signature, Regions], Codec]
    summary: str
    example: Mapping[str, object]
    select: Callable[[ServedModel, str | None, str | None], Servable] = ServedModel.select
    """Which servable a version or a label in the path means."""
    check_form: Callable[[bytes], object] | None = None
    """Raises Malformed for a body that no model could take, where the protocol tells that before an unknown model."""
    media_type: str = "application/json"
    """Of an answer that is no error."""
    packs: bool = True
    """Whether that answer is packed for a client that accepts it."""

    def match(self, path: str) -> tuple[str, re.Match[str]] | None:
        """The template of a path of this kind, and the parts of the path, still percent-encoded."""
        matches = ((template, pattern.fullmatch(path)) for template, pattern in self.paths.items())
        return next(((template, found) for template, found in matches if found), None)


ROUTES = (
    InferenceRoute(
        paths=tfserving_paths("predict"),
        codec=tfserving_codec,
        summary="Predict (TensorFlow Serving)",
        example={"instances": [[1.0, 2.0, 5.0]]},
        select=tfserving_select,
        check_form=tfserving_form,
    ),
    InferenceRoute(
        paths={**v2_paths("infer"), **v2_variant_paths("infer")},
        codec=open_inference_codec,
        summary="Infer (Open Inference Protocol, Triton)",
        example={"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1.0, 2.0, 5.0]}]},
    ),
    InferenceRoute(
        paths=v2_paths("generate"),
        codec=generate_codec,
        summary="Generate (Triton)",
        example={"text_input": "a question", "id": "1"},
        packs=False,
    ),
    InferenceRoute(
        paths=v2_paths("generate_stream"),
        codec=generate_stream_codec,
        summary="Generate, answered as a server-sent event (Triton)",
        example={"text_input": "a question", "id": "1"},
        media_type="text/event-stream",
        packs=False,
    ),
)


class Target:
    """What one URL asks for, and the servable it means in the current snapshot of the table."""

    __slots__ = (
        "_codec",
        "_servable",
        "_snapshot",
        "label",
        "model",
        "path",
        "route",
        "template",
        "variant",
        "version",
    )

    def __init__(
        self,
        route: InferenceRoute,
        template: str,
        path: str,
        *,
        model: str,
        version: str | None = None,
        label: str | None = None,
        variant: str | None = None,
    ) -> None:
        self.route = route
        self.template = template
        self.path = path
        """As it was sent, without a query."""
        self.model = model
        self.version = version
        self.label = label
        self.variant = variant
        self._snapshot: Mapping[str, ServedModel] | None = None

    def resolve(self, service: Service) -> tuple[Servable, Codec]:
        """Who answers and in which format. Raises ModelNotFound, LabelNotFound, NotReady or Unsupported.

        A variant that may serve and is not loaded is loaded for the next request.
        """
        table = service.table
        if self._snapshot is not table.models:
            model = table.model(self.model)
            servable = self.route.select(model, self.version, self.label)
            if (variant := self.variant) is not None:
                where = f"model '{model.name}' version {servable.identity.version}"
                default = servable
                servable = pick(where, model.variants_of(default), variant, lambda: service.watch.pin(default, variant))
            self._servable = servable
            self._codec = self.route.codec(servable.signature, service.regions)
            self._snapshot = table.models
        return self._servable, self._codec


_END_OF_PATH = re.compile(rb"[?#]")
# URLs come from clients, so the memory of them is bounded; a server's clients use few.
_MOST_TARGETS = 4096
_LONGEST_URL_BYTES = 512


class Targets:
    """Finds the target of a POSTed URL; remembers it, since clients send the same one again and again."""

    def __init__(self) -> None:
        self._known: dict[bytes, Target] = {}

    def match(self, url: bytes) -> Target | None:
        """The target of a URL (path, with or without a query), or None when it is no inference path."""
        return self._known.get(url) or self._parse(url)

    def _parse(self, url: bytes) -> Target | None:
        path = _END_OF_PATH.split(url, 1)[0].decode("latin-1")
        for route in ROUTES:
            if matched := route.match(path):
                template, found = matched
                parts = {name: unquote(text) for name, text in found.groupdict().items()}
                target = Target(route, template, path, **parts)
                if len(url) <= _LONGEST_URL_BYTES:
                    if len(self._known) >= _MOST_TARGETS:
                        self._known.clear()
                    self._known[url] = target
                return target
        return None

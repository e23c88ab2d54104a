"""The variants of a version as a server sees them: what is known of each, and the one that a request names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.errors import ModelNotFound, NotReady
from app.serving.servable import Servable
from engines.quantize.report import Speedup


@dataclass(frozen=True, slots=True)
class VariantStatus:
    """What is known of one variant."""

    name: str
    engine: str
    passed: bool | None
    """The gate's verdict here; None where none has judged, or the speed is not measured yet."""
    speedup: Speedup | None
    """None where it was not measured on this host."""
    refusal: str = ""
    """Why it may not serve here: what its gate says, or what was found out when it was tried."""
    servable: Servable | None = None
    """Where it is loaded."""
    is_published: bool = False
    """Whether the version was published with it, and the others are judged by it."""

    @property
    def may_serve(self) -> bool:
        """Whether a request may name it."""
        return (self.is_published or self.passed is True) and not self.refusal


def pick(where: str, variants: Sequence[VariantStatus], name: str, ask: Callable[[], None]) -> Servable:
    """The servable of the variant that a request names; `where` is its version, for messages.

    Raises ModelNotFound for one that is not there or was refused. One that may serve and is not loaded is asked for by
    `ask`, and NotReady says so; one that is to be measured first is NotReady as well.
    """
    known = next((variant for variant in variants if variant.name == name), None)
    others = ", ".join(variant.name for variant in variants if not variant.refusal)
    if known is None:
        raise ModelNotFound(f"{where} has no variant '{name}'; those that can be asked for: {others}")
    if known.refusal:
        raise ModelNotFound(
            f"variant '{name}' of {where} is refused: {known.refusal}; those that can be asked for: {others}"
        )
    if not known.may_serve:
        raise NotReady(f"variant '{name}' of {where} is to be measured on this machine first: try again later")
    if known.servable is None:
        ask()
        raise NotReady(f"variant '{name}' of {where} is loaded because it was asked for: try again soon")
    return known.servable

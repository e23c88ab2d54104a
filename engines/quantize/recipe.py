"""How a variant is made from the source: one protocol, a file a recipe.

A recipe is data and one function. Where it needs libraries that clash with those of serving, it names the environment
that has them, and is made there by a process of its own (`tools.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from engines.errors import QuantizeError
from engines.quantize.rows import Rows
from engines.signature import Signature

Progress = Callable[[str, float], None]
"""Called with what is being done and the share that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Source:
    """The FP32 model that a recipe starts from: an ONNX file with its external data beside it."""

    path: Path
    signature: Signature
    network: str | None = None
    """`module:function` that gives the PyTorch module (eval mode, these weights), for recipes that start from there."""
    fine_tune: str | None = None
    """`module:function` that trains a module it is given, in place, for recipes that train."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run may ask of every recipe."""

    exclude: tuple[str, ...] = ()
    """Names of ONNX nodes that stay as they are."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Made:
    """Files of a variant, in the folder that the recipe was given. The caller owns them."""

    main: Path
    """The one that the engine opens."""
    external: Mapping[str, Path] = field(default_factory=dict)
    """Further files, under the names by which the main one refers to them."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What was done: method, calibration, options, versions of the libraries. JSON values."""


class Recipe(Protocol):
    """One way to make a variant. Its instances are values: the same name always means the same options."""

    @property
    def name(self) -> str:
        """The variant's name in the store: `int8`, `int8-entropy`, `int4-weight`, `int8-openvino` ..."""
        ...

    @property
    def engine(self) -> str:
        """Which engine runs it: `onnxruntime`, `openvino`, `litert`."""
        ...

    @property
    def summary(self) -> str:
        """One line for tables and help."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Modules beyond those of serving, that must be importable where it is made."""
        ...

    @property
    def tool(self) -> str | None:
        """The environment of its own in which it is made (`make tools` sets it up), or None: in this one."""
        ...

    @property
    def calibrates(self) -> bool:
        """Whether it reads calibration rows."""
        ...

    @property
    def is_candidate(self) -> bool:
        """Whether it is tried when none is named."""
        ...

    def refuses(self, source: Source) -> str | None:
        """Why it cannot or need not be tried on this model (`no MatMul with constant weights`), or None."""
        ...

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        """Make the variant in `folder`. Raises QuantizeError, saying what to do."""
        ...


def calibration_rows(recipe: str, rows: Rows | None) -> Rows:
    """The rows, for a recipe that calibrates. Raises QuantizeError where there are none."""
    if rows is None:
        raise QuantizeError(f"{recipe} needs rows to calibrate with: give --calibration")
    return rows


def without_network(source: Source) -> str | None:
    """Why a recipe that starts from the user's PyTorch module cannot be tried; None where there is one."""
    return "no network was given: --network module:function" if source.network is None else None

"""The manifests: a version and each of its variants, written once as JSON. docs/format.md describes them."""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, FiniteFloat, JsonValue, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from model_store.errors import InvalidMetadata

_Value = TypeVar("_Value")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Metadata(BaseModel):
    """What its maker says about a version. The store keeps it and reads nothing from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    training_data_version: str | None = Field(None, description="Which data the model was trained on.")
    hyperparameters: dict[str, JsonValue] = Field(
        default_factory=dict, description="How it was trained; any JSON values."
    )
    metrics: dict[str, FiniteFloat] = Field(default_factory=dict, description="What was measured; numbers.")
    tags: dict[str, str] | list[str] = Field(default_factory=list, description="Free words, or names with values.")


# In a list, for they lie as deep in a manifest.
_METADATA = TypeAdapter(list[Metadata])
_RECIPE = TypeAdapter(list[dict[str, JsonValue]])


def check_metadata(metadata: Metadata) -> None:
    """Raises InvalidMetadata for what a manifest could not hold, or could and would not be read again.

    That is half a surrogate pair, NaN, and lists within lists beyond what pydantic's JSON reader follows.
    """
    _check_it_comes_back(_METADATA, [metadata], "metadata")


def check_recipe(recipe: dict[str, JsonValue]) -> None:
    """`check_metadata`, for how a variant was made."""
    _check_it_comes_back(_RECIPE, [recipe], "recipe")


def _check_it_comes_back(kind: TypeAdapter[_Value], value: _Value, what: str) -> None:
    try:
        again = kind.validate_json(kind.dump_json(value))
    except PydanticSerializationError as error:
        raise InvalidMetadata(
            f"the {what} has a value that is none in JSON, or a text with half a surrogate pair. Write both halves."
        ) from error
    except ValidationError as error:
        raise InvalidMetadata(f"the {what} is nested too deep to be read again. Flatten it.") from error
    if again != value:
        raise InvalidMetadata(f"the {what} has a value that is none in JSON, such as NaN. Write null, or a text.")


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1

    def to_bytes(self) -> bytes:
        """The file's content."""
        return self.model_dump_json(indent=2).encode() + b"\n"


class FileManifest(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    digest: Sha256
    bytes: int = Field(ge=0)


class VersionManifest(_Manifest):
    """`version.json`: what holds for every variant of the version."""

    name: str
    version: str
    digest: Sha256
    signature: dict[str, Any]
    metadata: Metadata
    parent: str | None
    published_at: datetime


class VariantManifest(_Manifest):
    """`variants/<name>.json`: the files of one variant, the one that an engine opens first.

    What follows `files` is null for the variant that the version was published with.
    """

    name: str
    engine: str
    digest: Sha256
    files: tuple[FileManifest, ...] = Field(min_length=1)
    recipe: dict[str, JsonValue] | None = None
    # Called `passed` while it was the verdict on the speed of one machine as well.
    accurate: bool | None = Field(None, validation_alias=AliasChoices("accurate", "passed"))
    min_speedup: FiniteFloat = Field(1.0, ge=0)
    report: FileManifest | None = None
    golden: FileManifest | None = None

"""Every setting, once: flags win over `OCTET_*` variables, those over a TOML file, that over the defaults.

`load_settings(flags)` reads and validates them; an error names the key, its source, what came and what was expected.
`origins(flags)` tells where each value came from.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, DirectoryPath, Field, HttpUrl, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as SourceError

PREFIX = "OCTET_"
_NO_SETTINGS = ("OCTET_TOOLS", "OCTET_CORES")
"""Variables that say what this machine has, and where; whoever needs it reads them."""


class SettingsError(Exception):
    """The settings cannot be used. The message has a line for each fault."""


class ModelSettings(BaseModel):
    """What can be set for one model in `[models.NAME]`, and at the top level for all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_batch_rows: int = Field(64, ge=1, le=65_536, description="Most rows the batcher joins into one run.")
    max_wait_ms: float = Field(
        0.0, ge=0, le=10_000, description="Longest that a batch waits for more rows, in milliseconds."
    )
    queue_rows: int = Field(1024, ge=1, le=1_048_576, description="Most rows that wait; what comes beyond gets a 503.")
    instances: int | None = Field(None, ge=1, le=1024, description="Engine workers a model; measured where not given.")
    threads: int | None = Field(None, ge=1, le=1024, description="Threads an engine worker; measured where not given.")
    deadline_ms: float = Field(
        30_000.0, gt=0, le=3_600_000, description="Longest that a request may take, in milliseconds, before a 504."
    )
    variant: str = Field(
        "auto",
        min_length=1,
        description="Which variant serves: auto is the fastest here that passed its gate, fp32 the published one.",
    )
    pinned_variants: int = Field(
        2, ge=0, le=1024, description="Most variants of a model kept loaded beside, because requests name them."
    )
    tensorrt_lengths: Annotated[tuple[int, int, int] | None, NoDecode] = Field(
        None,
        description="Bounds of dynamic dimensions beside the batch, for TensorRT: least, usual, most; `1,128,512`.",
    )
    tensorrt_workspace_bytes: ByteSize = Field(
        ByteSize(2 << 30), ge=1 << 20, description="Most GPU memory that a kernel of TensorRT may take for itself."
    )
    tensorrt_level: int = Field(
        3, ge=0, le=5, description="How long TensorRT looks for fast kernels: 0 builds fastest, 5 looks longest."
    )
    tensorrt_tf32: bool = Field(
        True, description="Let TensorRT compute FP32 products in TF32; a variant that is called fp32 never is."
    )

    @field_validator("tensorrt_lengths", mode="before")
    @classmethod
    def _ascending(cls, value: object) -> object:
        numbers = value.split(",") if isinstance(value, str) else value
        if isinstance(numbers, list | tuple):
            found = [int(number) for number in numbers if str(number).strip().isdecimal()]
            if len(found) != 3 or len(numbers) != 3 or not 1 <= found[0] <= found[1] <= found[2]:
                raise ValueError("it should be three ascending numbers from 1, such as 1,128,512")
            return tuple(found)
        return value


class Settings(ModelSettings, BaseSettings):
    """All of them. The fields of ModelSettings stand at the top level too, as defaults for every model."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    config: Path | None = Field(None, description="TOML file to read settings from.")
    store: Path = Field(Path("store"), description="Folder of the model store.")
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65_535, description="Port to listen on; 0 takes any free one.")
    processes: int = Field(
        1, ge=1, le=1024, description="Server processes on the port, each with its share of the cores."
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Port of one process alone, where Prometheus asks for its /metrics; further processes have the "
        "next ones. From `port` + 1 on where there are several processes, none where there is one.",
    )
    model: Annotated[tuple[str, ...], NoDecode] = Field((), description="Models to serve; all in the store if none.")
    max_body_bytes: ByteSize = Field(
        ByteSize(64 << 20), ge=1, description="Longest request body, in bytes; 64MiB is understood."
    )
    drain_seconds: float = Field(30.0, ge=0, le=3600, description="Longest that stopping waits for open requests.")
    refresh_seconds: float = Field(1.0, gt=0, le=3600, description="Time between two looks at the store.")
    keep_alive_seconds: float = Field(75.0, gt=0, le=3600, description="Time an idle connection is kept open.")
    shared_memory: bool = Field(
        False, description="Let clients on this host pass tensors through POSIX shared memory (V2 protocol)."
    )
    cors: bool = Field(False, description="Let web pages of any origin call the server from a browser (CORS).")
    rows: DirectoryPath | None = Field(
        None, description="Folder whose rows may be asked for by jobs that quantize; without it there are no jobs."
    )
    metrics_compat: Literal["none", "triton"] = Field(
        "none", description="Whose names /metrics has beside Octet's own, for dashboards made for that product."
    )
    otlp_endpoint: HttpUrl | None = Field(
        None, description="Where a collector takes OTLP over HTTP, http://HOST:4318; requests are traced there."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="Form of a log line; auto is console on a terminal and json elsewhere."
    )
    models: dict[str, ModelSettings] = Field({}, description="Settings of single models: [models.NAME] in the file.")

    def for_model(self, name: str) -> ModelSettings:
        """What applies to `name`, whose case does not matter, as in the store."""
        own = next((s for key, s in self.models.items() if key.lower() == name.lower()), ModelSettings())
        shared = {field: getattr(self, field) for field in ModelSettings.model_fields}
        return ModelSettings(**shared | own.model_dump(exclude_unset=True))

    @field_validator("model", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return tuple(filter(None, (name.strip() for name in value.split(",")))) if isinstance(value, str) else value

    @field_validator("models")
    @classmethod
    def _unique_names(cls, value: dict[str, ModelSettings]) -> dict[str, ModelSettings]:
        if len({name.lower() for name in value}) < len(value):
            raise ValueError("two tables name the same model; names differ in more than case")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, variables, file. `config` itself comes from one of the first two."""
        file = _read_file(_config_file(init_settings()))
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=file)


def load_settings(flags: Mapping[str, Any]) -> Settings:
    """Read and validate every source. `flags` holds only what was given on the command line. Raises SettingsError."""
    _refuse_unknown_variables()
    try:
        return Settings(**flags)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(error, origins(flags)))) from None
    except SourceError as error:
        raise SettingsError(str(error)) from None


def origins(flags: Mapping[str, Any]) -> dict[str, str]:
    """Where each setting comes from that is not a default; `models.NAME.KEY` for those of one model."""
    path = _config_file(flags)
    file = _read_file(path)
    tables = file.get("models")
    found = dict.fromkeys(file, f"file {path}")
    for name, table in tables.items() if isinstance(tables, dict) else ():
        found |= {f"models.{name}.{key}": f"file {path}" for key in (table if isinstance(table, dict) else ())}
    found |= {name.removeprefix(PREFIX).lower(): f"environment {name}" for name in _variables()}
    return found | {key: f"flag {flag(key if value is not False else 'no_' + key)}" for key, value in flags.items()}


def names() -> list[str]:
    """Every setting that a flag or a variable can hold, the service's first; `models` is a table of the file alone."""
    shared = ModelSettings.model_fields
    return [*(key for key in Settings.model_fields if key not in shared and key != "models"), *shared]


def flag(key: str) -> str:
    """The command line's spelling of a setting: `max_batch_rows` is `--max-batch-rows`."""
    return "--" + key.replace("_", "-")


def _variables() -> list[str]:
    return [name for name in os.environ if name.startswith(PREFIX) and name not in _NO_SETTINGS]


def _refuse_unknown_variables() -> None:
    known = [PREFIX + key.upper() for key in names()]
    unknown = [name for name in _variables() if name not in known]
    if unknown:
        raise SettingsError("\n".join(f"environment: {_unknown(name, known)}" for name in unknown))


def _config_file(flags: Mapping[str, Any]) -> Path | None:
    path = flags.get("config") or os.environ.get(PREFIX + "CONFIG")
    return Path(path) if path else None


def _read_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        file = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {path} is not TOML: {error}") from None
    if "config" in file:
        raise SettingsError(f"file {path}: 'config' has no place in a settings file; use {flag('config')}")
    return file


def _explain(error: ValidationError, sources: Mapping[str, str]) -> Iterator[str]:
    """A line for each fault: source, key, what came, what was expected."""
    for fault in error.errors(include_url=False):
        path = [str(part) for part in fault["loc"]]
        source = sources.get(path[0], "default")
        if fault["type"] == "extra_forbidden":
            known = list(ModelSettings.model_fields) if path[0] == "models" else [*names(), "models"]
            yield f"{source}: {_unknown(path[-1], known, '.'.join(path[:-1]))}"
        else:
            expected = fault["msg"].removeprefix("Value error, ").replace("Input should be", "it should be")
            yield f"{source}: {'.'.join(path)} is {fault['input']!r}; {expected}"


def _unknown(name: str, known: list[str], table: str = "") -> str:
    nearest = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{nearest[0]}'?" if nearest else f"known are {', '.join(known)}"
    return f"there is no setting '{name}'{f' in [{table}]' if table else ''}; {hint}"

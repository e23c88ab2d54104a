"""Plans as cache entries: built once for one model, one library and one device; rebuilt when any of them changes.

    FOLDER/KEY.plan         what TensorRT made
    FOLDER/KEY.json         what it was made of and for, and its digest; written last
    FOLDER/TARGET.timings   what building has learned of a device's kernels
    FOLDER/lock             held while one builds: builds measure kernels, and need the device for themselves

A plan is code: it is run only if its sidecar vouches for it and belongs to the key. None is ever taken from outside.
"""

import fcntl
import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engines.errors import LoadError
from engines.tensorrt.build import PLAN, TIMINGS, BuildSettings, Facts

NO_DEVICE = "none"


@dataclass(frozen=True, slots=True)
class Target:
    """What a plan is built by and for: it runs nowhere else."""

    module: str
    """`tensorrt` or `tensorrt_rtx`."""
    version: str
    device: str = NO_DEVICE
    """Its name, `NVIDIA H100 80GB HBM3`. Where there is none, all three are `none`."""
    sm: str = NO_DEVICE
    """Its compute capability, `90`."""
    driver: str = NO_DEVICE

    def __str__(self) -> str:
        return f"{self.module} {self.version} for {self.device} (SM {self.sm}, driver {self.driver})"


@dataclass(frozen=True, slots=True)
class Made:
    """What a plan is made of. Whatever changes here is another plan."""

    onnx: str
    """Digest of the model's files; see `digest.onnx_digest`."""
    settings: BuildSettings
    target: Target

    @property
    def key(self) -> str:
        """The name of its files: 64 hex digits."""
        return _digest(asdict(self))

    @staticmethod
    def from_json(record: dict[str, Any]) -> "Made":
        """Read back what a sidecar holds. Raises KeyError, TypeError and ValueError."""
        return Made(record["onnx"], BuildSettings.from_json(record["settings"]), Target(**record["target"]))


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that is there."""

    path: Path
    made: Made
    bytes: int
    digest: str
    facts: Facts


class Plans:
    """The folder. Safe to use from several processes at once."""

    def __init__(self, folder: Path) -> None:
        """The folder is made when something is kept in it."""
        self.folder = folder

    def find(self, made: Made) -> Plan | None:
        """The plan, read through and found whole; None where there is none, and where something else lies there."""
        plan = self._told(self.folder / f"{made.key}.json")
        if plan is None or plan.made != made:
            return None
        try:
            with plan.path.open("rb") as file:
                return plan if file_digest(file, "sha256").hexdigest() == plan.digest else None
        except OSError:  # it was pruned meanwhile, or is of a user who shares it with nobody
            return None

    def all(self) -> list[Plan]:
        """Every plan whose sidecar fits, by path. Their bytes are not read."""
        plans = (self._told(path) for path in sorted(self.folder.glob("*.json")))
        return [plan for plan in plans if plan is not None]

    @contextmanager
    def building(self) -> Iterator[Path]:
        """An empty folder to build in, while nobody else does: a second caller waits. It is gone in the end.

        Raises LoadError where nothing can be kept.
        """
        with self._alone():
            for left in self.folder.glob("building-*"):  # by one that was killed
                shutil.rmtree(left, ignore_errors=True)
            with self._telling():
                scratch = TemporaryDirectory(prefix="building-", dir=self.folder)
            with scratch as folder:
                yield Path(folder)

    def keep(self, made: Made, folder: Path, facts: Facts) -> Plan:
        """Take in what a build has left in its folder, in place of what was there. Raises LoadError."""
        built, path = folder / PLAN, self.folder / f"{made.key}.plan"
        with built.open("rb") as file:
            plan = Plan(path, made, built.stat().st_size, file_digest(file, "sha256").hexdigest(), facts)
        record = {**asdict(made), "digest": plan.digest, "bytes": plan.bytes, "facts": asdict(facts)}
        sidecar = folder / "sidecar"
        with self._telling():
            sidecar.write_text(json.dumps(record, indent=1))
            built.replace(path)
            sidecar.replace(path.with_suffix(".json"))
            if (folder / TIMINGS).exists():
                (folder / TIMINGS).replace(self.timings(made.target))
        return plan

    def timings(self, target: Target) -> Path:
        """Where lies what was learned of a target's kernels, if anything was."""
        return self.folder / f"{_digest(asdict(target))[:16]}.timings"

    def prune(self, living: Collection[str]) -> list[Plan]:
        """Remove plans of models that are not in `living` (digests), those that a newer one replaces, and leftovers.

        A plan is replaced by a later one of the same model, settings and device: by another version or driver.
        """
        if not self.folder.is_dir():
            return []
        with self._alone():
            plans = sorted(self.all(), key=lambda plan: plan.path.stat().st_mtime_ns)
            kept = {_purpose(plan): plan for plan in plans if plan.made.onnx in living}
            files = {path for plan in kept.values() for path in (plan.path, plan.path.with_suffix(".json"))}
            timings = {self.timings(plan.made.target) for plan in kept.values()}
            self._remove_all_but(files | timings)
        return [plan for plan in plans if plan not in kept.values()]

    def _told(self, sidecar: Path) -> Plan | None:
        """What a sidecar says, if it belongs to its name and the plan's length fits."""
        try:
            record = json.loads(sidecar.read_bytes())
            made = Made.from_json(record)
            facts = Facts(**record["facts"])
            plan = Plan(sidecar.with_suffix(".plan"), made, record["bytes"], record["digest"], facts)
            fits = made.key == sidecar.stem and plan.path.stat().st_size == plan.bytes
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return plan if fits else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._telling():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("wb")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LoadError(
                f"plans cannot be kept in {self.folder}: {error.strerror}; let the server write there, and have room"
            ) from None

    def _remove_all_but(self, files: Collection[Path]) -> None:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path not in files and path.name != "lock":
                path.unlink(missing_ok=True)


def _purpose(plan: Plan) -> tuple[object, ...]:
    target = plan.made.target
    return plan.made.onnx, plan.made.settings, target.module, target.device, target.sm


def _digest(record: dict[str, Any]) -> str:
    return sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

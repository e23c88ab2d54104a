"""Which variant should serve each version here: the policy, this host's speeds, and what turned out not to work."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from app.control.desired import Desired
from app.control.measuring import Unmeasured
from app.control.selection import ladder, unmeasured, verdict, why_not, why_not_named
from app.metrics import Metrics
from app.serving.lifecycle import VersionKey
from app.serving.servable import Servable
from app.serving.variants import VariantStatus
from app.settings import Settings
from engines.quantize.report import Speedup
from model_store.records import VariantRecord, VersionRecord

Speeds = Mapping[VersionKey, Mapping[str, Speedup]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a variant that should serve does not."""

    reason: str
    """`load`, `parity` or `speed` where it was tried; `missing` or `gate` of one that the policy names."""
    words: str
    digest: str | None = None
    """Of the artifact that was tried: another one gets its own chance."""


class Choice:
    """One reading of the store and its speeds, and the refusals since. Lives on the event loop's thread."""

    def __init__(self, settings: Settings, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._settings = settings
        self._metrics = metrics
        self._log = log
        self._versions: Mapping[VersionKey, VersionRecord] = {}
        self._speeds: Speeds = {}
        self._policies: Mapping[str, str] = {}
        """By model."""
        self._refusals: defaultdict[VersionKey, dict[str, Refusal]] = defaultdict(dict)
        """Of those that were tried."""
        self._unfit: dict[VersionKey, Refusal] = {}
        """Of those that the policy names, and that cannot be tried."""

    def look(self, desired: Desired, speeds: Speeds) -> None:
        """Go by these from now on."""
        self._versions, self._speeds = desired.versions, speeds
        self._policies = {model: self._settings.for_model(name).variant for model, name in desired.names.items()}
        for key in list(self._refusals):
            self._keep_those_of_now(key)
        before, self._unfit = self._unfit, dict(self._unfit_now())
        for key, refusal in self._unfit.items():
            if before.get(key) != refusal:
                self._tell(desired.versions[key], self._policies[key.model], refusal)

    def _keep_those_of_now(self, key: VersionKey) -> None:
        record, refusals = self._versions.get(key), self._refusals.pop(key)
        for variant in record.variants if record else ():
            if variant.name in refusals and refusals[variant.name].digest == variant.digest:
                self._refusals[key][variant.name] = refusals[variant.name]

    def _unfit_now(self) -> Iterator[tuple[VersionKey, Refusal]]:
        for key, record in self._versions.items():
            why = why_not_named(self._policies[key.model], record, self._speeds.get(key, {}))
            if why is not None:
                yield key, Refusal(*why)

    def rungs(self, key: VersionKey) -> tuple[VariantRecord, ...]:
        """The variants that may serve a version of the store, best first, but for those found not to work."""
        record = self._versions[key]
        refused = self._refusals.get(key, {})
        on_ladder = ladder(self._policies[key.model], record, self._speeds.get(key, {}))
        return tuple(variant for variant in on_ladder if variant.name not in refused)

    def outdated(self, servables: Mapping[VersionKey, Servable]) -> set[VersionKey]:
        """Versions for which another variant should answer than does."""
        best = {key: self.rungs(key)[:1] for key in servables if key in self._versions}
        return {key for key, rung in best.items() if rung and not is_of(servables[key], rung[0])}

    def unmeasured(self, servables: Mapping[VersionKey, Servable]) -> Iterator[Unmeasured]:
        """What this host has to measure before it can choose, of the versions that are served."""
        for key in servables:
            if (record := self._versions.get(key)) is not None:
                for variant in unmeasured(self._policies[key.model], record, self._speeds.get(key, {})):
                    if variant.name not in self._refusals.get(key, {}):
                        yield Unmeasured(key, record, variant)

    def refuse(self, key: VersionKey, variant: VariantRecord, reason: str, words: str) -> None:
        """The variant does not serve here, until it is another one or `forget`; the next on the ladder does."""
        record = self._versions.get(key)
        if record is not None and variant in record.variants and variant.name not in self._refusals[key]:
            self._refusals[key][variant.name] = refusal = Refusal(reason, words, variant.digest)
            self._tell(record, variant.name, refusal)

    def _tell(self, record: VersionRecord, name: str, refusal: Refusal) -> None:
        log = self._log.bind(model=record.name, version=record.version, variant=name)
        log.warning("variant is refused", reason=refusal.reason, why=refusal.words)
        self._metrics.variants_refused[record.name, record.version, name, refusal.reason] += 1

    def forget(self, model: str | None = None) -> None:
        """Give what did not work, of one model or of all, another chance."""
        for key in [key for key in self._refusals if model in (None, key.model)]:
            del self._refusals[key]

    def notes(self, key: VersionKey) -> tuple[str, ...]:
        """What a version's status says of the variants that should serve and do not."""
        refusals = dict(self._refusals.get(key, {}))
        if key in self._unfit:
            refusals[self._policies[key.model]] = self._unfit[key]
        return tuple(f"variant {name} is refused: {one.words}" for name, one in refusals.items())

    def statuses(self, key: VersionKey, loaded: Mapping[str, Servable]) -> tuple[VariantStatus, ...]:
        """What is known of every variant of the version; `loaded` has the servables by variant."""
        if (record := self._versions.get(key)) is None:
            return ()
        return tuple(self._status(key, variant, loaded.get(variant.name)) for variant in record.variants)

    def _status(self, key: VersionKey, variant: VariantRecord, servable: Servable | None) -> VariantStatus:
        speed = self._speeds.get(key, {}).get(variant.name)
        refusal = self._refusals.get(key, {}).get(variant.name)
        is_published = variant.recipe is None
        unfit = "" if is_published else why_not(variant, speed)
        return VariantStatus(
            variant.name,
            variant.engine,
            None if is_published else verdict(variant, speed),
            speed,
            refusal.words if refusal else unfit,
            servable if servable and is_of(servable, variant) else None,
            is_published=is_published,
        )


def is_of(servable: Servable, variant: VariantRecord) -> bool:
    """Whether this is what it serves. Other bytes may have come under the name, since the name was dropped."""
    return (servable.identity.variant, servable.identity.digest) == (variant.name, variant.digest)

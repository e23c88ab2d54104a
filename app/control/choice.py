"""Which variant should serve each version here: the policy, this host's speeds, and what turned out not to work."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from structlog.typing import FilteringBoundLogger

from app.control.desired import Desired
from app.control.measuring import Unmeasured
from app.control.rungs import Engines, Fall, Rung
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

    def __init__(self, settings: Settings, metrics: Metrics, log: FilteringBoundLogger, engines: Engines) -> None:
        self._settings = settings
        self._metrics = metrics
        self._log = log
        self._engines = engines
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
        self._engines.keep(desired.versions)
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

    def rungs(self, key: VersionKey) -> tuple[Rung, ...]:
        """What may serve a version of the store, best first, but for what was found not to work.

        A variant stands there with the engine that its speed is known for, the published one with all that run it.
        """
        record = self._versions[key]
        refused = self._refusals.get(key, {})
        on_ladder = ladder(self._policies[key.model], record, self._speeds.get(key, {}))
        *better, published = on_ladder
        last = [Rung(published, engine) for engine in self._engines.of(key, published)]
        return tuple(
            rung for rung in (*map(partial(self.rung, key), better), *last) if rung.variant.name not in refused
        )

    def rung(self, key: VersionKey, variant: VariantRecord) -> Rung:
        """The variant in the best engine that may run it now."""
        return Rung(variant, self._engines.of(key, variant)[0])

    def outdated(self, servables: Mapping[VersionKey, Servable]) -> set[VersionKey]:
        """Versions for which another variant, or the same in another engine, should answer than does."""
        best = {key: self.rungs(key)[:1] for key in servables if key in self._versions}
        return {key for key, rung in best.items() if rung and not is_on(servables[key], rung[0])}

    def unmeasured(self, servables: Mapping[VersionKey, Servable]) -> Iterator[Unmeasured]:
        """What this host has to measure before it can choose, of the versions that are served."""
        for key in servables:
            if (record := self._versions.get(key)) is not None:
                for variant in unmeasured(self._policies[key.model], record, self._speeds.get(key, {})):
                    if variant.name not in self._refusals.get(key, {}):
                        source = self.rung(key, record.variants[0])
                        yield Unmeasured(key, record, self.rung(key, variant), source.engine)

    def without_plan(self) -> Iterator[tuple[VersionKey, VersionRecord, VariantRecord]]:
        """The variants that wait for a plan to be built."""
        for key, record in self._versions.items():
            for variant in self._engines.without_plan(key, record):
                yield key, record, variant

    def fail(self, key: VersionKey, rung: Rung, reason: str, words: str) -> None:
        """The variant does not work in this engine. It runs in the next one, or is refused where there is none."""
        record = self._versions.get(key)
        if record is None or rung.variant not in record.variants:
            return
        if not self._engines.fall(key, record, rung, Fall(reason, words)):
            self.refuse(key, rung.variant, reason, words)

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
        self._engines.forget(model)

    def notes(self, key: VersionKey) -> tuple[str, ...]:
        """What a version's status says of the variants that should serve and do not, and of engines alike."""
        refusals = dict(self._refusals.get(key, {}))
        if key in self._unfit:
            refusals[self._policies[key.model]] = self._unfit[key]
        told = tuple(f"variant {name} is refused: {one.words}" for name, one in refusals.items())
        return (*told, *self._engines.notes(key, self._versions[key])) if key in self._versions else told

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
            self._engines.of(key, variant)[0],
            None if is_published else verdict(variant, speed),
            speed,
            refusal.words if refusal else unfit,
            servable if servable and is_of(servable, variant) else None,
            is_published=is_published,
        )


def is_of(servable: Servable, variant: VariantRecord) -> bool:
    """Whether this is what it serves. Other bytes may have come under the name, since the name was dropped."""
    return (servable.identity.variant, servable.identity.digest) == (variant.name, variant.digest)


def is_on(servable: Servable, rung: Rung) -> bool:
    """Whether it serves this variant in this engine."""
    return is_of(servable, rung.variant) and servable.identity.rung == rung.engine

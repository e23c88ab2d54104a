"""Which variant should serve each version here: the policy, this host's speeds, and what turned out not to work."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from app.control.desired import Desired
from app.control.selection import ladder, unmeasured, why_not_named
from app.metrics import Metrics
from app.serving.lifecycle import VersionKey
from app.serving.servable import Servable
from app.serving.variants import Speedup, VariantStatus
from app.settings import Settings
from model_store.records import VariantRecord, VersionRecord

Speeds = Mapping[VersionKey, Mapping[str, Speedup]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a variant that should serve does not."""

    reason: str
    """`missing`, `gate`, `load` or `parity`."""
    words: str
    digest: str | None
    """Of the artifact that was refused, None where there is none: another one gets its own chance."""


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

    def look(self, desired: Desired, speeds: Speeds) -> None:
        """Go by these from now on."""
        self._versions, self._speeds = desired.versions, speeds
        self._policies = {model: self._settings.for_model(name).variant for model, name in desired.names.items()}
        for key in list(self._refusals):
            self._keep_those_of_now(key)
        for key, record in desired.versions.items():
            policy = self._policies[key.model]
            if (why := why_not_named(policy, record)) is not None:
                self.refuse(key, policy, *why)

    def _keep_those_of_now(self, key: VersionKey) -> None:
        record = self._versions.get(key)
        digests = {variant.name: variant.digest for variant in record.variants} if record else {}
        refusals = self._refusals.pop(key)
        if record is not None:
            kept = {name: one for name, one in refusals.items() if digests.get(name) == one.digest}
            self._refusals[key].update(kept)

    def rungs(self, key: VersionKey) -> tuple[VariantRecord, ...]:
        """The variants that may serve a version of the store, best first, but for those found not to work."""
        record = self._versions[key]
        refused = self._refusals.get(key, {})
        on_ladder = ladder(self._policies[key.model], record, self._speeds.get(key, {}))
        return tuple(variant for variant in on_ladder if variant.name not in refused)

    def outdated(self, servables: Mapping[VersionKey, Servable]) -> set[VersionKey]:
        """Versions for which another variant should answer than does."""
        best = {key: self.rungs(key)[:1] for key in servables if key in self._versions}
        return {key for key, rung in best.items() if rung and rung[0].name != servables[key].identity.variant}

    def unmeasured(self, servables: Mapping[VersionKey, Servable]) -> Iterator[tuple[VersionRecord, VariantRecord]]:
        """What this host has to measure before it can choose, of the versions that are served."""
        for key in servables:
            if (record := self._versions.get(key)) is not None:
                for variant in unmeasured(self._policies[key.model], record, self._speeds.get(key, {})):
                    if variant.name not in self._refusals.get(key, {}):
                        yield record, variant

    def refuse(self, key: VersionKey, name: str, reason: str, words: str) -> None:
        """The variant does not serve here, until it is another one or `forget`; the next on the ladder does."""
        record = self._versions.get(key)
        if record is None or name in self._refusals[key]:
            return
        digest = next((variant.digest for variant in record.variants if variant.name == name), None)
        self._refusals[key][name] = Refusal(reason, words, digest)
        self._metrics.variants_refused[record.name, record.version, name, reason] += 1
        self._log.warning(
            "variant is refused", model=record.name, version=record.version, variant=name, reason=reason, why=words
        )

    def forget(self, model: str | None = None) -> None:
        """Give what did not work, of one model or of all, another chance."""
        for key in [key for key in self._refusals if model in (None, key.model)]:
            del self._refusals[key]

    def notes(self, key: VersionKey) -> tuple[str, ...]:
        """What a version's status says of the variants that should serve and do not."""
        return tuple(f"variant {name} is refused: {one.words}" for name, one in self._refusals.get(key, {}).items())

    def statuses(self, key: VersionKey, loaded: Mapping[str, Servable]) -> tuple[VariantStatus, ...]:
        """What is known of every variant of the version; `loaded` has the servables by variant."""
        if (record := self._versions.get(key)) is None:
            return ()
        speeds, refusals = self._speeds.get(key, {}), self._refusals.get(key, {})
        return tuple(
            VariantStatus(
                variant.name,
                variant.engine,
                variant.passed,
                speeds.get(variant.name),
                refusals[variant.name].words if variant.name in refusals else "",
                loaded.get(variant.name),
                is_published=variant is record.variants[0],
            )
            for variant in record.variants
        )

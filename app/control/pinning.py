"""Loads the variants that requests name beside those that answer by default, and lets go of what may not stay."""

from collections.abc import Collection, Iterator, Mapping

from app.control.choice import Choice, is_on
from app.control.pins import DropPin, LoadPin, PinKey, next_pin_action
from app.control.rungs import Rung
from app.control.steps import Steps
from app.errors import Unsupported
from app.serving.lifecycle import VersionKey
from app.serving.servable import Servable
from app.serving.table import folded
from app.settings import Settings
from model_store.records import VersionRecord


class Pinning:
    """The variants of one process that are loaded because requests named them. The decisions are `next_pin_action`."""

    def __init__(self, settings: Settings, choice: Choice, steps: Steps) -> None:
        self._settings = settings
        self._choice = choice
        self._steps = steps
        self._asked: dict[PinKey, None] = {}
        self._pinned: dict[PinKey, Servable] = {}

    def ask(self, servable: Servable, variant: str) -> bool:
        """Wish for another variant of the version that this one answers for; tell whether nobody did before.

        Raises Unsupported where none is to be loaded so.
        """
        if self._settings.for_model(servable.identity.model).pinned_variants == 0:
            raise Unsupported(
                f"variant '{variant}' is not the one that serves model '{servable.identity.model}', and no other is "
                "loaded here: pinned_variants is 0"
            )
        pin = PinKey(VersionKey(folded(servable.identity.model), servable.identity.version), variant)
        is_new = pin not in self._asked
        self._asked[pin] = None
        return is_new

    def act(
        self, versions: Mapping[VersionKey, VersionRecord], answering: Mapping[VersionKey, Servable], *, is_busy: bool
    ) -> None:
        """Start what can be started now. `answering` is what answers by default; `is_busy`: nothing may be loaded."""
        may_stay = set(self._may_be_pinned(answering)) if self._asked or self._pinned else set()
        self._asked = {pin: None for pin in self._asked if pin in may_stay and pin not in self._pinned}
        while (action := self._next(may_stay, is_busy=is_busy or self._steps.is_busy)) is not None:
            if isinstance(action, LoadPin):
                self._steps.start_beside(self._load(action.key, versions[action.key.version]))
            else:
                self._steps.start(self._steps.retire(self._pinned.pop(action.key)))

    def _may_be_pinned(self, answering: Mapping[VersionKey, Servable]) -> Iterator[PinKey]:
        """What may serve of the versions that answer, but for what answers by default, and for bytes of before."""
        for key, servable in answering.items():
            loaded = self.loaded(key)
            for status in self._choice.statuses(key, loaded):
                is_of_before = status.name in loaded and status.servable is None
                if status.may_serve and status.name != servable.identity.variant and not is_of_before:
                    yield PinKey(key, status.name)

    def _next(self, may_stay: Collection[PinKey], *, is_busy: bool) -> LoadPin | DropPin | None:
        most = {pin.version.model: self._settings.for_model(pin.version.model).pinned_variants for pin in self._asked}
        used = {pin: servable.used_at for pin, servable in self._pinned.items()}
        return next_pin_action(self._asked, used, may_stay, most, is_busy=is_busy)

    async def _load(self, pin: PinKey, record: VersionRecord) -> None:
        """One that its version or its verdict does not allow any more is dropped by the next step."""
        variant = next(variant for variant in record.variants if variant.name == pin.variant)
        servable = await self._steps.try_out(pin.version, record, self._choice.rung(pin.version, variant))
        if servable is not None:
            self._pinned[pin] = servable

    def take(self, key: VersionKey, rung: Rung) -> Servable | None:
        """The variant, if it is loaded here in that engine: the caller owns it now."""
        pin = PinKey(key, rung.variant.name)
        return self._pinned.pop(pin) if pin in self._pinned and is_on(self._pinned[pin], rung) else None

    def loaded(self, key: VersionKey) -> dict[str, Servable]:
        """Those of one version that are loaded here, by name."""
        return {pin.variant: servable for pin, servable in self._pinned.items() if pin.version == key}

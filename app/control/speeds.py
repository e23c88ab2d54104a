"""How fast variants are on this host, remembered in the store: another host measures for itself."""

from pydantic import TypeAdapter

from engines.machine import fingerprint
from engines.quantize.report import Speedup
from model_store.records import VariantRecord, VersionRecord
from model_store.store import Store

_SPEEDUP = TypeAdapter(Speedup)


class SpeedMemory:
    """What this host measured, by artifact. Made once: what the host is takes a while to find out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = f"speed/{fingerprint()}"

    def recall(self, record: VersionRecord) -> dict[str, Speedup]:
        """Variant -> its speed-up, of those that were measured here."""
        known = {variant.name: self._recall(record, variant) for variant in record.variants[1:]}
        return {name: speedup for name, speedup in known.items() if speedup is not None}

    def remember(self, record: VersionRecord, variant: VariantRecord, speedup: Speedup) -> None:
        """Keep it for this host. Raises StorageFailed."""
        self._store.remember(self._key(record, variant), _SPEEDUP.dump_json(speedup))

    def _recall(self, record: VersionRecord, variant: VariantRecord) -> Speedup | None:
        try:
            known = self._store.recall(self._key(record, variant))
            return None if known is None else _SPEEDUP.validate_json(known)
        except (ValueError, OSError):  # written by another version, or not to be read: measure anew
            return None

    def _key(self, record: VersionRecord, variant: VariantRecord) -> str:
        """The same bytes may stand beside another source, or be run by another engine."""
        return f"{self._folder}/{record.digest}/{variant.engine}/{variant.digest}"

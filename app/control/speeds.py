"""How fast variants are on this host, remembered in the store: another host measures for itself."""

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import TypeAdapter

from engines.machine import fingerprint
from engines.quantize.report import Speedup
from model_store.records import VariantRecord, VersionRecord
from model_store.store import Store

_SPEEDUP = TypeAdapter(Speedup)
_OF_MANIFESTS: Mapping[str, str] = MappingProxyType({})


class SpeedMemory:
    """What this host measured, by artifact. Made once: what the host is takes a while to find out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = f"speed/{fingerprint()}"

    def recall(self, record: VersionRecord, engines: Mapping[str, str] = _OF_MANIFESTS) -> dict[str, Speedup]:
        """Variant -> its speed-up, of those that were measured here. `engines`: by variant; its manifest's else."""
        known = {variant.name: self._recall(_key(record, variant, engines)) for variant in record.variants[1:]}
        return {name: speedup for name, speedup in known.items() if speedup is not None}

    def remember(
        self,
        record: VersionRecord,
        variant: VariantRecord,
        speedup: Speedup,
        engines: Mapping[str, str] = _OF_MANIFESTS,
    ) -> None:
        """Keep it for this host. Raises StorageFailed."""
        self._store.remember(self._folder + _key(record, variant, engines), _SPEEDUP.dump_json(speedup))

    def _recall(self, key: str) -> Speedup | None:
        try:
            known = self._store.recall(self._folder + key)
            return None if known is None else _SPEEDUP.validate_json(known)
        except (ValueError, OSError):  # written by another version, or not to be read: measure anew
            return None


def _key(record: VersionRecord, variant: VariantRecord, engines: Mapping[str, str]) -> str:
    """The same bytes may stand beside another source, and each of the two may be run by another engine."""
    source = record.variants[0]
    engine, beside = engines.get(variant.name, variant.engine), engines.get(source.name, source.engine)
    if beside != source.engine:
        engine = f"{engine}-beside-{beside}"
    return f"/{record.digest}/{engine}/{variant.digest}"

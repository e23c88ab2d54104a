"""How fast variants are on this host, remembered in the store: another host measures for itself."""

from collections.abc import Iterable

from pydantic import TypeAdapter

from engines.machine import fingerprint
from engines.quantize.report import Speedup
from model_store.records import VariantRecord
from model_store.store import Store

_SPEEDUP = TypeAdapter(Speedup)


class SpeedMemory:
    """What this host measured, by the digest of the artifact. Made once: what the host is takes a while to find out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = f"speed/{fingerprint()}"

    def recall(self, variants: Iterable[VariantRecord]) -> dict[str, Speedup]:
        """Variant -> its speed-up, of those that were measured here. Raises what reading a file raises."""
        known = {variant.name: self._recall(variant.digest) for variant in variants}
        return {name: speedup for name, speedup in known.items() if speedup is not None}

    def remember(self, digest: str, speedup: Speedup) -> None:
        """Keep it for this host. Raises StorageFailed."""
        self._store.remember(f"{self._folder}/{digest}", _SPEEDUP.dump_json(speedup))

    def _recall(self, digest: str) -> Speedup | None:
        known = self._store.recall(f"{self._folder}/{digest}")
        try:
            return None if known is None else _SPEEDUP.validate_json(known)
        except ValueError:  # written by another version: measure anew
            return None

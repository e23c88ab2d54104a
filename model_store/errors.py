"""What can go wrong with a store. Facts only: `app` turns them into a status."""


class StoreError(Exception):
    """Every error of this package. The message says what was wrong, what was expected and what to do."""


class NotFound(StoreError):
    """The store has no such model, version or variant."""


class UnknownLabel(StoreError):
    """The model is there, but no version of it carries this label."""


class InvalidName(StoreError):
    """A name of a model, label, variant, file or cache entry that is not allowed. No path was touched."""


class InvalidVersion(StoreError):
    """Not a SemVer version, or not a prefix of one where prefixes are understood."""


class InvalidMetadata(StoreError):
    """The metadata of a version holds what it may not hold."""


class Incompatible(StoreError):
    """The signature would break clients of the version before it, and the version number promises that it does not."""


class Conflict(StoreError):
    """What the store holds already forbids the change: other bytes, a retirement, a label that points there."""


class Corrupt(StoreError):
    """A file of the store is missing or does not hold what was written to it."""


class StoreBusy(StoreError):
    """Another process has been changing the store for longer than one was willing to wait."""


class StorageFailed(StoreError):
    """The operating system refused to read or write: disk full, no permission, device error."""


class NotAStore(StoreError):
    """The folder is not there, or is something else than a store."""


class FormatTooNew(StoreError):
    """The store was written by a newer Octet."""

"""Which version of a model is meant. Pure."""

from difflib import get_close_matches

from model_store.errors import NotFound, UnknownLabel
from model_store.records import ModelRecord, VersionRecord
from model_store.versions import highest_released, is_exact


def pick(model: ModelRecord, version: str | None = None, label: str | None = None) -> VersionRecord:
    """The living version with this label, else this number, else the highest released one under this prefix or at all.

    Raises NotFound, UnknownLabel and InvalidVersion.
    """
    if label is not None:
        version = _labelled(model, label)
    living = {record.version: record for record in model.versions if not record.retired}
    if version is not None and is_exact(version):
        found: str | None = version
    else:
        found = highest_released(living, version)
    if found is None or found not in living:
        raise NotFound(_why_not(model, version, list(living)))
    return living[found]


def _labelled(model: ModelRecord, label: str) -> str:
    try:
        return model.labels[label]
    except KeyError:
        known = ", ".join(sorted(model.labels)) or "none"
        raise UnknownLabel(
            f"no version of {model.name} carries the label {label!r}; its labels are: {known}."
        ) from None


def _why_not(model: ModelRecord, version: str | None, living: list[str]) -> str:
    if any(record.retired and record.version == version for record in model.versions):
        return f"{model.name}@{version} is retired. The versions that are not: {', '.join(living) or 'none'}."
    wanted = "no released version" if version is None else f"no version {version}"
    hint = " A pre-release is only meant when it is named exactly or labelled." if living else ""
    return f"{model.name} has {wanted}; its versions are: {', '.join(living) or 'none'}.{hint}"


def no_model(name: str, names: list[str]) -> NotFound:
    """There is no such model: the error, with the nearest name."""
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the store has: {', '.join(names[:20]) or 'none'}."
    return NotFound(f"there is no model {name!r}; {hint}")

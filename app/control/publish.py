"""From an ONNX file to a version in the store: read, judge, compare with the version before, store."""

import json
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from engines.onnx_file import read_onnx
from engines.signature import Signature, incompatibilities
from engines.trial import prove_it_loads
from model_store.errors import Incompatible, InvalidMetadata, NotFound
from model_store.incoming import Progress
from model_store.manifest import Metadata
from model_store.names import check_model
from model_store.records import NewVersion, Published, VersionRecord
from model_store.store import Store
from model_store.versions import keeps_contract, parse, predecessor


def publish(
    store: Store,
    name: str,
    path: Path,
    version: str,
    *,
    metadata: Metadata,
    labels: tuple[str, ...] = (),
    force_incompatible: bool = False,
    progress: Progress | None = None,
) -> Published:
    """Publish the ONNX file at `path`, with the external data that it names, as `name`@`version`.

    Nothing is stored unless all of it can be. Raises ModelFileError, Incompatible (unless forced), and what
    `Store.publish` raises.
    """
    check_model(name)
    parse(version)
    model = read_onnx(path)
    prove_it_loads("onnxruntime", path, model.signature)
    before = _promised(store, name, version)
    if before is not None and not force_incompatible:
        _refuse_differences(before, version, Signature.from_json(before.signature), model.signature)
    new = NewVersion(
        name=name,
        version=version,
        source=path,
        external=model.external,
        signature=model.signature.to_json(),
        metadata=metadata,
        variant=model.variant,
        labels=labels,
    )
    return store.publish(new, progress)


def read_metadata(path: Path) -> Metadata:
    """What a JSON file says of a version. Raises InvalidMetadata, which names the nearest key for an unknown one."""
    try:
        record = json.loads(path.read_bytes(), parse_constant=_no_number)
    except OSError as error:
        raise InvalidMetadata(f"cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise InvalidMetadata(f"{path} is not JSON: {error}.") from error
    except RecursionError as error:
        raise InvalidMetadata(f"{path} is nested too deep to be read. Flatten it.") from error
    if not isinstance(record, dict):
        raise InvalidMetadata(f'{path}: a JSON object was expected, such as {{"metrics": {{"accuracy": 0.99}}}}.')
    for key in record:
        if key not in Metadata.model_fields:
            raise InvalidMetadata(f"{path}: {_unknown(key)}")
    try:
        return Metadata.model_validate(record)
    except ValidationError as error:
        raise InvalidMetadata(f"{path}: {_told(error)}") from error


def _promised(store: Store, name: str, version: str) -> VersionRecord | None:
    """The version whose clients this one promises to serve; none for a new MAJOR.

    None as well for a version that is there already: what may be published again was judged before.
    """
    try:
        records = {record.version: record for record in store.versions(name)}
    except NotFound:
        return None
    before = predecessor(records, version)
    if version in records or before is None or not keeps_contract(before, version):
        return None
    return records[before]


def _refuse_differences(before: VersionRecord, version: str, old: Signature, new: Signature) -> None:
    differences = incompatibilities(old, new)
    if differences:
        raise Incompatible(
            f"{version} would break the clients of {before}, which only a new MAJOR version may:\n"
            + "".join(f"  - {line}\n" for line in differences)
            + f"Publish as {parse(before.version).bump_major()}, or insist with --force-incompatible."
        )


def _unknown(key: str) -> str:
    known = list(Metadata.model_fields)
    near = get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(known)}; free words go under 'tags'."
    return f"metadata has no key {key!r}; {hint}"


def _told(error: ValidationError) -> str:
    """Each complaint once: where, and what was expected."""
    lines = {".".join(str(part) for part in item["loc"]): item["msg"] for item in error.errors()}
    return "; ".join(f"{where}: {message}" for where, message in lines.items()) + "."


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number in JSON")

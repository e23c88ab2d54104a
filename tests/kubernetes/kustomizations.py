"""What a kustomization comes to: as much of kustomize as deploy/kubernetes uses, and kubectl must agree where it is."""

from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.pods import Object, containers, deployments

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
KUSTOMIZATIONS = sorted(file.parent for file in KUBERNETES.rglob("kustomization.yaml"))
_UNDERSTOOD = {"apiVersion", "kind", "resources", "images", "patches"}


def name_of(one: Object) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


def read(file: Path) -> list[Object]:
    return list(yaml.safe_load_all(file.read_text("utf-8")))


def composed(folder: Path) -> list[Object]:
    """The objects of a kustomization. Fails on a file that is not there, and on a patch of what is not there."""
    (made,) = read(folder / "kustomization.yaml")
    assert made.keys() <= _UNDERSTOOD, f"{folder}: {made.keys() - _UNDERSTOOD} is not understood here"
    objects = [one for name in made["resources"] for one in _resource((folder / name).resolve())]
    for patch in made.get("patches", ()):
        objects = _patched(objects, yaml.safe_load(patch["patch"]))
    for image in made.get("images", ()):
        _retag(objects, image)
    return objects


def _resource(path: Path) -> list[Object]:
    return composed(path) if path.is_dir() else read(path)


def _patched(objects: list[Object], patch: Object) -> list[Object]:
    (index,) = [i for i, one in enumerate(objects) if name_of(one) == name_of(patch)]
    before, after = objects[:index], objects[index + 1 :]
    if patch.pop("$patch", None) == "delete":
        return before + after
    return [*before, _merged(objects[index], patch), *after]


def _merged(old: Any, new: Any) -> Any:
    """A strategic merge: mappings by key, lists of what has names by those, anything else is replaced."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: _merged(old.get(key), value) for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list) and all("name" in one for one in [*old, *new]):
        named = {one["name"]: one for one in old}
        return list((named | {one["name"]: _merged(named.get(one["name"]), one) for one in new}).values())
    return new


def _retag(objects: list[Object], image: Object) -> None:
    assert image.keys() == {"name", "newTag"}
    running = [container for one in deployments(objects) for container in containers(one)]
    found = [one for one in running if one["image"].partition(":")[0] == image["name"]]
    assert found, f"nothing runs the image {image['name']}"
    for one in found:
        one["image"] = f"{image['name']}:{image['newTag']}"

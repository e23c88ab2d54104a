"""What is in the pods of Deployments."""

from typing import Any

Object = dict[str, Any]


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


def deployments(objects: list[Object]) -> list[Object]:
    return of_kind(objects, "Deployment")


def pod(deployment: Object) -> Object:
    found: Object = deployment["spec"]["template"]["spec"]
    return found


def serving(deployment: Object) -> Object:
    """The container that runs on."""
    (container,) = pod(deployment)["containers"]
    found: Object = container
    return found


def containers(deployment: Object) -> list[Object]:
    """That one, and those that run before it."""
    return [*pod(deployment).get("initContainers", ()), serving(deployment)]


def sleep_seconds(container: Object) -> int:
    """How long `preStop` waits: by Kubernetes' own action, or by the command."""
    before = container.get("lifecycle", {}).get("preStop", {})
    if "exec" in before:
        command, seconds = before["exec"]["command"]
        assert command == "sleep"
        return int(seconds)
    return int(before.get("sleep", {}).get("seconds", 0))

"""What must hold among the objects of one kustomization. A rule tells of each fault in a line."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from app.settings import PREFIX, Settings, names
from tests.kubernetes.kustomizations import ROOT, name_of
from tests.kubernetes.pods import Object, containers, deployments, of_kind, pod, serving, sleep_seconds

_DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
_TARGETS = set(re.findall(r"^FROM .* AS (cpu|gpu)$", _DOCKERFILE, re.MULTILINE))
_SEALED = {
    "runAsNonRoot": True,
    "runAsUser": int(re.findall(r"useradd --uid (\d+)", _DOCKERFILE)[0]),
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
_WRITTEN = {*re.findall(r"OCTET_STORE=(\S+)", _DOCKERFILE), "/tmp"}  # noqa: S108
_PORT = int(re.findall(r"^EXPOSE (\d+)$", _DOCKERFILE, re.MULTILINE)[0])
_SETTINGS = {PREFIX + name.upper() for name in names()}


def faults(objects: list[Object]) -> list[str]:
    return [fault for rule in RULES for fault in rule(objects)]


def selectors_find_the_pods(objects: list[Object]) -> Iterator[str]:
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in deployments(objects)]
    for one in objects:
        for selector in _pod_selectors(one):
            if not any(selector.items() <= found.items() for found in labels):
                yield f"{name_of(one)} selects {selector}, which no pod has"


def ports_are_those_of_the_container(objects: list[Object]) -> Iterator[str]:
    known = {known for one in deployments(objects) for port in serving(one)["ports"] for known in port.values()}
    if _PORT not in known:
        yield f"no container has the port {_PORT} of the image"
    for one in objects:
        yield from (f"{name_of(one)} names port {port!r}" for port in _ports(one) if port not in known)


def prometheus_finds_a_service(objects: list[Object]) -> Iterator[str]:
    services = of_kind(objects, "Service")
    for monitor in of_kind(objects, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = [one for one in services if wanted <= one["metadata"]["labels"].items()]
        ports = {port["name"] for one in found for port in one["spec"]["ports"]}
        for endpoint in monitor["spec"]["endpoints"]:
            if endpoint["port"] not in ports:
                yield f"{name_of(monitor)} finds no service with port {endpoint['port']!r}"
        if any(one["metadata"]["labels"].get(monitor["spec"]["jobLabel"]) != "octet" for one in found):
            yield f"{name_of(monitor)} gives another job than 'octet'"


def one_autoscaler_decides_how_many(objects: list[Object]) -> Iterator[str]:
    scalers = [*of_kind(objects, "HorizontalPodAutoscaler"), *of_kind(objects, "ScaledObject")]
    scaled = Counter(one["spec"]["scaleTargetRef"]["name"] for one in scalers)
    for deployment in deployments(objects):
        name, decided = deployment["metadata"]["name"], "replicas" in deployment["spec"]
        if (times := scaled.pop(name, 0) + decided) != 1:
            yield f"{times} decide how many pods {name!r} has"
    yield from (f"an autoscaler is for {name!r}, which is not there" for name in scaled)


def what_is_scaled_by_is_asked_for(objects: list[Object]) -> Iterator[str]:
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        for metric in scaler["spec"]["metrics"]:
            wanted = metric["resource"]["name"]
            if any(wanted not in one["resources"]["requests"] for one in _running(objects)):
                yield f"{name_of(scaler)} needs every container to ask for {wanted}"


def a_pod_has_time_to_drain(objects: list[Object]) -> Iterator[str]:
    for one in deployments(objects):
        variables = {variable["name"]: variable["value"] for variable in serving(one).get("env", ())}
        drain_seconds = float(variables.get("OCTET_DRAIN_SECONDS", Settings.model_fields["drain_seconds"].default))
        before_seconds = sleep_seconds(serving(one))
        if before_seconds < 5:
            yield f"{name_of(one)} stops before every node knows that it will"
        if pod(one)["terminationGracePeriodSeconds"] < before_seconds + drain_seconds + 5:
            yield f"{name_of(one)} is killed while it drains"


def containers_are_sealed(objects: list[Object]) -> Iterator[str]:
    for one in deployments(objects):
        of_pod = pod(one).get("securityContext", {})
        for container in containers(one):
            context = of_pod | container.get("securityContext", {})
            yield from (
                f"{name_of(one)} {container['name']}: {key} is not {value}"
                for key, value in _SEALED.items()
                if context.get(key) != value
            )


def what_is_written_is_a_volume(objects: list[Object]) -> Iterator[str]:
    for one in deployments(objects):
        volumes = {volume["name"] for volume in pod(one)["volumes"]}
        for container in containers(one):
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            yield from (f"{container['name']} mounts no volume at {path}" for path in _WRITTEN - mounts.keys())
            yield from (f"{container['name']}: there is no volume {name!r}" for name in {*mounts.values()} - volumes)


def images_are_those_that_are_built(objects: list[Object]) -> Iterator[str]:
    for container in _running(objects):
        name, _, tag = container["image"].partition(":")
        if name != "octet" or tag not in _TARGETS:
            yield f"{container['name']} runs {container['image']}, which the Dockerfile does not build"


def variables_are_settings(objects: list[Object]) -> Iterator[str]:
    for container in _running(objects):
        given = {variable["name"] for variable in container.get("env", ())}
        yield from (f"{name} is no setting" for name in given - _SETTINGS if name.startswith(PREFIX))


def services_set_no_variables(objects: list[Object]) -> Iterator[str]:
    """Kubernetes tells pods of services: of one called octet by OCTET_PORT, which is a setting and then no number."""
    clashing = any(f"{name}_".upper().startswith(PREFIX) for _, name in map(name_of, of_kind(objects, "Service")))
    for one in deployments(objects):
        if clashing and pod(one).get("enableServiceLinks", True):
            yield f"{name_of(one)} gets variables of a service that look like settings"


RULES: tuple[Callable[[list[Object]], Iterator[str]], ...] = (
    selectors_find_the_pods,
    ports_are_those_of_the_container,
    prometheus_finds_a_service,
    one_autoscaler_decides_how_many,
    what_is_scaled_by_is_asked_for,
    a_pod_has_time_to_drain,
    containers_are_sealed,
    what_is_written_is_a_volume,
    images_are_those_that_are_built,
    variables_are_settings,
    services_set_no_variables,
)


def _running(objects: list[Object]) -> list[Object]:
    return [container for one in deployments(objects) for container in containers(one)]


def _pod_selectors(one: Object) -> Iterator[dict[str, str]]:
    spec = one["spec"]
    if one["kind"] == "Service":
        yield spec["selector"]
    if one["kind"] in ("Deployment", "PodDisruptionBudget"):
        yield spec["selector"]["matchLabels"]
    if one["kind"] == "NetworkPolicy":
        yield spec["podSelector"]["matchLabels"]
    if one["kind"] == "Deployment":
        yield from (spread["labelSelector"]["matchLabels"] for spread in pod(one).get("topologySpreadConstraints", ()))


def _ports(one: Object) -> Iterator[Any]:
    """Ports of pods that an object names, by name or number."""
    if one["kind"] == "Service":
        yield from (port["targetPort"] for port in one["spec"]["ports"])
    if one["kind"] == "NetworkPolicy":
        yield from (port["port"] for rule in one["spec"]["ingress"] for port in rule["ports"])
    if one["kind"] == "Deployment":
        probes = [probe for name, probe in serving(one).items() if name.endswith("Probe")]
        yield from (probe["httpGet"]["port"] for probe in probes)

"""Base and overlays hold together, by rules that are each seen broken; and kubectl makes of them what is checked."""

import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.kustomizations import KUBERNETES, KUSTOMIZATIONS, composed, name_of
from tests.kubernetes.pods import Object
from tests.kubernetes.rules import RULES, faults

BASE, KEDA = composed(KUBERNETES / "base"), composed(KUBERNETES / "overlays" / "keda")
POD = "spec template spec "
SERVING = POD + "containers 0 "
# Kind, way to a value, another one (None takes it away), and how the fault is told.
BROKEN: list[tuple[str, str, Any, str]] = [
    ("Service", "spec selector", {"app": "octet"}, "('Service', 'octet') selects {'app': 'octet'}, which no pod has"),
    ("PodDisruptionBudget", "spec selector matchLabels", {"app": "octet"}, "which no pod has"),
    ("NetworkPolicy", "spec podSelector matchLabels", {"app": "octet"}, "which no pod has"),
    ("Deployment", "spec selector matchLabels", {"app": "octet"}, "which no pod has"),
    ("Deployment", POD + "topologySpreadConstraints 0 labelSelector matchLabels", {"app": "octet"}, "which no pod has"),
    ("Service", "spec ports 0 targetPort", "web", "('Service', 'octet') names port 'web'"),
    ("NetworkPolicy", "spec ingress 0 ports 0 port", 8081, "('NetworkPolicy', 'octet') names port 8081"),
    ("Deployment", SERVING + "readinessProbe httpGet port", "web", "names port 'web'"),
    ("Deployment", SERVING + "livenessProbe httpGet port", 80, "names port 80"),
    ("Deployment", SERVING + "ports 0 containerPort", 8081, "no container has the port 8080"),
    ("ServiceMonitor", "spec endpoints 0 port", "metrics", "finds no service with port 'metrics'"),
    ("ServiceMonitor", "spec selector matchLabels", {"app": "octet"}, "finds no service with port 'http'"),
    ("ServiceMonitor", "spec jobLabel", "app", "gives another job than 'octet'"),
    ("ScaledObject", "spec scaleTargetRef name", "octett", "an autoscaler is for 'octett', which is not there"),
    ("HorizontalPodAutoscaler", "spec scaleTargetRef name", "octett", "0 decide how many pods 'octet' has"),
    ("Deployment", "spec replicas", 2, "2 decide how many pods 'octet' has"),
    ("HorizontalPodAutoscaler", "spec metrics 0 resource name", "gpu", "needs every container to ask for gpu"),
    ("Deployment", POD + "terminationGracePeriodSeconds", 40, "is killed while it drains"),
    ("Deployment", SERVING + "env", [{"name": "OCTET_DRAIN_SECONDS", "value": "60"}], "is killed while it drains"),
    ("Deployment", SERVING + "lifecycle", None, "stops before every node knows that it will"),
    ("Deployment", POD + "securityContext runAsUser", 0, "octet: runAsUser is not 10001"),
    ("Deployment", POD + "securityContext runAsNonRoot", None, "publish: runAsNonRoot is not True"),
    ("Deployment", POD + "securityContext seccompProfile", None, "publish: seccompProfile is not"),
    ("Deployment", SERVING + "securityContext readOnlyRootFilesystem", False, "octet: readOnlyRootFilesystem is not"),
    ("Deployment", SERVING + "securityContext allowPrivilegeEscalation", None, "allowPrivilegeEscalation is not False"),
    ("Deployment", SERVING + "securityContext capabilities", {"add": ["SYS_ADMIN"]}, "capabilities is not"),
    ("Deployment", SERVING + "volumeMounts 0 mountPath", "/store", "octet mounts no volume at /var/lib/octet"),
    ("Deployment", SERVING + "volumeMounts 1 name", "temp", "octet: there is no volume 'temp'"),
    ("Deployment", SERVING + "image", "octet:latest", "octet runs octet:latest, which the Dockerfile does not build"),
    ("Deployment", SERVING + "env", [{"name": "OCTET_PROT", "value": "1"}], "OCTET_PROT is no setting"),
    ("Deployment", POD + "enableServiceLinks", None, "gets variables of a service that look like settings"),
]


def broken(kind: str, way: str, value: Any) -> list[Object]:
    """The overlay `keda`, or `base` for the autoscaler that it takes away, with one thing changed."""
    objects = deepcopy(BASE if kind == "HorizontalPodAutoscaler" else KEDA)
    (below,) = [one for one in objects if one["kind"] == kind]
    *path, last = (int(key) if key.isdigit() else key for key in way.split())
    for key in path:
        below = below[key]
    if value is None:
        del below[last]
    else:
        below[last] = value
    return objects


@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda folder: folder.name)
def test_the_objects_of_a_kustomization_fit_each_other(folder: Path) -> None:
    assert faults(composed(folder)) == []


@pytest.mark.parametrize(("kind", "way", "value", "told"), BROKEN, ids=[f"{one[0]}-{one[1]}" for one in BROKEN])
def test_a_fault_is_found(kind: str, way: str, value: Any, told: str) -> None:
    assert [fault for fault in faults(broken(kind, way, value)) if told in fault]


def test_every_rule_is_seen_broken() -> None:
    seen = {rule for kind, way, value, _ in BROKEN for rule in RULES if list(rule(broken(kind, way, value)))}
    assert seen == set(RULES)


def test_there_is_a_base_and_three_overlays() -> None:
    assert {folder.name for folder in KUSTOMIZATIONS} == {"base", "monitoring", "keda", "gpu"}


def test_each_file_is_part_of_a_kustomization() -> None:
    for folder in KUSTOMIZATIONS:
        (made,) = yaml.safe_load_all((folder / "kustomization.yaml").read_text("utf-8"))
        here = {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert here == {name for name in made["resources"] if name.endswith(".yaml")}


@pytest.mark.parametrize(
    "change",
    [
        {"resources": ["none.yaml"]},
        {"patches": [{"patch": "{kind: Service, metadata: {name: octett}}"}]},
        {"images": [{"name": "octett", "newTag": "gpu"}]},
        {"replicas": [{"name": "octet", "count": 3}]},  # not understood here, so not checked either
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_kustomization_names_must_be_there(tmp_path: Path, change: Object) -> None:
    folder = shutil.copytree(KUBERNETES / "base", tmp_path / "base")
    assert composed(folder) == BASE
    file = folder / "kustomization.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text("utf-8")) | change), "utf-8")
    with pytest.raises((OSError, ValueError, AssertionError)):
        composed(folder)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed: no Debian package has a recent one")
@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda folder: folder.name)
def test_kubectl_makes_the_same_of_it(folder: Path) -> None:
    told = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, check=True, timeout=60).stdout
    rendered = {name_of(one): one for one in yaml.safe_load_all(told)}
    assert rendered == {name_of(one): one for one in composed(folder)}

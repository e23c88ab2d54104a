"""What the base's containers run, run here: the model is published and served, and answers what the cluster asks."""

import os
import re
import subprocess
from pathlib import Path

from tests.kubernetes.kustomizations import KUBERNETES, ROOT, composed
from tests.kubernetes.pods import containers, deployments, of_kind, serving
from tests.service.process import OCTET, Octet

OBJECTS = composed(KUBERNETES / "overlays" / "monitoring")
(DEPLOYMENT,) = deployments(OBJECTS)
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def test_the_pod_publishes_serves_and_answers_its_probes(tmp_path: Path) -> None:
    publish, serve = containers(DEPLOYMENT)
    ((source, target),) = re.findall(r"^COPY .* (\S+)/metadata.json (\S+)/$", DOCKERFILE, re.MULTILINE)
    words = [word.replace(target, str(ROOT / source)) for word in publish["args"]]
    kept = {key: text for key, text in os.environ.items() if not key.startswith("OCTET_")}
    store = tmp_path / "store"
    subprocess.run([OCTET, *words], env=kept | {"OCTET_STORE": str(store)}, check=True, timeout=60)
    assert serve["args"] == ["serve"]
    with Octet(tmp_path, store) as octet:
        for probe in ("readinessProbe", "livenessProbe"):
            assert octet.get(serving(DEPLOYMENT)[probe]["httpGet"]["path"]).status_code == 200
        (monitor,) = of_kind(OBJECTS, "ServiceMonitor")
        assert "octet_ready 1.0" in octet.get(monitor["spec"]["endpoints"][0]["path"]).text
        assert octet.rows("digits/labels/stable", [[[[0.0] * 8] * 8]])

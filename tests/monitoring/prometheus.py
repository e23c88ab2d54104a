"""A real Prometheus on a free port of loopback, with the rules of deploy/."""

import json
import math
import re
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from tests.service.process import eventually
from tests.service.wire import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
DEPLOYED = ROOT / "deploy" / "prometheus"
SCRAPE_SECONDS = 1


def configuration(target: str) -> dict[str, Any]:
    """The one that is deployed, but that the server is named instead of found by DNS, and asked more often."""
    config: dict[str, Any] = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text("utf-8"))
    every = f"{SCRAPE_SECONDS}s"
    config["global"] |= {"scrape_interval": every, "evaluation_interval": every}
    config["rule_files"] = [str(DEPLOYED / pattern) for pattern in config["rule_files"]]
    (job,) = config["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [target]}]
    return config


class Prometheus:
    """One that scrapes `target`, "host:port"; gone at the end of the `with`."""

    def __init__(self, folder: Path, target: str, *flags: str) -> None:
        config, self._log = folder / "prometheus.json", folder / "prometheus.log"
        config.write_text(json.dumps(configuration(target)), "utf-8")  # JSON is YAML
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'series'}",
                    "--web.listen-address=127.0.0.1:0",
                    *flags,
                ],
                stdout=log,
                stderr=log,
            )
        self._held = ExitStack()
        self._held.callback(self._end)
        try:
            self.url = eventually(self._where_it_listens, "Prometheus listens")
        except BaseException:
            self._end()
            raise
        self.client = self._held.enter_context(httpx.Client(base_url=self.url, timeout=PATIENCE_SECONDS))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._held.close()

    def ask(self, expr: str) -> list[dict[str, str]]:
        """The labels of every series that the expression has a number for now."""
        found = self._get("/query", query=expr)["result"]
        return [one["metric"] for one in found if not math.isnan(float(one["value"][1]))]

    def label_values(self, label: str, series: str) -> list[str]:
        """What Grafana's label_values() gives."""
        values: list[str] = self._get(f"/label/{label}/values", **{"match[]": series})
        return values

    def exemplars(self, series: str) -> list[dict[str, Any]]:
        """Those of the last minutes: labels, value and timestamp."""
        now = time.time()
        found = self._get("/query_exemplars", query=series, start=str(now - 600), end=str(now + 600))
        return [exemplar for one in found for exemplar in one["exemplars"]]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, as it was evaluated last."""
        return [rule for group in self._get("/rules")["groups"] for rule in group["rules"]]

    def _get(self, path: str, **asked: str) -> Any:
        answer = self.client.get(f"/api/v1{path}", params=asked)
        assert answer.status_code == 200, f"{asked}: {answer.text}"
        return answer.json()["data"]

    def _where_it_listens(self) -> str | None:
        log = self._log.read_text("utf-8")
        assert self.process.poll() is None, log
        found = re.search(r'msg="Listening on" address=(?:\[::\]|127\.0\.0\.1):(\d+)', log)
        return f"http://127.0.0.1:{found[1]}" if found and "Server is ready" in log else None

    def _end(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

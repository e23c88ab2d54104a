"""Drives a server with `wrk`: one thread, N connections, prebuilt bodies in turn."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """
local requests, turn = {}, 0
function init(args)
  for number, path in ipairs(args) do
    local file = io.open(path, "rb")
    local headers = {["Content-Type"] = "application/json"}
    local json_bytes = path:match("%.(%d+)%.binary$")
    if json_bytes then
      headers = {["Content-Type"] = "application/octet-stream", ["Inference-Header-Content-Length"] = json_bytes}
    end
    requests[number] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
function done(summary, latency, _)
  local bad = summary.errors
  io.write(string.format('\\nRESULT {"requests": %d, "seconds": %f, "refused": %d, "broken": %d, '
    .. '"p50_ms": %f, "p99_ms": %f, "worst_ms": %f}\\n',
    summary.requests, summary.duration / 1e6, bad.status, bad.connect + bad.read + bad.write + bad.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one round of `wrk` saw. `refused` counts answers that were not 2xx, `broken` connections that failed."""

    requests: int
    seconds: float
    refused: int
    broken: int
    p50_ms: float
    p99_ms: float
    worst_ms: float

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def write_bodies(folder: Path, name: str, bodies: Sequence[bytes], json_bytes: int | None = None) -> list[Path]:
    """One file a body, for `drive`. Of a binary body the file's name says how many bytes are JSON, as a header will."""
    kind = "json" if json_bytes is None else f"{json_bytes}.binary"
    paths = [folder / f"{name}-{number}.{kind}" for number in range(len(bodies))]
    for path, body in zip(paths, bodies, strict=True):
        path.write_bytes(body)
    return paths


def command(url: str, bodies: Sequence[Path], connections: int, seconds: int) -> list[str]:
    """The command line of one round."""
    script = bodies[0].with_name("round.lua")
    script.write_text(SCRIPT, "utf-8")
    how = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", str(script)]
    return ["wrk", *how, url, "--", *map(str, bodies)]


def drive(url: str, bodies: Sequence[Path], connections: int, seconds: int) -> Load:
    """One round. An answer that is not 2xx or a broken connection ends the benchmark: it would measure errors."""
    done = subprocess.run(command(url, bodies, connections, seconds), check=True, capture_output=True, text=True)
    load = parse(done.stdout)
    if load.refused or load.broken or not load.requests:
        raise RuntimeError(f"{url} did not answer every request: {load}")
    return load


def parse(output: str) -> Load:
    """What SCRIPT printed at the end of a round."""
    (line,) = (line for line in output.splitlines() if line.startswith("RESULT "))
    return Load(**json.loads(line.removeprefix("RESULT ")))

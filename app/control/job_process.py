"""The process of a job: `octet quantize` at the lowest priority, in a process group that ends with the server."""

import asyncio
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.control.job_records import Job
from app.control.job_rows import files_of

_LONGEST_LINE_BYTES = 1 << 20
_LINES_TOLD = 20


class JobFailed(Exception):
    """The process ended without a result. The message is what it said last."""


def command(job: Job, store: Path, rows: Path) -> list[str]:
    """The command line of a job. Values stand behind a `=`, so that none is taken for an option. As `files_of`."""
    wish = job.wish
    limits = {key: f"{wish[key]:.9f}" for key in ("max_drop", "min_speedup")}  # the command takes no 1e-05
    options = [*files_of(wish, rows), *limits.items(), ("seed", wish["seed"]), ("store", store.absolute())]
    options += [("image", wish["image"])] if wish["image"] is not None else []
    options += [("recipe", name) for name in wish["recipes"]]
    options += [("exclude", name) for name in wish["exclude"]]
    flags = ["--exclude-auto"] if wish["exclude_auto"] else []
    return [
        *(sys.executable, "-P", "-m", "app.cli.as_job", "quantize", f"{job.model}@{job.version}", "--json"),
        *("--progress-lines", *flags, *(f"--{key.replace('_', '-')}={value}" for key, value in options)),
    ]


async def run(words: Sequence[str], folder: Path, told: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    """The reports that it prints; `told` is called with each step of its progress. Raises JobFailed.

    Temporary files go into `folder`. Cancelled, it kills the whole process group and waits for the end of the process.
    """
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,  # never written to: it closes with the server, which `as_job` waits for
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(folder)},
        limit=_LONGEST_LINE_BYTES,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        printed, last = await asyncio.gather(process.stdout.read(), _follow(process.stderr, told))
        code = await process.wait()
    finally:
        with suppress(ProcessLookupError):  # the last of the group is gone already, or there is none yet
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if code:
        raise JobFailed(_why(code, last))
    return [_summary(one) for one in json.loads(printed)]


def _why(code: int, last: str) -> str:
    """What a process that failed said last. One that was killed could say nothing of it."""
    if code == -signal.SIGKILL:
        return "its process was killed (SIGKILL), as the system does when memory runs out: see the system's log"
    if code < 0:
        return f"its process was ended by signal {-code}: {signal.strsignal(-code)}. {last}"
    return last.removeprefix("octet: ") or f"the process ended with {code}"


async def _follow(lines: asyncio.StreamReader, told: Callable[[dict[str, Any]], None]) -> str:
    """Hand on what is progress; gives the last lines of what is not."""
    others: deque[str] = deque(maxlen=_LINES_TOLD)
    async for line in lines:
        try:
            step = json.loads(line)
        except ValueError:
            step = None
        if isinstance(step, dict):
            told(step)
        elif text := line.decode(errors="replace").strip():
            others.append(text)
    return "\n".join(others)


def _summary(tried: dict[str, Any]) -> dict[str, Any]:
    """What a client wants to know first; the whole report is in the store."""
    report = tried["report"]
    if report is None:
        return {"recipe": tried["recipe"], "why_not": tried["why_not"]}
    quality, speed = report["quality"], report["speed"]
    return {
        "recipe": tried["recipe"],
        "variant": report["variant"],
        "engine": report["engine"],
        "bytes": report["bytes"],
        "metric": quality["metric"],
        "value": quality["variant"],
        "drop": quality["drop"]["estimate"],
        "drop_at_most": quality["drop"]["high"],
        "batch_1_ratio": speed["batch_1_ratio"],
        "throughput_ratio": speed["throughput_ratio"],
        "passed": report["verdict"]["passed"],
        "reasons": report["verdict"]["reasons"],
    }

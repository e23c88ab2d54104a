"""Triton's statistics document, from what the server counts anyway: requests of every protocol are in it.

Source: `extension_statistics` in triton-inference-server/server. perf_analyzer reads every field unchecked.
"""

import time
from collections.abc import Iterable
from typing import Any

from app.metrics import Tally
from app.serving.servable import Servable

_OK = 200


def statistics(servables: Iterable[Servable]) -> dict[str, Any]:
    """What happened to the requests of these servables since the server started; all numbers are whole."""
    return {"model_stats": [_of_servable(servable) for servable in servables]}


def statistics_as_asked(servable: Servable, version: str) -> dict[str, Any]:
    """Those of the version that a URL names, under the name that it has there.

    perf_analyzer that was told to measure version `1` fails unless it finds a `1`; the whole stands beside it then.
    """
    stats = _of_servable(servable)
    if version != stats["version"]:
        stats |= {"version": version, "semver": stats["version"]}
    return {"model_stats": [stats]}


def _of_servable(servable: Servable) -> dict[str, Any]:
    identity, tally = servable.identity, servable.tally
    by_rows = tally.batches.by_rows()
    return {
        "name": identity.model,
        "version": identity.version,
        "last_inference": _epoch_milliseconds(tally.answered_at),
        "inference_count": tally.rows,
        "execution_count": sum(count for count, _ in by_rows.values()),
        "inference_stats": inference_stats(tally),
        "response_stats": {},
        "batch_stats": [_of_batches(rows, count, seconds) for rows, (count, seconds) in by_rows.items()],
        "memory_usage": [],
    }


def inference_stats(tally: Tally) -> dict[str, dict[str, int]]:
    """How many requests, and how long they took in all, by what was done with them.

    A successful request waits in the queue for no time at least, so all of these but `fail` count it.
    """
    success = tally.requests.get(_OK, 0)
    failed = sum(tally.requests.values()) - success
    seconds = tally.duration.total - tally.failed_seconds
    queue, compute = tally.queue.total, tally.compute.total
    return {
        "success": _duration(success, seconds),
        "fail": _duration(failed, tally.failed_seconds),
        "queue": _duration(success, queue),
        "compute_input": _duration(success, tally.input_seconds),
        "compute_infer": _duration(success, compute),
        "compute_output": _duration(success, seconds - tally.input_seconds - queue - compute),
        "cache_hit": _duration(0, 0),
        "cache_miss": _duration(0, 0),
    }


def _of_batches(rows: int, count: int, seconds: float) -> dict[str, Any]:
    """Joining and splitting rows is not measured apart from the run."""
    return {
        "batch_size": rows,
        "compute_input": _duration(count, 0),
        "compute_infer": _duration(count, seconds),
        "compute_output": _duration(count, 0),
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": max(0, round(seconds * 1e9))}


def _epoch_milliseconds(moment: float | None) -> int:
    """A moment of perf_counter's clock as wall time; 0 for never."""
    return 0 if moment is None else round((time.time() - (time.perf_counter() - moment)) * 1000)

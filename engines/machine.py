"""What machine this is: which cores may be used, and a fingerprint for what was measured here."""

import hashlib
import json
import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Instruction sets that decide which kernels run, and so which variant is fast.
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_int8", "amx_bf16")
_ENGINES = ("onnxruntime", "onnxruntime-gpu", "openvino", "ai-edge-litert", "tensorrt", "tensorrt-rtx")
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
SHARE_VARIABLE = "OCTET_CORES"
"""The variable by which a supervisor tells a process, and those that it starts, how many cores are its share."""
_CPUINFO = Path("/proc/cpuinfo")
_GPUS = Path("/proc/driver/nvidia/gpus")


def usable_cores() -> int:
    """Cores this process may really use: the least of its affinity, its cgroup's quota and its share of them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = os.environ.get(SHARE_VARIABLE)
    bounds = (cores, _quota(_read(_CGROUP_QUOTA)), None if share is None else int(share))
    return max(1, min(bound for bound in bounds if bound is not None))


def describe() -> dict[str, Any]:
    """What measurements depend on: CPU, its instruction sets, usable cores, GPUs, the installed engines' versions."""
    fields = _fields(_read(_CPUINFO))
    flags = fields.get("flags", "").split()
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        **_gpus(),
        **_engine_versions(),
    }


def has_vnni() -> bool:
    """Whether products of 8 bits are summed in 32: else pairs of them saturate at 16."""
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(describe()["flags"])


def has_bf16() -> bool:
    """Whether there are instructions that multiply BF16."""
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(describe()["flags"])


def fingerprint() -> str:
    """Sixteen hex digits that change with anything in `describe`."""
    return hashlib.sha256(json.dumps(describe(), sort_keys=True).encode()).hexdigest()[:16]


def _engine_versions() -> dict[str, str]:
    versions = {}
    for engine in _ENGINES:
        with suppress(PackageNotFoundError):
            versions[engine] = version(engine)
    return versions


def _gpus() -> dict[str, list[str]]:
    """What NVIDIA's driver says of each; nothing where there is none, so that a fingerprint stays as it was."""
    models = [_fields(_read(path)).get("Model", "") for path in sorted(_GPUS.glob("*/information"))]
    return {"gpus": models} if models else {}


def _quota(text: str) -> int | None:
    """Whole cores of a cgroup v2 `cpu.max`, `200000 100000` being two; None without a limit."""
    quota, _, period = text.partition(" ")
    return int(quota) // int(period) if quota.isdigit() and period.strip().isdigit() else None


def _fields(text: str) -> dict[str, str]:
    """The first block of a file as in /proc: the first processor's of cpuinfo."""
    pairs = (line.partition(":") for line in text.split("\n\n", maxsplit=1)[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

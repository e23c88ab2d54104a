"""The Docker engine that answers here, asked by its command line; and the compose command that there is."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).parents[2]
DIGITS = str(PurePosixPath("/", "opt", "octet", "digits"))
"""Where the image has the digits model."""
_STEP = re.compile(r"^ ---> ([0-9a-f]{12})$", re.MULTILINE)
"""What the older builder prints of each image that it makes on its way; the newer one makes none."""


def ran(*words: str, env: Mapping[str, str] | None = None, seconds: float = 600) -> str:
    """What the command prints; asserts that it succeeds."""
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def docker(*words: str) -> str:
    return ran("docker", *words)


def why_no_engine() -> str | None:
    """Why no engine can be asked; None where one answers."""
    if shutil.which("docker") is None:
        return "the command docker is not installed"
    done = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False, timeout=60)
    return None if done.returncode == 0 else (done.stderr or done.stdout).strip().splitlines()[-1]


@cache
def compose() -> tuple[str, ...]:
    """`docker compose` where Docker has it, else `docker-compose`."""
    plugin = ("docker", "compose")
    has_plugin = shutil.which("docker") and subprocess.run([*plugin, "version"], capture_output=True, check=False)
    return plugin if has_plugin and has_plugin.returncode == 0 else ("docker-compose",)


def inspect(name: str) -> dict[str, Any]:
    """All that the engine tells of an image, a container or a volume."""
    (found,) = json.loads(docker("inspect", name))
    return dict(found)


def logged(container: str) -> str:
    """Both streams of its log."""
    done = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def is_to_be_had(image: str) -> bool:
    """Whether the engine has this image, or can pull it."""
    for words in (["image", "inspect"], ["pull", "--quiet"]):
        if subprocess.run(["docker", *words, image], capture_output=True, check=False).returncode == 0:
            return True
    return False


def build(tag: str, *words: str) -> set[str]:
    """Build an image; gives the ids of all that were made for it, which are to be removed with it."""
    before = set(docker("images", "--all", "--quiet").split())
    told = docker("build", "--network", "host", "--tag", tag, *words)
    return set(_STEP.findall(told)) - before


def remove(tag: str, made: set[str]) -> None:
    """Remove an image and what was made for it, as far as nothing else needs that."""
    subprocess.run(["docker", "rmi", "--force", tag, *made], capture_output=True, check=False)

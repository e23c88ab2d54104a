"""A fake has no name that the real one has not: else what runs on it would not run on a GPU."""

import json
import subprocess
from inspect import isclass, isfunction
from types import ModuleType

import pytest

from engines.elsewhere import python_of
from tests.fakes.fake_gpu import fake_gpu

SCRIPT = """
import json, sys
from importlib import import_module
found = []
for name in json.load(sys.stdin):
    module, *path = name.split(" ")
    there = import_module(module)
    for part in path:
        there = getattr(there, part, None)
    if there is not None:
        found.append(name)
print(json.dumps(found))
"""
# What tests break and look at, and what the fakes call of each other.
OURS = {
    "cuda.bindings.runtime": {"Device", "Failed", "Stream", "block", "capturing", "enqueue", "note"},
    "pynvml": set(),
    "tensorrt": set(),
}


def names_of(module: ModuleType) -> set[str]:
    """`module`, then a function, or a class and its public part."""
    names = set()
    for name, what in vars(module).items():
        if isfunction(what) and what.__module__ == module.__name__ and name[0] != "_":
            names.add(f"{module.__name__} {name}")
        if isclass(what) and name[0] != "_" and what.__module__.startswith(module.__name__):
            names |= {f"{module.__name__} {name} {part}" for part in vars(what) if part[0] != "_"}
    return {name for name in names if name.split(" ")[1] not in OURS[module.__name__]}


@pytest.fixture(scope="module")
def fakes() -> set[str]:
    with fake_gpu():
        import pynvml
        import tensorrt
        from cuda.bindings import runtime

        return names_of(runtime) | names_of(tensorrt) | names_of(pynvml)


def test_every_name_is_that_of_a_real_one(fakes: set[str]) -> None:
    python = python_of("tensorrt")
    asked = sorted(name.replace("tensorrt ", "tensorrt_rtx ") for name in fakes)
    assert len(asked) > 40
    done = subprocess.run([python, "-c", SCRIPT], input=json.dumps(asked), capture_output=True, text=True, check=True)
    assert sorted(set(asked) - set(json.loads(done.stdout))) == []

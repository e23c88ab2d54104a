"""Which TensorRT is taken."""

from collections.abc import Callable

import pytest

from engines.errors import LoadError
from engines.tensorrt import module
from engines.tensorrt.module import RTX, WHOLE, load_module

Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Let these modules, and no others, be there."""

    class Api:
        def __init__(self, name: str) -> None:
            self.__version__ = f"{name} 1"

    def installed(*names: str) -> None:
        monkeypatch.setattr(module, "find_spec", lambda name: name if name in names else None)
        monkeypatch.setattr(module, "import_module", Api)

    return installed


@pytest.mark.parametrize(
    ("names", "has_device", "taken"),
    [
        ((WHOLE,), True, WHOLE),
        ((RTX,), True, RTX),
        ((WHOLE, RTX), True, WHOLE),
        ((RTX,), False, RTX),
        ((WHOLE, RTX), False, RTX),
    ],
)
def test_the_whole_one_is_taken_where_there_is_a_device(
    names: tuple[str, ...], has_device: bool, taken: str, install: Install
) -> None:
    install(*names)
    found = load_module(has_device=has_device)
    assert (found.name, found.version) == (taken, f"{taken} 1")


def test_without_a_device_the_whole_one_is_not_touched(install: Install) -> None:
    install(WHOLE)
    with pytest.raises(LoadError, match="only where there is an NVIDIA GPU; without one, install tensorrt-rtx"):
        load_module(has_device=False)


def test_where_there_is_none_the_page_is_named(install: Install) -> None:
    install()
    with pytest.raises(LoadError, match=r"neither tensorrt nor tensorrt_rtx is installed; docs/tensorrt.md"):
        load_module(has_device=True)


def test_one_that_is_there_and_broken_is_told_of(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise OSError("libnvinfer.so.11: cannot open shared object file")

    install(WHOLE)
    monkeypatch.setattr(module, "import_module", broken)
    with pytest.raises(LoadError, match=r"tensorrt is installed but cannot be imported: libnvinfer.so.11"):
        load_module(has_device=True)

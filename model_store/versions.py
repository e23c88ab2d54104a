"""SemVer: which version is meant, which is higher, which came before. Pure functions."""

import re
from collections.abc import Iterable

from semver import Version

from model_store.errors import InvalidVersion

_PREFIX = re.compile(r"(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*))?")
_MOST_CHARACTERS = 128


def parse(text: str) -> Version:
    """`1.2.3` or `1.2.3-rc.1`. Raises InvalidVersion, also for build metadata, which has no place in an order."""
    try:
        version = Version.parse(text)
    except ValueError:
        version = None
    if version is None or len(text) > _MOST_CHARACTERS or not text.isascii():
        raise InvalidVersion(f"{text!r} is not a version: MAJOR.MINOR.PATCH was expected, such as 1.2.3 or 2.0.0-rc.1.")
    if version.build is not None:
        raise InvalidVersion(
            f"version {text!r} has build metadata (+{version.build}), which SemVer leaves out of the order. "
            f"Publish as {version.replace(build=None)} or under a number of its own."
        )
    return version


def is_exact(text: str) -> bool:
    """Whether `text` names one version (`1.2.3`), not a prefix (`1`, `1.2`). Raises InvalidVersion for all else."""
    if _PREFIX.fullmatch(text):
        return False
    try:
        parse(text)
    except InvalidVersion as error:
        raise InvalidVersion(f"{error} A prefix, 1 or 1.2, means its highest released version.") from None
    return True


def highest_released(versions: Iterable[str], prefix: str | None = None) -> str | None:
    """The highest one that is no pre-release and lies under `prefix` (`1` or `1.2`), or None."""
    wanted = () if prefix is None else tuple(int(part) for part in prefix.split("."))
    released = (v for v in map(parse, versions) if v.prerelease is None and _numbers(v)[: len(wanted)] == wanted)
    best = max(released, default=None)
    return None if best is None else str(best)


def predecessor(versions: Iterable[str], version: str) -> str | None:
    """The highest released version below `version`, or None."""
    return highest_released(v for v in versions if parse(v) < parse(version))


def keeps_contract(before: str, after: str) -> bool:
    """Whether the step is a PATCH or a MINOR, which promise that clients of `before` go on working."""
    return parse(before).major == parse(after).major


def ascending(versions: Iterable[str]) -> list[str]:
    """In SemVer order: 9.0.0 before 10.0.0-rc.1 before 10.0.0."""
    return sorted(versions, key=parse)


def _numbers(version: Version) -> tuple[int, int, int]:
    return version.major, version.minor, version.patch

"""Files in /dev/shm, as shm_open makes them, that are gone in the end."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

SHM = Path("/dev/shm")  # noqa: S108


@contextmanager
def posix_memory(content: bytes) -> Iterator[Path]:
    """A file with this content. Its name is the key of the memory."""
    path = SHM / f"octet-test-{token_hex(8)}"
    path.write_bytes(content)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def open_memory(process: int | str = "self") -> list[str]:
    """Such files that a process holds open, unlinked or not: a path for each descriptor."""
    targets: list[str] = []
    for link in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            targets.append(str(link.readlink()).removesuffix(" (deleted)"))
    return [target for target in targets if target.startswith(f"{SHM}/octet-test-")]

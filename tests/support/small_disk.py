"""A small disk that a test can fill and empty: a tmpfs of its own, which takes the right to mount one."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, final

MIB: Final = 1024 * 1024
_libc: Final = ctypes.CDLL(None, use_errno=True)
_MNT_DETACH: Final = 2
_MS_RDONLY: Final = 1


@final
class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @property
    def free_bytes(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, leave_bytes: int = 0) -> None:
        """Take all but so many bytes."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while (left := self.free_bytes - leave_bytes) > 0:
                file.write(b"\0" * min(left, MIB))

    def empty(self) -> None:
        """Give the space back."""
        self._ballast.unlink()


def can_mount() -> bool:
    """Whether this process may mount; root in some containers may not."""
    return (
        os.geteuid() == 0
        and "CapEff:\t" in (status := Path("/proc/self/status").read_text())
        and bool(int(status.partition("CapEff:\t")[2].split()[0], 16) & (1 << 21))
    )


@contextlib.contextmanager
def small_disk(place: Path, size_bytes: int, *, is_read_only: bool = False) -> Iterator[SmallDisk]:
    """Mount it at `place`; unmounted at the end whoever still uses it. Raises OSError."""
    place.mkdir(mode=0o700)
    options = f"size={size_bytes},mode=700".encode()
    flags = _MS_RDONLY if is_read_only else 0
    if _libc.mount(b"none", os.fsencode(place), b"tmpfs", flags, options) != 0:
        raise OSError(ctypes.get_errno(), "mount", str(place))
    try:
        yield SmallDisk(place)
    finally:
        _libc.umount2(os.fsencode(place), _MNT_DETACH)

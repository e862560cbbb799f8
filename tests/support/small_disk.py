"""A disk that a test can fill and empty: a small tmpfs, or, without the right to mount, a part of the real one.

The part is a gibibyte or so above the level that the broker is told to leave free; nothing really gets full then, so
what a truly full disk does to a write is not simulated.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, final

MIB: Final = 1024 * 1024
_libc: Final = ctypes.CDLL(None, use_errno=True)
_MNT_DETACH: Final = 2
_MS_RDONLY: Final = 1


@final
class SmallDisk:
    """A directory. A broker in it is to leave `low_bytes` free; `fill` leaves `full_bytes`."""

    def __init__(self, path: Path, low_bytes: int, full_bytes: int) -> None:
        self.path = path
        self.low_bytes = low_bytes
        self._full_bytes = full_bytes
        self._ballast = path / "ballast"

    @property
    def free_bytes(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self) -> None:
        """Take what may be taken."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            left = self.free_bytes - self._full_bytes
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, max(left, 1))
            while (left := self.free_bytes - self._full_bytes) > 0:
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
def disk_to_fill(place: Path) -> Iterator[SmallDisk]:
    """One of 64 MiB where it can be mounted, and otherwise an ordinary directory of which less is let be used."""
    if can_mount():
        with mounted(place, 64 * MIB):
            yield SmallDisk(place, 8 * MIB, 4 * MIB)
        return
    place.mkdir(mode=0o700)
    lock = os.open(tempfile.gettempdir(), os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # One test at a time; the others would move the level.
        free_bytes = SmallDisk(place, 0, 0).free_bytes
        # Everybody else writes to this disk meanwhile: wide margins on both sides of the level.
        margin = min(1024 * MIB, free_bytes // 4)
        yield SmallDisk(place, free_bytes - margin, free_bytes - 2 * margin)
    finally:
        (place / "ballast").unlink(missing_ok=True)
        os.close(lock)


@contextlib.contextmanager
def mounted(place: Path, size_bytes: int, *, is_read_only: bool = False) -> Iterator[None]:
    """Mount a tmpfs at `place`; unmounted at the end whoever still uses it. Raises OSError."""
    place.mkdir(mode=0o700)
    options = f"size={size_bytes},mode=700".encode()
    flags = _MS_RDONLY if is_read_only else 0
    if _libc.mount(b"none", os.fsencode(place), b"tmpfs", flags, options) != 0:
        raise OSError(ctypes.get_errno(), "mount", str(place))
    try:
        yield
    finally:
        _libc.umount2(os.fsencode(place), _MNT_DETACH)

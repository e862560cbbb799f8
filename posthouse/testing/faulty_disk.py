"""A disk that fails, dies or waits at a named step, in front of the real one.

It decides nothing: it says where it is, and whoever listens raises, kills or returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, final

from posthouse.supervisor.disk import Buffer, RealDisk
from posthouse.testing.failpoints import Point


class Reach(Protocol):
    """Told where the disk is. Calls `first` if something strikes there, before it does."""

    def __call__(self, point: Point, first: Callable[[], None] = ..., /) -> None: ...


@final
class FaultyDisk:
    """A `Disk`. `reach` is called at every step; an OSError it raises is the disk's own."""

    def __init__(self, reach: Reach) -> None:
        self._disk = RealDisk()
        self._reach = reach

    def create(self, path: str) -> int:
        self._reach(Point.CREATE_BEFORE)
        handle = self._disk.create(path)
        self._reach(Point.CREATE_AFTER)
        return handle

    def open(self, path: str, *, writable: bool = False) -> int:
        return self._disk.open(path, writable=writable)

    def close(self, handle: int) -> None:
        self._disk.close(handle)

    def pwritev(self, handle: int, buffers: Sequence[Buffer], offset: int) -> int:
        self._reach(Point.WRITE_BEFORE)

        def write_half() -> None:
            whole = b"".join(buffers)
            self._disk.pwritev(handle, [whole[: len(whole) // 2]], offset)

        self._reach(Point.WRITE_TORN, write_half)
        written = self._disk.pwritev(handle, buffers, offset)
        self._reach(Point.WRITE_AFTER)
        return written

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        data = self._disk.pread(handle, size, offset)
        self._reach(Point.READ)
        return data

    def fdatasync(self, handle: int) -> None:
        self._reach(Point.SYNC_BEFORE)
        self._disk.fdatasync(handle)
        self._reach(Point.SYNC_AFTER)

    def fsync(self, handle: int) -> None:
        self._reach(Point.SYNC_BEFORE)
        self._disk.fsync(handle)
        self._reach(Point.SYNC_AFTER)

    def fsync_dir(self, path: str) -> None:
        self._reach(Point.DIRECTORY_BEFORE)
        self._disk.fsync_dir(path)
        self._reach(Point.DIRECTORY_AFTER)

    def ftruncate(self, handle: int, size: int) -> None:
        self._reach(Point.TRUNCATE_BEFORE)
        self._disk.ftruncate(handle, size)
        self._reach(Point.TRUNCATE_AFTER)

    def fallocate(self, handle: int, offset: int, length: int) -> None:
        self._disk.fallocate(handle, offset, length)

    def size(self, handle: int) -> int:
        return self._disk.size(handle)

    def rename(self, source: str, target: str) -> None:
        self._reach(Point.RENAME_BEFORE)
        self._disk.rename(source, target)
        self._reach(Point.RENAME_AFTER)

    def unlink(self, path: str) -> None:
        self._reach(Point.UNLINK_BEFORE)
        self._disk.unlink(path)
        self._reach(Point.UNLINK_AFTER)

    def listdir(self, path: str) -> list[str]:
        return self._disk.listdir(path)

    def mkdir(self, path: str) -> None:
        self._disk.mkdir(path)

    def exists(self, path: str) -> bool:
        return self._disk.exists(path)

    def lock(self, path: str) -> int:
        return self._disk.lock(path)

    def unlock(self, handle: int) -> None:
        self._disk.unlock(handle)

    def lock_holder(self, path: str) -> int:
        return self._disk.lock_holder(path)

    def free_bytes(self, path: str) -> int:
        return self._disk.free_bytes(path)

    def random_bytes(self, count: int) -> bytes:
        return self._disk.random_bytes(count)

    def monotonic_ns(self) -> int:
        return self._disk.monotonic_ns()

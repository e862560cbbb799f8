"""The disk as the journal sees it: a protocol of some twenty calls, and the real one.

Everything a journal does to storage goes through `Disk`, so that a simulated disk can cut the power between
any two of these calls. `RealDisk` is the one place of the whole program that calls fsync or fdatasync. It
promises that every file is private (0600, directories 0700), closed on exec, and never reached through a
symbolic link. It knows nothing of journals. All calls raise `OSError`; only callers know what it means.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import time
from collections.abc import Sequence
from typing import Protocol, final

Buffer = bytes | bytearray | memoryview

IOVECS_MAX = 1024
"""What Linux, the BSDs and macOS accept in one vectored write."""


class Disk(Protocol):
    """Storage. Handles are small integers; paths are absolute; a handle opened by one disk belongs to it."""

    def create(self, path: str) -> int:
        """A new or emptied file, open for reading and writing. Durable only after `fsync` and `fsync_dir`."""

    def open(self, path: str, *, writable: bool = False) -> int:
        """An existing file."""

    def close(self, handle: int) -> None: ...

    def pwritev(self, handle: int, buffers: Sequence[Buffer], offset: int) -> int:
        """Write at `offset`; returns how many bytes were taken, which may be fewer than were given."""

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        """Up to `size` bytes; fewer only at the end of the file."""

    def fdatasync(self, handle: int) -> None:
        """Returns when the file's bytes and its length are on stable storage."""

    def fsync(self, handle: int) -> None: ...

    def fsync_dir(self, path: str) -> None:
        """Returns when creations, renames and removals in that directory are on stable storage."""

    def ftruncate(self, handle: int, size: int) -> None: ...

    def fallocate(self, handle: int, offset: int, length: int) -> None:
        """Reserve blocks, growing the file with zeros. Where the system cannot, nothing happens."""

    def size(self, handle: int) -> int: ...

    def rename(self, source: str, target: str) -> None: ...

    def unlink(self, path: str) -> None: ...

    def listdir(self, path: str) -> list[str]: ...

    def mkdir(self, path: str) -> None: ...

    def exists(self, path: str) -> bool: ...

    def lock(self, path: str) -> int:
        """Take an exclusive lock that dies with this process; `BlockingIOError` when it is held."""

    def unlock(self, handle: int) -> None: ...

    def lock_holder(self, path: str) -> int:
        """The process id that holds the lock, 0 when nobody does. Takes and releases nothing."""

    def free_bytes(self, path: str) -> int:
        """What an unprivileged process may still write on the file system that holds `path`."""

    def random_bytes(self, count: int) -> bytes: ...

    def monotonic_ns(self) -> int: ...


def write_fully(disk: Disk, handle: int, buffers: Sequence[Buffer], offset: int) -> int:
    """Write all of `buffers` at `offset` and return their total length.

    Short writes are normal (a full disk, a resource limit, a signal), so the rest is offered again until an
    error says why it was short.
    """
    total = sum(map(len, buffers))
    written = disk.pwritev(handle, buffers, offset)
    if written == total:
        return total
    rest = [memoryview(buffer) for buffer in buffers]
    first = 0
    done = 0
    while True:
        if written <= 0:
            raise OSError(errno.EIO, "a write made no progress")
        done += written
        if done == total:
            return total
        while written >= len(rest[first]):
            written -= len(rest[first])
            first += 1
        rest[first] = rest[first][written:]
        written = disk.pwritev(handle, rest[first : first + IOVECS_MAX], offset + done)


def is_full(fault: OSError) -> bool:
    """Whether the fault says that there is no room, which is no damage and passes."""
    return fault.errno in (errno.ENOSPC, errno.EDQUOT)


_DARWIN = sys.platform == "darwin"
_FLOCK = struct.Struct("@qqihh" if _DARWIN else "@hhqqi4x")
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


@final
class RealDisk:
    """The machine's file system. One per process; forked children make their own."""

    def __init__(self) -> None:
        # A process that closes any descriptor of a file drops all its record locks on it. So we remember
        # which we hold, and never open those files a second time.
        self._held: dict[int, tuple[int, int]] = {}

    def create(self, path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | _FLAGS, 0o600)

    def open(self, path: str, *, writable: bool = False) -> int:
        return os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | _FLAGS)

    def close(self, handle: int) -> None:
        os.close(handle)

    def pwritev(self, handle: int, buffers: Sequence[Buffer], offset: int) -> int:
        if len(buffers) > IOVECS_MAX:
            buffers = buffers[:IOVECS_MAX]
        return os.pwritev(handle, buffers, offset)

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        data = os.pread(handle, size, offset)
        if len(data) == size or not data:
            return data
        pieces = [data]
        got = len(data)
        while got < size:
            data = os.pread(handle, size - got, offset + got)
            if not data:
                break
            pieces.append(data)
            got += len(data)
        return b"".join(pieces)

    def fdatasync(self, handle: int) -> None:
        if _DARWIN:
            self.fsync(handle)
        else:
            os.fdatasync(handle)

    def fsync(self, handle: int) -> None:
        full = getattr(fcntl, "F_FULLFSYNC", None)
        if full is None:
            os.fsync(handle)
        else:
            # On macOS fsync leaves the bytes in the drive's cache.
            fcntl.fcntl(handle, full)

    def fsync_dir(self, path: str) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def ftruncate(self, handle: int, size: int) -> None:
        os.ftruncate(handle, size)

    def fallocate(self, handle: int, offset: int, length: int) -> None:
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            os.posix_fallocate(handle, offset, length)
        except OSError as fault:
            if fault.errno not in _UNSUPPORTED:
                raise

    def size(self, handle: int) -> int:
        return os.fstat(handle).st_size

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def listdir(self, path: str) -> list[str]:
        return os.listdir(path)

    def mkdir(self, path: str) -> None:
        os.mkdir(path, 0o700)

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def lock(self, path: str) -> int:
        if self._held and _identity(path) in self._held.values():
            raise BlockingIOError(errno.EAGAIN, "this process holds the lock already", path)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
        try:
            # Not flock: a forked child inherits that and would keep it after its parent's death.
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            os.close(handle)
            if fault.errno in (errno.EAGAIN, errno.EACCES):
                raise BlockingIOError(errno.EAGAIN, "the lock is held", path) from fault
            raise
        self._held[handle] = _identity(path)
        return handle

    def unlock(self, handle: int) -> None:
        del self._held[handle]
        os.close(handle)

    def lock_holder(self, path: str) -> int:
        if not os.path.lexists(path):
            return 0
        if _identity(path) in self._held.values():
            return os.getpid()
        handle = os.open(path, os.O_RDWR | _FLAGS)
        try:
            whole_file = (fcntl.F_WRLCK, os.SEEK_SET)
            asked = _FLOCK.pack(0, 0, 0, *whole_file) if _DARWIN else _FLOCK.pack(*whole_file, 0, 0, 0)
            answer = _FLOCK.unpack(fcntl.fcntl(handle, fcntl.F_GETLK, asked))
        finally:
            os.close(handle)
        kind, holder = (answer[3], answer[2]) if _DARWIN else (answer[0], answer[4])
        return 0 if kind == fcntl.F_UNLCK else int(holder)

    def free_bytes(self, path: str) -> int:
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


def _identity(path: str) -> tuple[int, int]:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return (-1, -1)
    return (status.st_dev, status.st_ino)

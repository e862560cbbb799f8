"""A disk in memory that knows which bytes a power cut would leave.

It promises that an image after `crash` is one that a POSIX file system may legally show: of the pages not
yet synced each is old, new or torn anywhere; a length not yet synced is anything between; each creation,
rename and removal not yet synced by its directory has happened or not, whatever the others did. A failed
sync behaves as Linux does: the pages count as clean, the next sync succeeds, and they are not on the disk.

It does not simulate bit rot (tests flip bits themselves), the states of a page between its last sync and its
newest bytes, permissions, symbolic links, the loss of a directory, or time. One `SimDisk` is one machine: many
journals share it.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from posthouse.supervisor.disk import Buffer
from tests.support.sim_pages import NameTable, PagedFile


class PowerCut(BaseException):
    """The machine or the process died at this call. Not an `Exception`: nothing may catch it on the way."""


@dataclass
class _Fault:
    """`error` on calls of `operation` whose path contains `path`: skip `after` of them, fail `times`."""

    operation: str
    error: int
    after: int
    times: int
    path: str


@final
class SimDisk:
    """`Disk` in memory. `seed` decides short writes, torn writes and what `random_bytes` returns."""

    def __init__(self, seed: int = 0) -> None:
        self.choice = random.Random(seed)
        self.calls: dict[str, int] = {}
        self.operations = 0
        self.has_short_writes = False
        self.capacity_bytes: int | None = None
        self._directories: dict[str, NameTable] = {"/": NameTable()}
        self._handles: dict[int, tuple[str, PagedFile]] = {}
        self._next_handle = 3
        self._locks: dict[str, int] = {}
        self._dirty: set[PagedFile] = set()
        self._dirty_directories: set[str] = set()
        self._faults: list[_Fault] = []
        self._used_bytes = 0
        self._cut_at: int | None = None

    # What tests do to the disk.

    def fail(self, operation: str, error: int, *, after: int = 0, times: int = 1, path: str = "") -> None:
        """Let the call after the next `after` ones of `operation` fail with `error`, `times` in a row."""
        self._faults.append(_Fault(operation, error, after, times, path))

    def heal(self) -> None:
        """No more injected faults, no limit, no pending cut."""
        self._faults.clear()
        self.capacity_bytes = None
        self._cut_at = None

    def cut_power_at(self, operation: int) -> None:
        """Raise `PowerCut` during the changing call number `operation` from now, and at every call after."""
        self._cut_at = self.operations + operation

    def spare(self) -> None:
        """No cut is pending any more."""
        self._cut_at = None

    def crash(self, choice: random.Random | None = None) -> None:
        """Power is lost: keep one legal image, chosen by `choice`. All handles and locks are gone."""
        choice = choice or self.choice
        for file in self._dirty_in_order():
            file.settle(choice)
        for path in sorted(self._dirty_directories):
            self._directories[path].settle(choice)
        self._dirty.clear()
        self._dirty_directories.clear()
        self._handles.clear()
        self._locks.clear()
        self._cut_at = None
        self._count_used()

    def kill(self, directory: str = "/") -> None:
        """The process that works under `directory` dies: its handles and locks go, every byte stays."""
        prefix = directory.rstrip("/") + "/"
        for handle, (path, _) in list(self._handles.items()):
            if path.startswith(prefix):
                del self._handles[handle]
        for path in [path for path in self._locks if path.startswith(prefix)]:
            del self._locks[path]
        self._cut_at = None

    def contents(self, path: str) -> bytearray:
        """The bytes of a file, live: a test that changes them has changed the disk itself."""
        return self._find(path).data

    @property
    def used_bytes(self) -> int:
        return self._used_bytes

    @property
    def open_handles(self) -> int:
        return len(self._handles)

    # What the journal does.

    def create(self, path: str) -> int:
        self._before("create", path)
        directory, name = self._split(path)
        file = directory.names.get(name)
        if file is None:
            file = PagedFile()
            self._change(path, "link", name, file)
            directory.names[name] = file
        else:
            self._resize(file, 0)
        return self._open(path, file)

    def open(self, path: str, *, writable: bool = False) -> int:
        self._before("open", path, changes=False)
        return self._open(path, self._find(path))

    def close(self, handle: int) -> None:
        self._file(handle)
        del self._handles[handle]

    def pwritev(self, handle: int, buffers: Sequence[Buffer], offset: int) -> int:
        path, file = self._file(handle)
        data = b"".join(buffers)
        if self._is_cut():
            # A signal tears a write as well as a power cut does.
            self._store(file, data[: self.choice.randrange(len(data) + 1)], offset)
        self._before("pwritev", path)
        if self.has_short_writes and len(data) > 1:
            data = data[: self.choice.randint(1, len(data))]
        grown = max(0, offset + len(data) - len(file.data))
        room = self._room(grown)
        if room < grown:
            data = data[: len(data) - (grown - room)]
            if not data:
                raise OSError(errno.ENOSPC, "no space left on the simulated disk", path)
        self._store(file, data, offset)
        return len(data)

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        path, file = self._file(handle)
        self._before("pread", path, changes=False)
        return bytes(memoryview(file.data)[offset : offset + size])

    def fdatasync(self, handle: int) -> None:
        self._sync("fdatasync", handle)

    def fsync(self, handle: int) -> None:
        self._sync("fsync", handle)

    def fsync_dir(self, path: str) -> None:
        self._before("fsync_dir", path)
        directory = self._directory(path)
        directory.stable = dict(directory.names)
        directory.changes.clear()
        self._dirty_directories.discard(path)

    def ftruncate(self, handle: int, size: int) -> None:
        path, file = self._file(handle)
        self._before("ftruncate", path)
        self._resize(file, size)

    def fallocate(self, handle: int, offset: int, length: int) -> None:
        path, file = self._file(handle)
        self._before("fallocate", path)
        grown = max(0, offset + length - len(file.data))
        if self._room(grown) < grown:
            raise OSError(errno.ENOSPC, "no space left on the simulated disk", path)
        if grown:
            self._resize(file, offset + length)

    def size(self, handle: int) -> int:
        return len(self._file(handle)[1].data)

    def rename(self, source: str, target: str) -> None:
        self._before("rename", source)
        directory, name = self._split(source)
        same, new_name = self._split(target)
        assert same is directory, "renames across directories are not simulated"
        file = self._find(source)
        self._change(source, "rename", f"{name}\0{new_name}", file)
        del directory.names[name]
        directory.names[new_name] = file

    def unlink(self, path: str) -> None:
        self._before("unlink", path)
        directory, name = self._split(path)
        file = self._find(path)
        self._change(path, "unlink", name, file)
        del directory.names[name]
        self._used_bytes -= len(file.data)

    def listdir(self, path: str) -> list[str]:
        self._before("listdir", path, changes=False)
        return list(self._directory(path).names)

    def mkdir(self, path: str) -> None:
        """Durable at once: a lost directory is an empty journal, which is not worth a case of its own."""
        self._before("mkdir", path)
        if path in self._directories:
            raise FileExistsError(errno.EEXIST, "the simulated directory exists", path)
        self._directories[path] = NameTable()

    def exists(self, path: str) -> bool:
        if path in self._directories:
            return True
        directory, _, name = path.rpartition("/")
        return directory in self._directories and name in self._directories[directory].names

    def lock(self, path: str) -> int:
        if path in self._locks:
            raise BlockingIOError(errno.EAGAIN, "the simulated lock is held", path)
        handle = self.open(path) if self.exists(path) else self.create(path)
        self._locks[path] = handle
        return handle

    def unlock(self, handle: int) -> None:
        path, _ = self._file(handle)
        del self._locks[path]
        del self._handles[handle]

    def lock_holder(self, path: str) -> int:
        return 1 if path in self._locks else 0

    def free_bytes(self, path: str) -> int:
        self._directory(path)
        return 1 << 40 if self.capacity_bytes is None else max(0, self.capacity_bytes - self._used_bytes)

    def random_bytes(self, count: int) -> bytes:
        return self.choice.randbytes(count)

    def monotonic_ns(self) -> int:
        return 0

    # How it is done.

    def _is_cut(self) -> bool:
        return self._cut_at is not None and self.operations + 1 == self._cut_at

    def _before(self, operation: str, path: str, changes: bool = True) -> None:
        self.calls[operation] = self.calls.get(operation, 0) + 1
        if changes:
            self.operations += 1
        if self._cut_at is not None and self.operations >= self._cut_at:
            raise PowerCut(f"{operation} {path}")
        for fault in self._faults:
            if fault.operation == operation and fault.path in path:
                if fault.after:
                    fault.after -= 1
                elif fault.times:
                    fault.times -= 1
                    self._when_failing(operation, path)
                    raise OSError(fault.error, "an injected fault", path)

    def _when_failing(self, operation: str, path: str) -> None:
        if operation in ("fdatasync", "fsync"):
            file = self._find(path)
            file.lost.update(file.old)
            file.old.clear()

    def _sync(self, operation: str, handle: int) -> None:
        path, file = self._file(handle)
        self._before(operation, path)
        file.old.clear()
        file.size_synced = len(file.data)
        if not file.lost:
            self._dirty.discard(file)

    def _store(self, file: PagedFile, data: bytes, offset: int) -> None:
        end = offset + len(data)
        if not data:
            return
        self._dirty.add(file)
        if end > len(file.data):
            self._used_bytes += end - len(file.data)
            if offset > len(file.data):
                file.data.extend(bytes(offset - len(file.data)))
        file.touch(offset, end)
        file.data[offset:end] = data

    def _resize(self, file: PagedFile, size: int) -> None:
        self._dirty.add(file)
        self._used_bytes += size - len(file.data)
        if size < len(file.data):
            file.touch(size, len(file.data))
            del file.data[size:]
        else:
            file.data.extend(bytes(size - len(file.data)))

    def _room(self, wanted: int) -> int:
        return wanted if self.capacity_bytes is None else min(wanted, self.capacity_bytes - self._used_bytes)

    def _count_used(self) -> None:
        self._used_bytes = sum(
            len(file.data) for directory in self._directories.values() for file in directory.names.values()
        )

    def _dirty_in_order(self) -> list[PagedFile]:
        """Dirty files in an order that does not depend on addresses, so that a seed decides everything."""
        seen: dict[PagedFile, None] = {}
        for path in sorted(self._directories):
            directory = self._directories[path]
            for names in (directory.stable, directory.names):
                seen.update((names[name], None) for name in sorted(names) if names[name] in self._dirty)
        return list(seen)

    def _open(self, path: str, file: PagedFile) -> int:
        handle = self._next_handle
        self._next_handle += 1
        self._handles[handle] = (path, file)
        return handle

    def _file(self, handle: int) -> tuple[str, PagedFile]:
        found = self._handles.get(handle)
        if found is None:
            raise OSError(errno.EBADF, f"handle {handle} is not open")
        return found

    def _directory(self, path: str) -> NameTable:
        directory = self._directories.get(path)
        if directory is None:
            raise FileNotFoundError(errno.ENOENT, "no such simulated directory", path)
        return directory

    def _split(self, path: str) -> tuple[NameTable, str]:
        parent, _, name = path.rpartition("/")
        return self._directory(parent or "/"), name

    def _find(self, path: str) -> PagedFile:
        directory, name = self._split(path)
        file = directory.names.get(name)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "no such simulated file", path)
        return file

    def _change(self, path: str, operation: str, name: str, file: PagedFile) -> None:
        parent = path.rpartition("/")[0] or "/"
        self._directory(parent).changes.append((operation, name, file))
        self._dirty_directories.add(parent)

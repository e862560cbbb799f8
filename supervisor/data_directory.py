"""The data directory: one broker's place on the disk, and the lock that makes it one broker's.

    DIR/generations      the next generation, see `generations`
    DIR/journal/         one directory per journaled actor
    DIR/run/lock         held by the living supervisor; holds its pid
    DIR/run/sockets      the path of the directory with the socket files, for clients
    DIR/run/*.sock       the socket files, unless DIR is too long for a socket address

It promises that two live supervisors never share a directory, and that leftovers of a dead one never keep a
new one from starting. Actors of a dead supervisor may outlive it by milliseconds; their journals' locks guard
that.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from types import TracebackType
from typing import Self, final

from posthouse.supervisor.atomic_file import replace_file, sync_directory
from posthouse.supervisor.generations import Generations
from posthouse.transport.errors import DataDirectoryInUse, InvalidArgument

# 108 bytes on Linux, 104 on macOS, a final zero included; the rest is for a suffix somebody may want.
SOCKET_PATH_BYTES_MAX = 99
_SOCKET_NAME_BYTES_MAX = 10 + 1 + 19 + len(".sock")


def socket_path(run_directory: str, actor_id: str, generation: int) -> str:
    """Where that life of that actor binds. Unique, since no two lives share a generation."""
    name = hashlib.blake2b(actor_id.encode(), digest_size=5).hexdigest()
    return os.path.join(run_directory, f"{name}-{generation}.sock")


def journal_name(actor_id: str) -> str:
    """The name of an actor's directory below `journal`: any id makes a safe one, and equal ids the same one."""
    readable = "".join(c if c.isalnum() and c.isascii() else "_" for c in actor_id)[:40]
    digest = hashlib.blake2b(actor_id.encode(), digest_size=8).hexdigest()
    return f"{readable}-{digest}"


def find_run_directory(path: str) -> str:
    """Where the broker of this data directory has its socket files. Raises OSError if it never ran."""
    with open(os.path.join(path, "run", "sockets"), "rb") as file:
        return os.fsdecode(file.read())


@final
class DataDirectory:
    """An open data directory. Holds the lock until `close`."""

    def __init__(self, path: str, run_directory: str, lock: int, generations: Generations) -> None:
        self.path = path
        self.run_directory = run_directory
        self.generations = generations
        self.lock_descriptor = lock

    @classmethod
    def open(cls, path: str) -> DataDirectory:
        """Create or take over the directory. Raises DataDirectoryInUse, DiskFault, OSError."""
        path = os.path.abspath(path)
        run = os.path.join(path, "run")
        _make_private(path)
        _make_private(run)
        lock = _lock(path)
        try:
            journal = os.path.join(path, "journal")
            _make_private(journal)
            run_directory = _choose_run_directory(path)
            for directory in {run, run_directory}:
                _remove_sockets(directory)
            replace_file(os.path.join(run, "sockets"), os.fsencode(run_directory))
            is_new = not os.listdir(journal)
            generations = Generations.open(os.path.join(path, "generations"), is_new=is_new)
        except BaseException:
            os.close(lock)
            raise
        return cls(path, run_directory, lock, generations)

    def journal_directory(self, actor_id: str) -> str:
        """Where that actor keeps its journal."""
        return os.path.join(self.path, "journal", journal_name(actor_id))

    def socket_path(self, actor_id: str, generation: int) -> str:
        """As the function of that name, in this directory."""
        return socket_path(self.run_directory, actor_id, generation)

    def remove_socket(self, actor_id: str, generation: int) -> None:
        """That life is dead and may not have tidied up."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket_path(actor_id, generation))

    def close(self) -> None:
        """Remove the sockets and release the lock. All children must be dead."""
        _remove_sockets(self.run_directory)
        if self.run_directory != os.path.join(self.path, "run"):
            with contextlib.suppress(OSError):
                os.rmdir(self.run_directory)
        os.close(self.lock_descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _make_private(path: str) -> None:
    """Create the directory for us alone, or see that an existing one is ours and closed to other writers."""
    try:
        _make(path, 0o700)
        found = os.stat(path)
    except NotADirectoryError as error:
        raise DataDirectoryInUse(f"{path}: a parent is not a directory") from error
    if not stat.S_ISDIR(found.st_mode):
        raise DataDirectoryInUse(f"{path} is not a directory")
    if found.st_uid != os.geteuid():
        raise DataDirectoryInUse(f"{path} belongs to user {found.st_uid}, and this process is {os.geteuid()}")
    if found.st_mode & 0o022:
        raise DataDirectoryInUse(f"{path} can be written by other users; give it mode 0700 or choose another")


def _make(path: str, mode: int) -> None:
    """Create the directory and its parents durably: a power cut must not take a journal's directory away."""
    if os.path.lexists(path):
        return
    parent = os.path.dirname(path)
    _make(parent, 0o777)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
    sync_directory(parent)


def _lock(path: str) -> int:
    name = os.path.join(path, "run", "lock")
    lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        pid = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        raise DataDirectoryInUse(f"{path} is in use by the broker with pid {pid}") from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    return lock


def _choose_run_directory(path: str) -> str:
    run = os.path.join(path, "run")
    if _is_short_enough(run):
        return run
    name = hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()
    elsewhere = os.path.join(tempfile.gettempdir(), f"posthouse-{os.geteuid()}-{name}")
    if not _is_short_enough(elsewhere):
        raise InvalidArgument(
            f"socket files fit neither below {path} nor below {tempfile.gettempdir()}: both are too long; "
            "choose a shorter data directory or set TMPDIR"
        )
    # Others may write to the directory for temporary files, so a link planted there must not be followed.
    if os.path.islink(elsewhere):
        raise DataDirectoryInUse(f"{elsewhere} is a link; remove it")
    _make_private(elsewhere)
    return elsewhere


def _is_short_enough(directory: str) -> bool:
    return len(os.fsencode(directory)) + 1 + _SOCKET_NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX


def _remove_sockets(directory: str) -> None:
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                os.unlink(entry.path)

"""Small files that are replaced as a whole: after a crash the old content is there or the new one.

One of the two places with `fsync`, the other being `disk`, which serves the journals. It must not know whose
files they are.
"""

from __future__ import annotations

import contextlib
import errno
import os

from posthouse.transport.errors import DiskFull, SyncFailed

_FULL = (errno.ENOSPC, errno.EDQUOT)


def replace_file(path: str, data: bytes) -> None:
    """Durably replace `path`.

    Raises DiskFull or SyncFailed; then the old content is in place, or the new one is and may not outlive a
    power cut.
    """
    try:
        _replace(path, data)
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(f"no space left to write {path}: {error}") from error
        raise SyncFailed(f"{path} could not be written safely: {error}") from error


def sync_directory(path: str) -> None:
    """Make the names in a directory durable. Raises OSError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _replace(path: str, data: bytes) -> None:
    unfinished = f"{path}.tmp"
    # A crash may have left one behind; O_EXCL then keeps us from following a planted link.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(unfinished)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(unfinished, flags, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(unfinished, path)
    sync_directory(os.path.dirname(path) or ".")

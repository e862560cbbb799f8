"""A program that is given a notice: JSON on its standard input, no shell, a bounded time.

It may write to its standard error why it failed; the end of that is kept for listings. What it leaves running in its
own process group is killed with it.
Fails with: a sentence; a program that hangs, cannot be started, or ends with another exit code than 0.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, Final

SAID_BYTES_MAX: Final = 4_096
_LOOK_S: Final = 0.05
_LAST_READS_MAX: Final = 256


def run(arguments: Sequence[str], data: bytes, timeout_s: float, environment: Mapping[str, str] | None = None) -> str:
    """Run it; "" means it took the notice."""
    try:
        process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=None if environment is None else dict(environment),
        )
    except (OSError, ValueError) as error:
        return f"cannot be started: {error.strerror if isinstance(error, OSError) else error}"
    with process:
        try:
            said = _talk(process, data, time.monotonic() + timeout_s)
        finally:
            # Whatever is left of its group: the program itself when it hangs, and what it started.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    if said is None:
        return f"was still running after {timeout_s:g} s and was killed"
    if process.returncode == 0:
        return ""
    words = said.decode(errors="replace").strip()
    return f"ended with {_code(process.returncode)}{f': {words}' if words else ''}"


def _code(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _talk(process: subprocess.Popen[bytes], data: bytes, deadline: float) -> bytes | None:
    """Hand over the data and keep the end of what it says; None when its time is over."""
    assert process.stdin is not None
    assert process.stderr is not None
    said = b""
    with selectors.DefaultSelector() as selector:
        for pipe, event in ((process.stdin, selectors.EVENT_WRITE), (process.stderr, selectors.EVENT_READ)):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, event)
        while process.poll() is None:
            if time.monotonic() >= deadline:
                return None
            for key, _ in selector.select(_LOOK_S):
                if key.fileobj is process.stdin:
                    data = _write(process.stdin, data)
                    if not data:
                        selector.unregister(process.stdin)
                        _close(process.stdin)
                else:
                    chunk = _read(process.stderr)
                    said = (said + chunk)[-SAID_BYTES_MAX:]
                    if not chunk:
                        selector.unregister(process.stderr)
        _close(process.stdin)
        # What is left is what fits into a pipe, unless somebody else still writes into it.
        for _ in range(_LAST_READS_MAX):
            chunk = _read(process.stderr)
            if not chunk:
                break
            said = (said + chunk)[-SAID_BYTES_MAX:]
        return said


def _write(pipe: IO[bytes], data: bytes) -> bytes:
    """What is left of the data. A program need not read it all."""
    try:
        return data[os.write(pipe.fileno(), data) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return b""


def _read(pipe: IO[bytes]) -> bytes:
    try:
        return os.read(pipe.fileno(), SAID_BYTES_MAX)
    except BlockingIOError:
        return b""


def _close(pipe: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):
        pipe.close()

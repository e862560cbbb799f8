"""One child process: forked, watched, signalled, reaped. The only file with `os.fork`.

The supervisor has no thread and no ZeroMQ context, so a fork copies nothing that cannot be copied. A child
never returns from here: it ends in `os._exit`, whatever its `start` does. It dies with its supervisor: by
PR_SET_PDEATHSIG where there is one, and by the end of its control channel everywhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import NoReturn, final

from posthouse.supervisor import control, exit_codes
from posthouse.supervisor.child_spec import ChildSpec, Life
from posthouse.supervisor.control import ControlChannel, SupervisorEnd
from posthouse.supervisor.restart_policy import Exit

HAS_PIDFD = hasattr(os, "pidfd_open")
DESCRIPTORS_WANTED = 65_536
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
# What could reach a child between its fork and the moment its own handlers are in place.
_BLOCKED = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


@final
class ChildProcess:
    """One living process as its supervisor sees it."""

    def __init__(self, child_id: str, pid: int, control_end: SupervisorEnd) -> None:
        self.id = child_id
        self.pid = pid
        self.control = control_end
        self.pidfd: int | None = None
        self.started_at = time.time()
        self.generation = 0
        self.beacon = 0
        self.closed_scans = 0
        self._suspected = (0, 0)
        self._is_reaped = False

    @property
    def descriptors(self) -> list[int]:
        """What the supervisor has open for this child, and no other child may inherit."""
        return [self.control.descriptor] + ([self.pidfd] if self.pidfd is not None else [])

    def starved_ns(self, turn: int) -> int:
        """How long it has waited for a processor since this was asked first of that turn of its loop."""
        waited_ns = waited_for_processor_ns(self.pid)
        if self._suspected[0] != turn:
            self._suspected = (turn, waited_ns)
        return waited_ns - self._suspected[1]

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing happens to a process that is dead."""
        if self._is_reaped:
            return
        with contextlib.suppress(ProcessLookupError):
            if self.pidfd is not None:
                signal.pidfd_send_signal(self.pidfd, number)
            else:
                os.kill(self.pid, number)

    def reap(self, *, is_waiting: bool = False) -> Exit | None:
        """How it ended, None if it lives. From then on its pid may belong to another process."""
        pid, status = os.waitpid(self.pid, 0 if is_waiting else os.WNOHANG)
        if pid == 0:
            return None
        self._is_reaped = True
        if os.WIFSIGNALED(status):
            return Exit(signal=os.WTERMSIG(status))
        return Exit(code=os.WEXITSTATUS(status))

    def close(self) -> None:
        """Give back the descriptors of a reaped process."""
        for descriptor in self.descriptors:
            os.close(descriptor)


def waited_for_processor_ns(pid: int) -> int:
    """How long, in all, a process's main thread could have run and had to wait; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            return int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def raise_descriptor_limit() -> None:
    """Allow as many open descriptors as we may: every child costs its supervisor two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS says "unlimited" and then refuses it.
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def fork_child(
    spec: ChildSpec, make_life: Callable[[ControlChannel], Life], others: Iterable[int], *, has_pidfd: bool
) -> ChildProcess:
    """Start one life of `spec`. `others` are descriptors the child must not keep. Raises OSError."""
    supervisor_pid = os.getpid()
    supervisor_end, child_end = control.open_pair()
    # Text still in a buffer would be written by both processes.
    sys.stdout.flush()
    sys.stderr.flush()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    try:
        pid = os.fork()
        if pid == 0:
            _live(supervisor_pid, (supervisor_end, *others), lambda: spec.start(_begin(make_life, child_end)))
    except OSError:
        os.close(supervisor_end)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(child_end)
    process = ChildProcess(spec.id, pid, SupervisorEnd(supervisor_end))
    if has_pidfd:
        try:
            process.pidfd = os.pidfd_open(pid)
        except OSError:
            process.send_signal(signal.SIGKILL)
            process.reap(is_waiting=True)
            process.close()
            raise
    return process


def _live(supervisor_pid: int, others: Iterable[int], run: Callable[[], int | None]) -> NoReturn:
    """The child boundary: everything ends here, and the process with it."""
    code = exit_codes.CRASHED
    try:
        _die_with(supervisor_pid)
        for descriptor in others:
            os.close(descriptor)
        code = run() or exit_codes.NORMAL
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        # A hook that the child may have set; by default it prints the traceback.
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code & 0xFF)


def _die_with(supervisor_pid: int) -> None:
    if _libc is not None and _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        os._exit(exit_codes.CRASHED)
    # It may have died before prctl was called; then nobody is left to send the signal.
    if os.getppid() != supervisor_pid:
        os._exit(exit_codes.ORPHANED)


def _begin(make_life: Callable[[ControlChannel], Life], control_descriptor: int) -> Life:
    channel = ControlChannel(control_descriptor)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Ctrl-C reaches the whole process group; the supervisor decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: channel.ask_for_stop())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
    # A core file would hold messages and passwords; the traceback says more.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    faulthandler.enable(file=2)
    return make_life(channel)

"""Restart policy: what an exit means, when restarts are too many, and how long to wait before the next one.

Pure: times and random numbers are given. The rules are those of OTP's supervisor (restart types, intensity
and period), with what OTP lacks: exponential backoff with full jitter, and quarantine for a child that keeps
failing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import final

from posthouse.supervisor import exit_codes
from posthouse.supervisor.child_spec import Restart, RestartIntensity

BACKOFF_FIRST_MS = 100
BACKOFF_MAX_MS = 30_000
PATIENCE_MAX_MS = 1_000
"""Until a child is quarantined it is worth more up than spared: the waits double no further than this."""

STORAGE_RETRIES_MAX = 2


@final
@dataclass(frozen=True, slots=True)
class Exit:
    """How a life ended: an exit code, or a signal, or neither when it could not even be forked."""

    code: int | None = None
    signal: int | None = None
    text: str = ""

    @property
    def is_normal(self) -> bool:
        """An exit that a transient child is not restarted for."""
        return self.code in (exit_codes.NORMAL, exit_codes.SHUTDOWN)

    def __str__(self) -> str:
        if self.signal is not None:
            return f"signal {self.signal}"
        return self.text if self.code is None else f"exit code {self.code}"


def is_restarted(restart: Restart, exit: Exit) -> bool:
    """Whether a child of that restart type is started again after an exit nobody asked for."""
    if restart is Restart.TRANSIENT:
        return not exit.is_normal
    return restart is Restart.PERMANENT


def backoff_ms(crashes: int, random: float, max_ms: int = BACKOFF_MAX_MS) -> int:
    """How long to wait after that many crashes in a row, at most `max_ms`; `random` is uniform in [0, 1).

    The first restart is immediate: most crashes do not repeat. Then full jitter over a doubling range, so
    that many children failing for one cause do not come back in step.
    """
    if crashes <= 1:
        return 0
    doublings = min(crashes - 2, 20)
    return int(random * min(max_ms, BACKOFF_FIRST_MS << doublings))


@final
class RestartWindow:
    """The restarts of one group within its period. Holds at most `max_restarts + 1` times."""

    def __init__(self, intensity: RestartIntensity) -> None:
        self._intensity = intensity
        self._times_ms: deque[int] = deque(maxlen=intensity.max_restarts + 1)

    def count(self, now_ms: int) -> bool:
        """Count one restart. True if there were more than `max_restarts` within the period."""
        self._times_ms.append(now_ms)
        is_full = len(self._times_ms) > self._intensity.max_restarts
        return is_full and now_ms - self._times_ms[0] < self._intensity.period_ms

    def clear(self) -> None:
        """Forget everything: the group starts anew."""
        self._times_ms.clear()


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one crashed child: `retry_in_ms` is None when only an operator may start it again."""

    is_quarantined: bool
    retry_in_ms: int | None


@final
class CrashHistory:
    """The crashes of one child in a row. A life that was up for a whole period ends the row.

    A window would be wrong here: with waits longer than the period a child that never works would look cured.
    """

    def __init__(self, intensity: RestartIntensity) -> None:
        self._intensity = intensity
        self.crashes = 0
        self._storage_faults = 0

    @property
    def is_exceeded(self) -> bool:
        """More crashes in a row than the intensity allows."""
        return self.crashes > self._intensity.max_restarts

    def clear(self) -> None:
        """An operator vouches for the child."""
        self.crashes = 0
        self._storage_faults = 0

    def count(self, exit: Exit, up_ms: int) -> bool:
        """Count one crash of a life that was up that long. False if a retry would be hopeless."""
        if up_ms >= self._intensity.period_ms:
            self.clear()
        self.crashes += 1
        if exit.code == exit_codes.STORAGE_FAULT:
            self._storage_faults += 1
        return exit.code != exit_codes.JOURNAL_CORRUPT and self._storage_faults <= STORAGE_RETRIES_MAX

    def judge(self, exit: Exit, up_ms: int, random: float) -> Verdict:
        """Count one crash of a child in a quarantining group and say what follows."""
        if not self.count(exit, up_ms):
            return Verdict(is_quarantined=True, retry_in_ms=None)
        max_ms = BACKOFF_MAX_MS if self.is_exceeded else PATIENCE_MAX_MS
        return Verdict(self.is_exceeded, backoff_ms(self.crashes, random, max_ms))

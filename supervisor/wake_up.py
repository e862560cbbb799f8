"""The wake-up pipe: signals become bytes that a poll loop reads.

The handlers do nothing; the interpreter writes the number of each signal into the pipe
(`signal.set_wakeup_fd`), so nothing runs in the middle of anything else. For the main thread only. What was
in place before comes back.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any, Self, final


@final
class WakeUpPipe:
    """Catches the given signals while it is open."""

    def __init__(self, signals: Sequence[signal.Signals]) -> None:
        self._signals = signals
        self._previous: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}
        self._previous_wakeup = -1
        self.reader = self._writer = -1

    @property
    def descriptors(self) -> list[int]:
        """Both ends, which no child may inherit."""
        return [self.reader, self._writer]

    def __enter__(self) -> Self:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)
        self._previous_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in self._signals:
            self._previous[number] = signal.signal(number, _ignore)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._previous_wakeup)
        os.close(self.reader)
        os.close(self._writer)

    def read(self) -> list[signal.Signals]:
        """The caught signals since the last call, in order."""
        try:
            numbers = os.read(self.reader, 4096)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in numbers if number in self._signals]


def _ignore(number: int, frame: FrameType | None) -> None:
    """SIG_IGN would keep the number from being written to the pipe."""

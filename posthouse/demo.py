"""The demo: every flight of one January through every pattern, while processes are killed under it.

It starts a broker on a temporary directory, one publisher process and a dozen consumer processes, kills a queue, an
exchange, a consumer and then the whole broker, and audits what the consumers wrote down. On the way flights that left
late wait for their time, and others for a subscriber; flights that were cancelled fail in their handler, until it is
repaired. It promises exit code 0 only when every number is right, and leaves neither a process nor a directory behind,
however it ends.

Fails with: exit code 1 and the reasons; 130 after Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, final

from posthouse.demo_flights import FLIGHTS_IN_FILE
from posthouse.demo_run import Run
from posthouse.demo_screen import Screen
from posthouse.transport.errors import PosthouseError

PARENT_BYTES_MAX: Final = 35
"""Socket files live below it and their paths are limited; the temporary directory of macOS is longer."""


@final
@dataclass(frozen=True)
class Settings:
    """`flights`: the first so many, None for all. `seconds`: spread publishing over that time, 0 as fast as
    it goes.
    """

    flights: int | None = None
    seconds: float = 0.0
    keep: bool = False


def run(*, flights: int | None = None, seconds: float = 0.0, keep: bool = False, screen: Screen | None = None) -> int:
    """Run the demo; returns the exit code. With `keep` the directory stays, and its name is printed."""
    settings = Settings(flights, seconds, keep)
    screen = screen or Screen()
    if flights is not None and not 1 <= flights <= FLIGHTS_IN_FILE:
        screen.say(f"flights is {flights}; the file has {FLIGHTS_IN_FILE:,}")
        return 2
    with _terminated_like_interrupted(), _directory(settings, screen) as directory:
        try:
            return Run(directory, screen, settings.flights, settings.seconds).run()
        except KeyboardInterrupt:
            screen.say("interrupted; everything is stopped and removed")
            return 130
        except (PosthouseError, OSError) as error:
            screen.verdict([str(error)])
            return 1


@contextlib.contextmanager
def _directory(settings: Settings, screen: Screen) -> Iterator[Path]:
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > PARENT_BYTES_MAX:
        parent = "/tmp"
    directory = Path(tempfile.mkdtemp(prefix="posthouse-", dir=parent))
    try:
        yield directory
    finally:
        if settings.keep:
            screen.say(f"kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM take the same orderly way out as Ctrl-C."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""Opening an actor's journal in a child: with the patience that a kill of everything needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from posthouse.supervisor.disk import Disk
from posthouse.supervisor.journal import Journal, JournalSettings
from posthouse.transport.errors import JournalLocked

JOURNAL_LOCK_WAIT_S: Final = 5.0
"""After a kill of everything, the last holders of a journal die within milliseconds of the supervisor."""


def open_journal(
    disk: Disk,
    directory: str,
    generation: int,
    settings: JournalSettings,
    now_ms: Callable[[], int],
    pause: Callable[[float], None] = time.sleep,
) -> Journal:
    """Raises JournalLocked when another life holds it for too long, JournalCorrupt, DiskFault."""
    deadline = time.monotonic() + JOURNAL_LOCK_WAIT_S
    while True:
        try:
            return Journal.open(disk, directory, generation=generation, settings=settings, now_ms=now_ms)
        except JournalLocked:
            if time.monotonic() > deadline:
                raise
            pause(0.005)

"""The figures of the door on its page: those of every actor as far as a door has them, and its connections and bytes.

Counted in plain integers, written once a second.
"""

from __future__ import annotations

from typing import Final, final

from posthouse.actors import measures
from posthouse.actors.door import Door
from posthouse.actors.tallies import Totals
from posthouse.supervisor.meter import Meter

MEASURE_US: Final = 1_000_000


@final
class DoorFigures:
    """Of one door."""

    __slots__ = (
        "_before_round",
        "_busy_us",
        "_bytes_received",
        "_bytes_sent",
        "_door",
        "_mailbox",
        "_meter",
        "_next_us",
        "_rounds",
        "_totals",
        "_unsent",
        "frames_received",
        "frames_sent",
    )

    def __init__(self, meter: Meter, door: Door) -> None:
        self._meter = meter
        self._door = door
        self._totals = Totals(meter)
        self._next_us = 0
        self._rounds = self._busy_us = 0
        self._mailbox = self._before_round = 0
        self._bytes_received = self._bytes_sent = self._unsent = 0
        self.frames_received = 0
        self.frames_sent = 0

    def came_in(self, size: int) -> None:
        """A frame of a client."""
        self.frames_received += 1
        self._bytes_received += size

    def went_out(self, size: int, *, is_taken: bool) -> None:
        """A frame for a client."""
        if is_taken:
            self.frames_sent += 1
            self._bytes_sent += size
        else:
            self._unsent += 1

    def went_in(self, *, is_taken: bool) -> None:
        """A frame for an actor."""
        self.frames_sent += is_taken
        self._unsent += not is_taken

    def round_ended(self, began_us: int, now_us: int, wall_ms: int) -> None:
        """A turn of the loop is over; once a second everything is written down."""
        self._rounds += 1
        self._busy_us += now_us - began_us
        self._mailbox = max(self._mailbox, self.frames_received - self._before_round)
        self._before_round = self.frames_received
        if now_us >= self._next_us:
            self._next_us = now_us + MEASURE_US
            self._show(wall_ms)

    def _show(self, wall_ms: int) -> None:
        meter, totals, door = self._meter, self._totals, self._door
        meter.set(measures.MEASURED, wall_ms)
        meter.set(measures.MAILBOX, self._mailbox)
        meter.set(measures.LINKS, door.session_count)
        meter.set(measures.CONNECTIONS, door.client_count)
        self._mailbox = 0
        for word, value in (
            (measures.ROUNDS, self._rounds),
            (measures.BUSY, self._busy_us),
            (measures.FRAMES_RECEIVED, self.frames_received),
            (measures.FRAMES_SENT, self.frames_sent),
            (measures.FRAMES_UNSENT, self._unsent),
            (measures.VIOLATIONS, door.violations),
            (measures.BYTES_RECEIVED, self._bytes_received),
            (measures.BYTES_SENT, self._bytes_sent),
        ):
            totals.count(word, value)

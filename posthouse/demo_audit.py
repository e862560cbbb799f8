"""The audit of the demo: what the consumers of one queue wrote down, held against what the queue had to get.

Pure. A consumer writes one entry per message it received, before it acks; the ledger of a queue reads the
entries of all its consumers, the killed ones included. Nothing the broker says about itself is believed here.

One entry, little endian:

    0        4         8          12     16            24
    +--------+---------+----------+------+-------------+
    | number | attempt | checksum | late | received at |    three u32, i32: microseconds, f64: monotonic seconds
    +--------+---------+----------+------+-------------+

`late` is how long after its time a delayed message was received, below 0 when that was before; 0 where none was set.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final, final

_ENTRY: Final = struct.Struct("<IIIid")
ENTRY_BYTES: Final = _ENTRY.size


_LATE_US_MAX: Final = (1 << 31) - 1


def pack_entry(number: int, attempt: int, checksum: int, received_at: float, late_us: int = 0) -> bytes:
    """One message received."""
    late_us = max(-_LATE_US_MAX, min(late_us, _LATE_US_MAX))
    return _ENTRY.pack(number, attempt, checksum, late_us, received_at)


@final
class Ledger:
    """What one queue handed out. `expected` maps the numbers it has to get to their bodies' checksums.

    `is_ordered`: it has to hand them out in the order in which they were published.
    """

    def __init__(self, expected: Mapping[int, int], *, is_ordered: bool = True) -> None:
        self.expected = expected
        self.is_ordered = is_ordered
        self.entries = 0
        self.unflagged_duplicates = 0
        """Presented as new more than once. Files of several consumers are read in any order, so that no other
        definition would do: the one that was given a message first may be the one whose file is read last."""
        self.damaged = 0
        """The body is not the one that was published."""
        self.unexpected = 0
        """A message that this queue must not get."""
        self.out_of_order = 0
        """First deliveries to one consumer that came after a later message of the same publisher."""
        self.early = 0
        """Received before its time."""
        self.lateness: list[tuple[float, float]] = []
        """When each message was due, in monotonic seconds, and how late it came first, in seconds."""
        self._received: set[int] = set()
        self._presented_as_new: set[int] = set()
        self._expected_entries = 0
        self._last_first: dict[str, int] = {}
        self._times: dict[str, list[float]] = {}
        self._redelivered_at: list[float] = []

    def read(self, consumer: str, data: bytes) -> int:
        """Take the whole entries at the start of `data`; returns the number of bytes taken.

        A consumer that was killed may leave half an entry. It had not acked that message, so it does not
        count.
        """
        taken = len(data) - len(data) % ENTRY_BYTES
        times = self._times.setdefault(consumer, [])
        for number, attempt, checksum, late_us, received_at in _ENTRY.iter_unpack(memoryview(data)[:taken]):
            if late_us:
                self._time(number, late_us / 1e6, received_at)
            self._enter(consumer, number, attempt, checksum)
            times.append(received_at)
            if attempt > 1:
                self._redelivered_at.append(received_at)
        return taken

    def _time(self, number: int, late_s: float, received_at: float) -> None:
        self.early += late_s < 0
        if number not in self._received:
            self.lateness.append((received_at - late_s, late_s))

    def _enter(self, consumer: str, number: int, attempt: int, checksum: int) -> None:
        self.entries += 1
        if number not in self.expected:
            self.unexpected += 1
            return
        self._expected_entries += 1
        if checksum != self.expected[number]:
            self.damaged += 1
        self._received.add(number)
        if attempt > 1:
            return
        if number in self._presented_as_new:
            self.unflagged_duplicates += 1
        self._presented_as_new.add(number)
        if self.is_ordered and number < self._last_first.get(consumer, 0):
            self.out_of_order += 1
        self._last_first[consumer] = number

    @property
    def received(self) -> int:
        """Distinct messages received, of those expected."""
        return len(self._received)

    @property
    def flagged_duplicates(self) -> int:
        """Received again, and marked as redelivered: allowed, wherever somebody crashed."""
        return self._expected_entries - len(self._received) - self.unflagged_duplicates

    @property
    def lost(self) -> int:
        return len(self.expected) - len(self._received)

    @property
    def is_complete(self) -> bool:
        return not self.lost

    @property
    def is_good(self) -> bool:
        """Nothing lost, nothing again without a mark, nothing damaged or astray, all in order, none too early."""
        faults = self.unflagged_duplicates + self.damaged + self.unexpected + self.out_of_order + self.early
        return self.is_complete and not faults

    def first_after(self, moment: float, consumer: str | None = None) -> float | None:
        """When the first message after this moment was received: by that consumer, or by any."""
        times = self._times if consumer is None else {consumer: self._times.get(consumer, [])}
        firsts = [own[index] for own in times.values() if (index := bisect_right(own, moment)) < len(own)]
        return min(firsts, default=None)

    def first_redelivered_after(self, moment: float) -> float | None:
        """When somebody first received, after this moment, what somebody else had been given before."""
        return min((at for at in self._redelivered_at if at > moment), default=None)

    @property
    def last_at(self) -> float:
        """When the last message was received; 0.0 when there was none."""
        return max((times[-1] for times in self._times.values() if times), default=0.0)

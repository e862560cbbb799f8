"""A journal beside a naive model of it, on a disk whose power may fail at any call.

The model is a dictionary of what was appended. After every crash `recover` checks what was promised: durable
records are all there, order and contents are kept, nothing is invented, and what was not durable survives as
a prefix or not at all. It does not simulate two writers; the lock has tests of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final, final

from posthouse.supervisor.journal import Journal, JournalSettings, Record
from posthouse.transport.errors import DiskFault, DiskFull
from tests.support.sim_disk import PowerCut, SimDisk

DIRECTORY: Final = "/journal"
SMALL: Final = JournalSettings(
    segment_bytes_first=768,
    segment_bytes_max=3072,
    chunk_bytes_target=200,
    chunk_bytes_max=4096,
    unsynced_bytes_max=1500,
    reserve_bytes=4096,
)


def plain(records: Sequence[Record]) -> list[tuple[int, int, bytes]]:
    """Records without views, for comparison."""
    return [(record.position, record.kind, bytes(record.payload)) for record in records]


@final
class JournalWorld:
    """Drives one journal through lives and crashes. Each step may end in `PowerCut`, then call `recover`."""

    def __init__(self, seed: int = 0, settings: JournalSettings = SMALL) -> None:
        self.disk = SimDisk(seed)
        self.settings = settings
        self.generation = 1
        self.history: dict[int, tuple[int, bytes]] = {}
        self.certain = 0
        self.written = 0
        self.floor = 1
        self.floor_tried = 1
        self.journal = self._open()

    def append(self, kind: int, payload: bytes) -> None:
        half = len(payload) // 2
        position = self.journal.append(kind, payload[:half], memoryview(payload)[half:])
        self.history[position] = (kind, payload)

    def commit(self, sync: bool) -> None:
        try:
            self.journal.commit(sync)
        except DiskFull:
            self._forget_after(self.journal.written)
            raise
        self._note()

    def rotate(self, head: Sequence[tuple[int, bytes]], replaces_all: bool) -> None:
        """The head's records are possible as soon as the call began and certain when it returned."""
        self.commit(True)
        base = self.journal.next_position
        for place, record in enumerate(head):
            self.history[base + place] = record
        if replaces_all:
            self.floor_tried = max(self.floor_tried, base)
        try:
            self.journal.rotate(head, replaces_all)
        except DiskFull:
            self._forget_after(self.journal.written)
            raise
        self._note()
        if replaces_all:
            self.floor = base

    def trim(self, position: int) -> None:
        self.floor_tried = max(self.floor_tried, position)
        self.journal.trim(position)

    def check(self) -> None:
        """What a live journal must show at any time."""
        journal = self.journal
        assert journal.durable <= journal.written
        records = plain(list(journal.replay()))
        positions = [position for position, _, _ in records]
        assert positions == list(range(positions[0], journal.written + 1)) if positions else True
        for position, kind, payload in records:
            assert self.history[position] == (kind, payload)
            assert plain([journal.read(position)]) == [(position, kind, payload)]

    def die(self, power: bool, choice: random.Random | None = None) -> None:
        """End the life. Afterwards the disk holds a legal image and nobody holds the lock."""
        if power:
            self.disk.crash(choice)
            self.written = self.certain
        else:
            self.disk.kill()

    def recover(self) -> None:
        """Open again and compare with the promises; may itself end in `PowerCut`, to be called again."""
        self.generation += 1
        self.journal = self._open()
        records = plain(list(self.journal.replay()))
        last = self.journal.written
        assert last >= max(self.certain, self.written), f"{last} < {self.certain}, {self.written}"
        assert self.journal.durable == last
        positions = [position for position, _, _ in records]
        if positions:
            assert positions == list(range(positions[0], last + 1))
            assert positions[0] >= self.floor
        assert (positions[0] if positions else last + 1) <= self.floor_tried
        for position, kind, payload in records:
            assert self.history[position] == (kind, payload), position
        self.certain = last
        self._forget_after(last)
        self.floor_tried = max(self.floor_tried, self.floor)

    def survive(self, step: Callable[[], None], at: int, power: bool, choice: random.Random) -> bool:
        """Run `step` and die at its changing call `at`, then recover. False when it ended before that."""
        self.disk.cut_power_at(at)
        try:
            step()
        except PowerCut:
            self.die(power, choice)
            self.recover()
            return True
        except DiskFault:
            self.disk.heal()
            self.die(power, choice)
            self.recover()
            return True
        self.disk.heal()
        return False

    def _open(self) -> Journal:
        journal = Journal.open(
            self.disk, DIRECTORY, generation=self.generation, settings=self.settings, now_ms=lambda: 1
        )
        journal.on_durable = self._became_durable
        return journal

    def _became_durable(self, position: int) -> None:
        self.certain = max(self.certain, position)

    def _note(self) -> None:
        self.certain = max(self.certain, self.journal.durable)
        self.written = self.journal.written

    def _forget_after(self, last: int) -> None:
        for position in [position for position in self.history if position > last]:
            del self.history[position]
        self.written = min(self.written, last)

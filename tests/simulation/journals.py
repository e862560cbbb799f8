"""The journals of a run: opened for their actors, watched for rare states, and judged when all is over.

The judgement takes one journal and damages it: a flipped bit must be refused or change nothing, an older life must be
refused, and a second replay must show what the first showed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, final

from posthouse.actors import dead_letter_records, delay_records, held_records, queue_records
from posthouse.supervisor.journal import Journal
from posthouse.transport.errors import JournalCorrupt, JournalLocked
from posthouse.transport.names import DEAD_LETTER, DELAY
from tests.simulation.cast import JOURNAL
from tests.support.sim_disk import SimDisk

OPERATIONS_MAX: Final = 14
"""An actor that dies inside the disk does so at one of the next so many changing calls; a checkpoint takes ten."""

_COPIES: Final[dict[str, int]] = {
    DELAY: delay_records.Kind.KEPT,
    DEAD_LETTER: dead_letter_records.Kind.MOVED,
    "queue": queue_records.Kind.MOVED,
    "exchange": held_records.Kind.KEPT,
}
"""The kind of record that a compaction writes, by kind of actor."""

Contents = list[tuple[int, int, bytes]]


@final
class Journals:
    """All journals on one disk. `doing` says what one of them is in the middle of."""

    def __init__(
        self, disk: SimDisk, seen: Counter[str], now_ms: Callable[[], int], dies_in_compaction: Callable[[], int]
    ) -> None:
        """`dies_in_compaction`: inside the how many-th call of one that begins now, 0 for in none."""
        self.doing = ""
        self._dies_in_compaction = dies_in_compaction
        self._disk = disk
        self._seen = seen
        self._now_ms = now_ms
        self._directories: set[str] = set()

    def open(self, directory: str, generation: int, actor_id: str) -> Journal:
        """As its actor opens it. Raises what that meets."""
        with self._while("a recovery"):
            journal = self._open(directory, generation)
        self._directories.add(directory)
        report = journal.recovery
        self._seen["a torn tail was set aside"] += report.torn_bytes > 0
        self._seen["what was not synced was written again"] += report.reappended_records > 0
        self._watch(journal, _COPIES.get(actor_id.partition(":")[0], 0))
        return journal

    def _open(self, directory: str, generation: int) -> Journal:
        return Journal.open(self._disk, directory, generation=generation, settings=JOURNAL, now_ms=self._now_ms)

    def _watch(self, journal: Journal, copies: int) -> None:
        append, rotate, commit = journal.append, journal.rotate, journal.commit
        copied = [0]

        def append_and_note(kind: int, *parts: Any) -> int:
            copied[0] += kind == copies
            return append(kind, *parts)

        def rotate_and_note(head: Sequence[tuple[int, bytes]], replaces_all: bool = False) -> None:
            what = "a checkpoint" if replaces_all else "a rotation"
            with self._while(what):
                rotate(head, replaces_all)
            self._seen[f"{what} was made"] += 1

        def commit_and_note(sync: bool = True) -> None:
            before = self.doing
            self.doing = before or ("a compaction" if copied[0] else "a commit")
            # It comes so late in a round, and so rarely, that a death at any call would hardly ever meet it.
            if copied[0] and (call := self._dies_in_compaction()):
                self._disk.cut_power_at(call)
            commit(sync)
            self.doing = before
            if copied[0]:
                self._seen["a compaction was made"] += 1
                copied[0] = 0

        for name, method in (("append", append_and_note), ("rotate", rotate_and_note), ("commit", commit_and_note)):
            setattr(journal, name, method)

    @contextmanager
    def _while(self, doing: str) -> Iterator[None]:
        """A call that dies leaves `doing` as it was, for whoever asks what died."""
        before, self.doing = self.doing, doing
        yield
        self.doing = before

    def judge(self, choice: random.Random, generation: int) -> list[str]:
        """What one of them does wrong. Nobody lives any more, and `generation` is newer than all lives were."""
        if not self._directories:
            return []
        self._disk.kill()
        directory = choice.choice(sorted(self._directories))
        whole = self._contents(directory, generation)
        broken = []
        try:
            self._contents(directory, generation - 1)
        except JournalLocked:
            self._disk.kill()
        else:
            broken.append(f"I19: generation {generation - 1} was let into {directory} after generation {generation}")
            generation += 1
        if self._contents(directory, generation) != whole:
            broken.append(f"I21: a second replay of {directory} shows something else")
        where = self._flip_a_bit(directory, choice)
        try:
            if self._contents(directory, generation + 1) != whole:
                broken.append(f"I21: with {where} flipped, {directory} is served and not whole")
        except JournalCorrupt:
            self._seen["a damaged journal was refused"] += 1
        return broken

    def _contents(self, directory: str, generation: int) -> Contents:
        journal = self._open(directory, generation)
        found = [(record.position, record.kind, bytes(record.payload)) for record in journal.replay()]
        journal.close()
        return found

    def _flip_a_bit(self, directory: str, choice: random.Random) -> str:
        name = choice.choice(sorted(one for one in self._disk.listdir(directory) if one.endswith(".seg")))
        data = self._disk.contents(f"{directory}/{name}")
        place, bit = choice.randrange(len(data)), choice.randrange(8)
        data[place] ^= 1 << bit
        return f"bit {bit} of byte {place} of {name}"

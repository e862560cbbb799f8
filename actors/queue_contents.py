"""What survives of a queue: its living messages, what it has seen, and its counters.

Everything here can be rebuilt from the journal's records, and a mark is all of it except the messages.
Consumers and what they hold are not part of it: a restart returns every unacked message to its place.
`ready` maps offsets to how often they were delivered before, `least` is the same from the end at which a queue that is
too long loses messages. What is neither ready nor held by a consumer waits for its time, or is leaving for the dead
letters.
"""

from __future__ import annotations

from typing import NamedTuple, final

import msgspec

from posthouse.actors.move import Intent, Outbox
from posthouse.actors.offsets import RangeMap
from posthouse.actors.queue_backlog import Backlog
from posthouse.actors.queue_calls import CallDeadlines
from posthouse.actors.queue_dedup import DedupWindow
from posthouse.actors.queue_history import Histories
from posthouse.actors.queue_ready import Least, LeastFirst, PriorityReady, Ready
from posthouse.actors.queue_records import Counters, Mark
from posthouse.actors.queue_streams import Streams
from posthouse.actors.queue_waiting import Expiries, Waiting
from posthouse.transport.messages_dead import Death


class Leave(NamedTuple):
    """Messages of one batch that move to the dead letters together."""

    first: int
    last: int
    death: Death


@final
class QueueContents:
    """The durable half of a queue. Offsets are handed out from `next_offset` and never again."""

    __slots__ = (
        "backlog", "calls", "counters", "dedup", "expiries", "histories", "is_paused", "least", "leaving",
        "next_offset", "outbox", "ready", "streams", "waiting",
    )  # fmt: skip

    def __init__(self, has_priorities: bool = False) -> None:
        self.backlog = Backlog()
        self.ready: Ready
        self.least: Least
        if has_priorities:
            self.ready = ready = PriorityReady(self._batch_at)
            self.least = LeastFirst(ready)
        else:
            self.ready = self.least = RangeMap[int]()
        self.waiting = Waiting()
        self.expiries = Expiries()
        self.histories = Histories()
        self.leaving: RangeMap[int] = RangeMap()
        self.outbox: Outbox[Leave] = Outbox()
        self.streams = Streams()
        self.calls = CallDeadlines()
        self.dedup = DedupWindow()
        self.counters = Counters()
        self.next_offset = 1
        self.is_paused = False

    def mark(self) -> Mark:
        """What the head of a new journal segment says, so that older segments can go. A copy."""
        return Mark(
            self.next_offset,
            self.streams.flat(),
            dict(self.dedup.items()),
            msgspec.structs.replace(self.counters),
            self.outbox.stream,
            self.outbox.next_seq,
            self.is_paused,
        )

    def _batch_at(self, offset: int) -> tuple[int, int]:
        entry = self.backlog.find(offset)
        return entry.last_offset, entry.priority

    def leave(self, first: int, last: int, death: Death, first_seq: int | None = None) -> Intent[Leave]:
        """Messages of one batch, which are nowhere else, are to be moved. The sequence is given by a replay."""
        entry = self.backlog.find(first)
        count = last - first + 1
        # What is on its way is bounded by size, and the cause travels along; a guess at its size will do.
        size = entry.size * count // entry.count + 256 * (1 + len(death.history))
        intent = self.outbox.add(count, size, Leave(first, last, death), first_seq)
        self.leaving.put(first, last, intent.first_seq)
        return intent

    def came_back(self) -> None:
        """Something came back from a consumer: what is over its time by now is looked at again."""
        self.expiries.returned()
        self.calls.returned()

    def count_gone(self, counter: str, ranges: list[tuple[int, int]]) -> None:
        """These are gone for good, and counted under that name."""
        for first, last in ranges:
            setattr(self.counters, counter, getattr(self.counters, counter) + last - first + 1)
            self.gone(first, last)

    def gone(self, first: int, last: int) -> None:
        """These messages, which nobody holds and which are in no index any more, are settled for good."""
        if self.histories:
            self.histories.forget(first, last)
        self.backlog.settle(first, last)

"""What survives of a queue: its living messages, what it has seen, and its counters.

Everything here can be rebuilt from the journal's records, and a mark is all of it except the messages.
Consumers and what they hold are not part of it: a restart returns every unacked message to its place.
`ready` maps offsets to how often they were delivered before.
"""

from __future__ import annotations

from typing import final

import msgspec

from posthouse.actors.offsets import RangeMap
from posthouse.actors.queue_backlog import Backlog
from posthouse.actors.queue_calls import CallDeadlines
from posthouse.actors.queue_dedup import DedupWindow
from posthouse.actors.queue_records import Counters, Mark
from posthouse.actors.queue_streams import Streams


@final
class QueueContents:
    """The durable half of a queue. Offsets are handed out from `next_offset` and never again."""

    __slots__ = ("backlog", "calls", "counters", "dedup", "next_offset", "ready", "streams")

    def __init__(self) -> None:
        self.backlog = Backlog()
        self.ready: RangeMap[int] = RangeMap()
        self.streams = Streams()
        self.calls = CallDeadlines()
        self.dedup = DedupWindow()
        self.counters = Counters()
        self.next_offset = 1

    def mark(self) -> Mark:
        """What the head of a new journal segment says, so that older segments can go. A copy."""
        return Mark(
            self.next_offset,
            self.streams.flat(),
            dict(self.dedup.items()),
            msgspec.structs.replace(self.counters),
        )

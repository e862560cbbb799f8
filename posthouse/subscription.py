"""A subscription: the receiving side of one consumer.

Pure. It keeps what was delivered until the program takes it, and gathers settlements into ranges. When its session
with the queue ends, what the program has not taken is forgotten (the queue delivers it again) and settlements of
messages from the old session are dropped (the queue has taken those messages back).
"""

from __future__ import annotations

from collections import deque
from typing import Final, final

from posthouse.failure import Failure
from posthouse.message import Message, Slice
from posthouse.transport import messages
from posthouse.transport.errors import PosthouseError
from posthouse.transport.messages import Batch, Consume, Deliver, Outcome, Settle

SETTLE_RANGES_MAX: Final = 1_000


@final
class Subscription:
    """One consumer of one queue. `number` is unique in its session; 0 is the one of `get`."""

    def __init__(self, queue: str, number: int, prefetch: int, *, auto_ack: bool, exclusive: bool) -> None:
        self.queue = queue
        self.number = number
        self.prefetch = prefetch
        self.auto_ack = auto_ack
        self.exclusive = exclusive
        self.epoch = 0
        self.failure: PosthouseError | None = None
        self.ready: deque[Message] = deque()
        self.unsettled = 0
        self._ranges: dict[tuple[Outcome, bool, str, Failure | None], list[int]] = {}

    def open(self, request: int) -> Consume:
        """What to say to the queue when a session opens. Forgets what an earlier session delivered."""
        self.epoch += 1
        self.ready.clear()
        self._ranges.clear()
        self.unsettled = 0
        return Consume(request, self.number, self.prefetch, self.auto_ack, self.exclusive)

    def deliver(self, delivery: Deliver) -> None:
        """Take a slice into the buffer."""
        batch = messages.decode(delivery.batch)
        assert isinstance(batch, Batch)
        shared = Slice(batch, delivery.first_offset, delivery.attempt, self.epoch)
        self.ready.extend(shared.messages(None if self.auto_ack else self))

    def settle(
        self, message: Message, outcome: Outcome, requeue: bool, reason: str, failure: Failure | None = None
    ) -> None:
        """Note a settlement; `take_settlements` gathers them."""
        if message.epoch != self.epoch:
            return
        offset = message.offset
        ranges = self._ranges.get((outcome, requeue, reason, failure))
        if ranges is None:
            ranges = self._ranges[outcome, requeue, reason, failure] = []
        if ranges and ranges[-1] == offset - 1:
            ranges[-1] = offset
        else:
            ranges += (offset, offset)
        self.unsettled += 1

    def ack_all(self, taken: list[Message]) -> None:
        """Ack many messages that came one after the other."""
        for message in taken:
            message.ack()

    def take_settlements(self) -> list[Settle]:
        """What to tell the queue, and forget it."""
        if not self.unsettled:
            return []
        gathered, self._ranges = self._ranges, {}
        self.unsettled = 0
        settles = []
        for (outcome, requeue, reason, failure), ranges in gathered.items():
            after = None if failure is None else failure.retry_after_ms
            error = dict(failure.error) if failure is not None and failure.error else None
            for start in range(0, len(ranges), 2 * SETTLE_RANGES_MAX):
                part = ranges[start : start + 2 * SETTLE_RANGES_MAX]
                settles.append(Settle(self.number, outcome, part, 0, requeue, reason, after, error))
        return settles

    def fail(self, error: PosthouseError) -> None:
        """The queue closed the consumer, or is gone."""
        self.failure = error
        self.ready.clear()

"""A subscription: the receiving side of one consumer.

Pure. It keeps what was delivered until the program takes it, and gathers settlements into ranges. When its session
with the queue ends, what the program has not taken is forgotten (the queue delivers it again) and settlements of
messages from the old session are dropped (the queue has taken those messages back).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, final

from posthouse.failure import Failure
from posthouse.message import Message, Slice
from posthouse.transport import messages
from posthouse.transport.errors import PosthouseError
from posthouse.transport.messages import Batch, Consume, Deliver, Outcome, Settle

SETTLE_RANGES_MAX: Final = 1_000


class _How(NamedTuple):
    """What messages that were settled alike have in common."""

    outcome: Outcome
    requeue: bool = False
    reason: str = ""
    failure: Failure | None = None


_ACK: Final = _How(Outcome.ACK)


def nobody() -> None:
    """Settlements are fetched by whoever wants them."""


@final
class Subscription:
    """One consumer of one queue. `number` is unique in its session; 0 is the one of `get`.

    `left_behind` is told of each settlement: the program may not come back for long. From any thread.
    """

    def __init__(
        self,
        queue: str,
        number: int,
        prefetch: int,
        *,
        auto_ack: bool,
        exclusive: bool,
        left_behind: Callable[[], None] = nobody,
    ) -> None:
        self.queue = queue
        self.number = number
        self.prefetch = prefetch
        self.auto_ack = auto_ack
        self.exclusive = exclusive
        self._left_behind = left_behind
        self.epoch = 0
        self.failure: PosthouseError | None = None
        self.ready: deque[Message] = deque()
        # Settling takes no lock although the client's stand-in may gather at the same moment: one end appends, the
        # other takes from the front, and a deque does either in one step. A range that both hands hold would not.
        self._acked: deque[int] = deque()
        self._acked_ranges: deque[tuple[int, int]] = deque()
        self._others: deque[tuple[int, _How]] = deque()

    @property
    def has_settlements(self) -> bool:
        """Something was settled and not yet taken."""
        return bool(self._acked or self._acked_ranges or self._others)

    @property
    def unsettled(self) -> int:
        """How many settlements wait, about: a range counts as the prefetch, since it is worth sending at once."""
        return len(self._acked) + len(self._others) + len(self._acked_ranges) * self.prefetch

    def open(self, request: int) -> Consume:
        """What to say to the queue when a session opens. Forgets what an earlier session delivered."""
        self.epoch += 1
        self.ready.clear()
        self._acked.clear()
        self._acked_ranges.clear()
        self._others.clear()
        return Consume(request, self.number, self.prefetch, self.auto_ack, self.exclusive)

    def deliver(self, delivery: Deliver) -> None:
        """Take a slice into the buffer."""
        batch = messages.decode(delivery.batch)
        assert isinstance(batch, Batch)
        shared = Slice(batch, delivery.first_offset, delivery.attempt, self.epoch)
        self.ready.extend(shared.messages(None if self.auto_ack else self))

    def take(self, offset: int) -> Message | None:
        """The message that answers a `get`. One before it answers a `get` nobody waits for any more: it goes back."""
        while self.ready:
            message = self.ready.popleft()
            if message.offset == offset:
                return message
            if not self.auto_ack:
                self.give_back(message)
        return None

    def give_back(self, message: Message) -> None:
        """Nobody has seen this message: it returns to its place, and no attempt has failed."""
        self.settle(message, Outcome.RELEASE, True, "")

    def settle(
        self, message: Message, outcome: Outcome, requeue: bool, reason: str, failure: Failure | None = None
    ) -> None:
        """Note a settlement; `take_settlements` gathers them. From any thread."""
        if message.epoch != self.epoch:
            return
        if outcome is Outcome.ACK:
            self._acked.append(message.offset)
        else:
            self._others.append((message.offset, _How(outcome, requeue, reason, failure)))
        self._left_behind()

    def ack_all(self, taken: list[Message]) -> None:
        """Ack many messages. Those that follow one another, as they mostly do, cost next to nothing."""
        epoch = self.epoch
        offsets = [message.offset for message in taken if message.epoch == epoch]
        if offsets and offsets == list(range(offsets[0], offsets[-1] + 1)):
            self._acked_ranges.append((offsets[0], offsets[-1]))
        else:
            self._acked.extend(offsets)
        self._left_behind()

    def take_settlements(self) -> list[Settle]:
        """What to tell the queue, as ranges, and forget it."""
        settles = self._settles(_ACK, [self._acked.popleft() for _ in range(len(self._acked))])
        if self._acked_ranges:
            ranges = [self._acked_ranges.popleft() for _ in range(len(self._acked_ranges))]
            settles += self._in_parts(_ACK, [offset for pair in ranges for offset in pair])
        gathered: dict[_How, list[int]] = {}
        for _ in range(len(self._others)):
            offset, how = self._others.popleft()
            gathered.setdefault(how, []).append(offset)
        for how, offsets in gathered.items():
            settles += self._settles(how, offsets)
        return settles

    def _settles(self, how: _How, offsets: list[int]) -> list[Settle]:
        ranges: list[int] = []
        last = -1
        for offset in offsets:
            if offset == last + 1:
                ranges[-1] = offset
            else:
                ranges += (offset, offset)
            last = offset
        return self._in_parts(how, ranges)

    def _in_parts(self, how: _How, ranges: list[int]) -> list[Settle]:
        outcome, requeue, reason, failure = how
        after = None if failure is None else failure.retry_after_ms
        error = dict(failure.error) if failure is not None and failure.error else None
        step = 2 * SETTLE_RANGES_MAX
        parts = [ranges[start : start + step] for start in range(0, len(ranges), step)]
        return [Settle(self.number, outcome, part, 0, requeue, reason, after, error) for part in parts]

    def fail(self, error: PosthouseError) -> None:
        """The queue closed the consumer, or is gone."""
        self.failure = error
        self.ready.clear()

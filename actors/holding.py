"""What an exchange does with messages that no queue wants: hold them until one does, or their time or the room is over.

A part of the exchange actor's shell, around `held_state.py`. What was held leaves when a binding appears anywhere on
the way from this exchange, through the same router as direct traffic and before what is routed later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Final, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.held_batch import Held
from posthouse.actors.held_journal import HeldJournal
from posthouse.actors.held_moves import OFFER_AGAIN_MS, OFFER_TIMER, HeldMoves
from posthouse.actors.held_state import HeldState
from posthouse.actors.routing import Router
from posthouse.actors.topology import Topology
from posthouse.transport.batch import durability_of
from posthouse.transport.errors import DiskSpaceLow, HoldFull, InvalidArgument
from posthouse.transport.links import Link
from posthouse.transport.messages import Batch, Durability, ExchangeSpec

NO_SUBSCRIBER: Final = "no_subscriber"
EXPIRED: Final = "expired"
TIMER: Final = "hold"
DISK_TIMER: Final = "disk"
DISK_LOOK_MS: Final = 1_000
EXPIRED_PER_ROUND_MAX: Final = 5_000
LEAVING_MAX: Final = 20_000
"""So many may be on their way before an exchange whose limits are reached refuses; more where its limit is higher."""


@final
@dataclass(frozen=True)
class HoldLimits:
    """How long and how much an exchange holds where its declaration does not say. Bodies beyond `memory_bytes_max`
    stay in the journal only; with less than `disk_free_bytes_min` left on the disk nothing more is held. A journal over
    `compact_bytes_min` is relieved of old segments in which little lives.
    """

    for_ms: int = 24 * 60 * 60 * 1000
    messages_max: int = 100_000
    bytes_max: int = 256 * 1024 * 1024
    memory_bytes_max: int = 8 * 1024 * 1024
    disk_free_bytes_min: int = 64 * 1024 * 1024
    compact_bytes_min: int = 64 * 1024 * 1024

    def of(self, spec: ExchangeSpec) -> HoldLimits:
        """The limits of one exchange."""
        return HoldLimits(
            self.for_ms if spec.hold_for_ms is None else spec.hold_for_ms,
            self.messages_max if spec.hold_max_length is None else spec.hold_max_length,
            self.bytes_max if spec.hold_max_bytes is None else spec.hold_max_bytes,
            self.memory_bytes_max,
            self.disk_free_bytes_min,
            self.compact_bytes_min,
        )


@final
class Holding:
    """What one exchange holds. `queue_link` is the exchange's link to a queue, which direct traffic takes too."""

    def __init__(
        self, context: Context, spec: ExchangeSpec, limits: HoldLimits, queue_link: Callable[[str], Link]
    ) -> None:
        self.limits = limits.of(spec)
        self.is_durable = spec.durable
        self.is_closing = False
        self.state = HeldState(self.limits.memory_bytes_max)
        self.journal = HeldJournal(context, self.state, self.limits.compact_bytes_min, is_durable=spec.durable)
        self.moves = HeldMoves(context, spec.name, self.state, self.journal, queue_link, self._now_ms)
        self._context = context
        self._exchange = spec.name
        self._clock_ms = 0
        self._is_informed = False
        self._is_disk_low = False

    # ---- life ----

    def start(self) -> None:
        """Rebuild from the journal; nothing leaves before the topology is known."""
        self._clock_ms = self._context.wall_ms - self._context.monotonic_ms
        if self.is_durable:
            self.journal.replay(self.limits.for_ms)
            self.moves.start()
            self._look_at_disk()

    def _now_ms(self) -> int:
        """The wall clock as it was when this life began, carried on by the one that never steps."""
        return self._clock_ms + self._context.monotonic_ms

    def _look_at_disk(self) -> None:
        self._is_disk_low = self.journal.free_bytes() < self.limits.disk_free_bytes_min
        self._context.set_timer(DISK_TIMER, self._context.monotonic_ms + DISK_LOOK_MS)

    def wake(self, key: str) -> None:
        """A timer is due. What is over its time is looked at in every round."""
        if key == DISK_TIMER:
            self._look_at_disk()
        elif key == OFFER_TIMER:
            self.moves.offer_again()

    def finish_round(self, router: Router, topology: Topology) -> None:
        """Let go of what is due, send what may leave, keep the journal in shape."""
        if self._is_informed:
            if self.state.waiting:
                self._expire()
            if self.moves.has_returned:
                self._route(router, topology)
            self.moves.finish_round()
        self.journal.tidy()

    # ---- messages in ----

    @property
    def is_full(self) -> bool:
        """Nothing more is held, since the limits are reached and the dead letters take nothing now."""
        state, limits = self.state, self.limits
        return self._is_stuck and (state.messages >= limits.messages_max or state.bytes >= limits.bytes_max)

    @property
    def _is_stuck(self) -> bool:
        """The dead letters refuse, or are so far behind that they may be away."""
        return self.moves.dead_road.is_blocked or self.state.leaving >= max(LEAVING_MAX, self.limits.messages_max)

    def has_seen(self, batch: Batch) -> bool:
        """It was held before: its publisher did not hear so and sent it again."""
        return self.state.seen.has(batch.stream, batch.first_seq, batch.first_seq + batch.count - 1)

    def take(self, batch: Batch, raw: msgspec.Raw, *, at_once: bool) -> int:
        """Hold a batch, or with `at_once` move it to the dead letters; returns the level of durability it will have.

        Raises HoldFull, DiskSpaceLow, InvalidArgument; then nothing was changed.
        """
        level = min(durability_of(batch), Durability.SYNC if self.is_durable else Durability.MEMORY)
        self._check(batch, len(memoryview(raw)), level)
        entry = self.state.hold(batch, bytes(raw), self._now_ms(), self.limits.for_ms)
        if level > Durability.MEMORY:
            self.journal.held(entry, is_synced=level == Durability.SYNC)
        if at_once:
            self.moves.bury([(entry, entry.count)], NO_SUBSCRIBER)
        else:
            self._make_room()
        return level

    def _check(self, batch: Batch, size: int, level: int) -> None:
        state, limits = self.state, self.limits
        if self.is_closing:
            raise HoldFull(f"exchange {self._exchange!r} is being deleted and holds nothing more")
        if batch.options is not None and batch.options.dedup_id is not None and batch.count != 1:
            raise InvalidArgument(f"{batch.count} messages share a dedup_id; send each in a batch of its own")
        if self._is_disk_low and level > Durability.MEMORY:
            raise DiskSpaceLow(
                f"the broker's disk has less than {limits.disk_free_bytes_min} bytes free; make room or consume"
            )
        is_over = state.messages + batch.count > limits.messages_max or state.bytes + size > limits.bytes_max
        if is_over and self._is_stuck:
            raise HoldFull(
                f"exchange {self._exchange!r} holds {state.messages} messages that no queue wanted, its limit, "
                "and the dead letters take nothing now; bind a queue, or make room in the dead letters"
            )

    def _make_room(self) -> None:
        """Beyond the limits the oldest become dead letters."""
        state, limits = self.state, self.limits
        while state.messages > limits.messages_max or state.bytes > limits.bytes_max:
            entry = state.oldest()
            assert entry is not None
            stop = entry.start + max(1, min(entry.count - entry.start, state.messages - limits.messages_max))
            if state.bytes > limits.bytes_max:
                needed = entry.share(0, entry.start) + state.bytes - limits.bytes_max
                stop = max(stop, min(entry.count, -(-needed * entry.count // entry.size)))
            self.moves.bury([(entry, stop)], NO_SUBSCRIBER)

    # ---- letting go ----

    def learn(self, router: Router, topology: Topology, *, may_differ: bool) -> None:
        """The topology has changed: what queues want now leaves for them, in order, before anything routed later."""
        self._is_informed = True
        for road in list(self.state.roads.values()):
            queue = topology.queues.get(road.queue)
            if road.queue and (queue is None or queue.serial != road.serial):
                self.moves.abandon(road)
        if may_differ or self.moves.has_returned:
            self._route(router, topology)

    def release(self, router: Router, topology: Topology, queue: str | None) -> int:
        """Let go of what is held, by the bindings or to one queue; returns how many messages leave."""
        before = self.state.messages
        if queue is None:
            self._route(router, topology)
        else:
            self._leave(list(self.state.waiting.values()), (queue,), topology)
        return before - self.state.messages

    def expire(self) -> int:
        """All that waits becomes dead letters; returns how many messages leave. Raises HoldFull."""
        if self._is_stuck:
            raise HoldFull("the dead letters take nothing now; make room there")
        before = self.state.messages
        self.moves.bury([(entry, entry.count) for entry in self.state.waiting.values()], NO_SUBSCRIBER)
        return before

    def _route(self, router: Router, topology: Topology) -> None:
        self.moves.has_returned = False
        wanted: list[tuple[int, Held, tuple[str, ...]]] = []
        for group in self.state.groups.values():
            if group.headers is not None:
                queues = router.route_raw(group.routing_key, msgspec.Raw(group.headers)).queues
                wanted += [(number, entry, queues) for number, entry in group.waiting.items() if queues]
                continue
            for number, entry in group.waiting.items():
                queues = router.route_raw(group.routing_key, self.journal.batch_of(entry).headers).queues
                if queues:
                    wanted.append((number, entry, queues))
        wanted.sort(key=lambda found: found[0])
        for queues, run in groupby(wanted, key=lambda found: found[2]):
            self._leave([entry for _, entry, _ in run], queues, topology)

    def _leave(self, entries: list[Held], queues: tuple[str, ...], topology: Topology) -> None:
        whither = [(queue, topology.queues[queue].serial) for queue in queues]
        self.moves.leave([(entry, entry.count) for entry in entries], whither)

    def _expire(self) -> None:
        state, now_ms = self.state, self._now_ms()
        if not self._is_stuck:
            for _ in range(EXPIRED_PER_ROUND_MAX):
                entry = state.due(now_ms)
                if entry is None:
                    break
                self.moves.bury([(entry, entry.count)], EXPIRED if entry.has_ttl else NO_SUBSCRIBER)
        due_ms = state.next_due()
        if due_ms is not None:
            wait_ms = max(1, due_ms - now_ms) if not self._is_stuck else max(OFFER_AGAIN_MS, due_ms - now_ms)
            self._context.set_timer(TIMER, self._context.monotonic_ms + wait_ms)

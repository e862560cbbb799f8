"""The bounds of a queue: how long messages may stay, how many there may be, how long a consumer may hold them.

A part of the queue's core; a queue without such bounds has nothing to do here. An expired message never waits behind a
living one: expiry goes by an index of times. A message that a consumer holds is never taken from it by its age or by
overflow; its age counts again when it comes back. Everything is per range.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from posthouse.actors.queue_consumers import Consumers
from posthouse.actors.queue_contents import QueueContents
from posthouse.actors.queue_deadlines import AckDeadlines
from posthouse.actors.queue_effects import Delivery
from posthouse.actors.queue_failures import EXPIRED, MAX_LENGTH, Failures, Fate, Piece
from posthouse.actors.queue_handouts import Handouts
from posthouse.actors.queue_history import Failure
from posthouse.actors.queue_records import Kind
from posthouse.actors.stored_batch import StoredBatch
from posthouse.transport.errors import QueueFull
from posthouse.transport.messages import Batch, QueueSpec


@final
class Bounds:
    """Time and room of one queue."""

    __slots__ = ("_consumers", "_contents", "_failures", "_spec", "deadlines", "handouts", "has_room_limit")

    def __init__(self, spec: QueueSpec, contents: QueueContents, consumers: Consumers, failures: Failures) -> None:
        self._spec = spec
        self._contents = contents
        self._consumers = consumers
        self._failures = failures
        self.deadlines = None if spec.ack_timeout_ms is None else AckDeadlines(spec.ack_timeout_ms)
        self.handouts = Handouts(consumers)
        self.has_room_limit = spec.max_length is not None or spec.max_bytes is not None

    # ---- time ----

    def stored(self, entry: StoredBatch, batch: Batch, now_ms: int) -> int | None:
        """A batch came in: when it expires, if it does. The shorter of the queue's time and its own counts."""
        ttl_ms = self._spec.ttl_ms
        if batch.options is not None and batch.options.ttl_ms is not None:
            ttl_ms = batch.options.ttl_ms if ttl_ms is None else min(ttl_ms, batch.options.ttl_ms)
        if ttl_ms is None:
            return None
        self._contents.expiries.put(entry.first_offset, entry.last_offset, now_ms + ttl_ms)
        return now_ms + ttl_ms

    def delivered(self, deliveries: list[Delivery], now_ms: int) -> None:
        """Consumers were given these; with an ack timeout, they are to settle them in time."""
        self.handouts.given(deliveries, now_ms)
        if self.deadlines is not None:
            for one in deliveries:
                if not one.settled:
                    last = one.first_offset + one.count - 1
                    self.deadlines.delivered(one.session, one.consumer, one.first_offset, last, one.attempt, now_ms)

    def next_ms(self) -> int | None:
        """When to look again, at the latest."""
        waiting_ms, expires_ms = self._contents.waiting.next_ms(), self._contents.expiries.next_ms()
        breaker = self._failures.breaker
        if self.deadlines is None and breaker is None:
            # Asked in every round of every queue, and in most queues there is never anything to wait for.
            if expires_ms is None:
                return waiting_ms
            return expires_ms if waiting_ms is None or expires_ms < waiting_ms else waiting_ms
        times = [waiting_ms, expires_ms]
        if self.deadlines is not None:
            times.append(self.deadlines.next_ms())
        if breaker is not None:
            times.append(breaker.next_ms())
        return min((time for time in times if time is not None), default=None)

    def pass_time(self, now_ms: int, chance: float) -> list[tuple[Kind, Fate]]:
        """Bring back, expire and take away what is due."""
        contents = self._contents
        done: list[tuple[Kind, Fate]] = []
        if self._failures.breaker is not None:
            self._failures.breaker.pass_time(now_ms)
        if self.deadlines is not None:
            for held in self.deadlines.pop_due(now_ms):
                holder = self._consumers.find(held.session, held.consumer)
                if holder is None:
                    continue
                late = [piece for piece in holder.unacked.pieces(held.first, held.last) if piece[2] == held.attempt]
                for first, last, _ in late:
                    holder.unacked.take(first, last)
                if late:
                    self._consumers.regain(holder, sum(last - first + 1 for first, last, _ in late))
                    failure = Failure(now_ms, "ack_timeout", chance, holder.client_name)
                    done.append((Kind.REJECTED, self._failures.failed(late, failure)))
                    contents.came_back()
        for first, last, times in contents.waiting.pop_due(now_ms):
            contents.ready.put(first, last, times)
        expired: list[Piece] = []
        for first, last in contents.expiries.pop_due(now_ms):
            expired += contents.ready.take(first, last)
            expired += contents.waiting.take(first, last)
            for holder in self._consumers.holders():
                for low, high, _ in holder.unacked.pieces(first, last):
                    contents.expiries.overdue(low, high)
        if expired:
            done.append((Kind.EXPIRED, self._failures.end(sorted(expired), EXPIRED, now_ms)))
        return done

    # ---- room ----

    def refuse_overflow(self, batch: Batch) -> None:
        """Raises QueueFull where the queue refuses what it has no room for."""
        spec, contents = self._spec, self._contents
        if spec.overflow != "reject-publish":
            return
        count = contents.backlog.live - contents.leaving.count + batch.count
        if spec.max_length is not None and count > spec.max_length:
            raise QueueFull(
                f"queue {spec.name!r} holds {count - batch.count} messages and its max_length is {spec.max_length}; "
                "consume from it, or send again later"
            )
        if spec.max_bytes is not None and contents.backlog.body_bytes + batch.bodies.nbytes > spec.max_bytes:
            raise QueueFull(
                f"queue {spec.name!r} holds {contents.backlog.body_bytes} bytes and its max_bytes is "
                f"{spec.max_bytes}; consume from it, or send again later"
            )

    def drop_overflow(self, now_ms: int) -> Fate | None:
        """Take ready messages out until the queue is within its bounds, or none is ready.

        The oldest go first; in a queue with priorities, the oldest of the lowest.
        """
        taken: list[Piece] = []
        least = self._contents.least
        while least.count:
            excess = self._excess(taken)
            if excess <= 0:
                break
            first = least.first
            entry = self._contents.backlog.find(first)
            piece = least.pop_first(min(excess, entry.last_offset + 1 - first))
            assert piece is not None
            taken.append(piece)
        if not taken:
            return None
        if self._spec.overflow == "dead-letter":
            return self._failures.end(sorted(taken), MAX_LENGTH, now_ms)
        return Fate([], [], [], sorted((first, last) for first, last, _ in taken))

    def _excess(self, taken: list[Piece]) -> int:
        """How many of the oldest messages are too many, at least, when these are gone already."""
        spec, contents = self._spec, self._contents
        gone = sum(last - first + 1 for first, last, _ in taken)
        excess = 0
        if spec.max_length is not None:
            excess = contents.backlog.live - contents.leaving.count - gone - spec.max_length
        if spec.max_bytes is not None:
            left = contents.backlog.body_bytes - self._bytes_of((first, last) for first, last, _ in taken)
            left -= self._bytes_of((first, last) for first, last, _ in contents.leaving)
            if left > spec.max_bytes:
                entry = contents.backlog.find(contents.least.first)
                excess = max(excess, -(-(left - spec.max_bytes) * entry.count // max(1, entry.body_bytes)))
        return excess

    def _bytes_of(self, ranges: Iterable[tuple[int, int]]) -> int:
        """Bytes of bodies, as the backlog counts them."""
        total = 0
        for low, last in ranges:
            first = low
            while first <= last:
                entry = self._contents.backlog.find(first)
                end = min(last, entry.last_offset)
                total += entry.body_bytes * (end - first + 1) // entry.count
                first = end + 1
        return total

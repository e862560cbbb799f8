"""How messages go out of a queue: who gets how many of what is ready, in turns, within credit and memory.

A part of the queue's core. Consumers with credit take turns; in each a consumer gets one slice of at most an equal
share. While the breaker is not closed one message goes out, the probe. Costs are per slice. It must not know what
becomes of a message afterwards.
"""

from __future__ import annotations

from typing import Final, final

from posthouse.actors.breaker import Breaker, probe_of
from posthouse.actors.queue_bounds import Bounds
from posthouse.actors.queue_consumers import Consumer, Consumers
from posthouse.actors.queue_contents import QueueContents
from posthouse.actors.queue_effects import Delivery

DISPATCH_BYTES_MAX: Final = 4 * 1024 * 1024


@final
class Dispatch:
    """Of one queue."""

    __slots__ = ("_backlog", "_bounds", "_breaker", "_consumers", "_contents", "_ready")

    def __init__(self, contents: QueueContents, consumers: Consumers, bounds: Bounds, breaker: Breaker | None) -> None:
        self._contents = contents
        self._backlog = contents.backlog
        self._ready = contents.ready
        self._consumers = consumers
        self._bounds = bounds
        self._breaker = breaker

    @property
    def is_possible(self) -> bool:
        """Would `share` return anything now? It would after a round that an auto-ack bound cut short."""
        may_deliver = self._breaker is None or self._breaker.may_deliver
        return bool(may_deliver and self._ready.count and self._consumers.line and not self._contents.is_paused)

    def share(self, now_ms: int, bytes_max: int) -> list[Delivery]:
        """Share what is ready among the consumers with credit; their turns go on from call to call.

        In each round a turn is one slice of at most an equal share of what is ready, within one stored
        batch, at one attempt. It ends when about `bytes_max` of bodies are on their way, since all of them
        are in memory at once; `is_possible` then says that there is more.
        """
        breaker = self._breaker
        if self._contents.is_paused:
            return []
        if breaker is not None and not breaker.is_closed:
            return self._probe(now_ms)
        deliveries: list[Delivery] = []
        spent: list[Consumer] = []
        ready, line = self._ready, self._consumers.line
        while ready.count and line and bytes_max > 0:
            share = -(-ready.count // len(line))
            for _ in range(len(line)):
                consumer = line.popleft()
                credit = consumer.credit
                delivery = self._deliver(consumer, share if share < credit else credit, consumer.auto_ack)
                deliveries.append(delivery)
                bytes_max -= delivery.entry.body_bytes * delivery.count // delivery.entry.count
                if consumer.credit:
                    line.append(consumer)
                else:
                    consumer.in_line = False
                    if consumer.auto_ack:
                        spent.append(consumer)
                if not ready.count or bytes_max <= 0:
                    break
        self._consumers.refill(spent)
        self._bounds.delivered(deliveries, now_ms)
        if breaker is not None:
            breaker.succeeded((one.first_offset, one.last_offset) for one in deliveries if one.settled)
        return deliveries

    def give(self, getter: Consumer, auto_ack: bool, now_ms: int) -> Delivery | None:
        """What would leave next, for one who asked; None where nothing is ready or may leave."""
        breaker = self._breaker
        if not self._ready.count or self._contents.is_paused:
            return None
        if breaker is not None and not breaker.is_closed:
            return self._deliver_probe(breaker, getter, auto_ack, now_ms) if breaker.may_deliver else None
        delivery = self._deliver(getter, 1, auto_ack)
        self._bounds.delivered([delivery], now_ms)
        if breaker is not None and auto_ack:
            breaker.succeeded([(delivery.first_offset, delivery.last_offset)])
        return delivery

    def _probe(self, now_ms: int) -> list[Delivery]:
        """Give whoever is next in line the one message that finds out whether deliveries work again."""
        breaker = self._breaker
        if breaker is None or not self.is_possible:
            return []
        consumer = self._consumers.line.popleft()
        delivery = self._deliver_probe(breaker, consumer, consumer.auto_ack, now_ms)
        if consumer.credit:
            self._consumers.line.append(consumer)
        else:
            consumer.in_line = False
            if consumer.auto_ack:
                self._consumers.refill([consumer])
        return [delivery]

    def _deliver_probe(self, breaker: Breaker, consumer: Consumer, auto_ack: bool, now_ms: int) -> Delivery:
        delivery = self._deliver(consumer, 1, auto_ack, probe_of(self._ready))
        breaker.probed(delivery.first_offset, now_ms)
        self._bounds.delivered([delivery], now_ms)
        if auto_ack:
            breaker.succeeded([(delivery.first_offset, delivery.last_offset)])
        return delivery

    def _deliver(self, consumer: Consumer, limit: int, auto_ack: bool, chosen: int | None = None) -> Delivery:
        """Give a consumer what is ready and next, or the `chosen` one: one slice of a batch, at one attempt."""
        ready, counters = self._ready, self._contents.counters
        if chosen is None:
            low = ready.first
            entry = self._backlog.find(low)
            room = entry.last_offset + 1 - low
            piece = ready.pop_first(limit if limit < room else room)
            assert piece is not None
        else:
            entry = self._backlog.find(chosen)
            (piece,) = ready.take(chosen, chosen)
        first, last, times = piece
        count = last - first + 1
        counters.delivered += count
        if times:
            counters.redelivered += count
        consumer.credit -= count
        if auto_ack:
            counters.acked += count
            self._backlog.settle(first, last)
        else:
            consumer.unacked.put(first, last, times + 1)
        start = first - entry.first_offset
        return Delivery(consumer.session, consumer.consumer, first, count, times + 1, entry, start, auto_ack)

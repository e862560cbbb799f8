"""Publishes the broker's events to the exchange `posthouse.events`, and never holds its monitor up for it.

A part of the monitor's shell. It publishes from the events that the monitor keeps anyway, so it has no buffer of its
own: while the exchange is away or slow they wait there, and those that fall out at the other end first are counted as
dropped. What was sent and not settled is sent again by the link, under the same numbers, and queues know it again.
"""

from __future__ import annotations

from typing import Any, Final, final

from posthouse.actors.actor import Context
from posthouse.actors.broker_events import BrokerEvents
from posthouse.actors.event_messages import batch_of
from posthouse.transport.links import Link, State
from posthouse.transport.names import EVENTS, actor_of_exchange

IN_FLIGHT_MAX: Final = 256
"""Events that the exchange has not settled yet; the next ones wait."""


@final
class EventPublisher:
    """Of one life of the monitor, which is one stream."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._link = context.connect(actor_of_exchange(EVENTS))
        self._stream = context.random.getrandbits(62) | 1
        self._in_flight = 0
        self._last: int | None = None
        self.published = 0
        self.dropped = 0

    def owns(self, link: Link) -> bool:
        """Is this the link to the exchange?"""
        return link is self._link

    def settled(self, contexts: list[Any]) -> None:
        """The exchange has routed these, and the queues have them."""
        self._in_flight -= len(contexts)

    def abandoned(self, contexts: list[Any]) -> None:
        """Nobody will ever settle these."""
        self._in_flight -= len(contexts)
        self.dropped += len(contexts)

    def publish(self, events: BrokerEvents) -> None:
        """Publish what is new, as far as there is room."""
        if self._last is None:
            self._last = events.first - 1
        if self._link.state is not State.OPEN or self._in_flight >= IN_FLIGHT_MAX:
            return
        for event in events.after(self._last, IN_FLIGHT_MAX - self._in_flight):
            self.dropped += event.number - self._last - 1
            self._last = event.number
            self.published += 1
            self._in_flight += 1
            self._context.send(self._link, batch_of(event, self._stream, self.published), context=event.number)

"""The figures of an exchange on its page.

Counted per batch in plain integers, written once a second. What is held is counted by the journal, so it goes on where
a dead life left it.
"""

from __future__ import annotations

from typing import final

from posthouse.actors import measures
from posthouse.actors.holding import Holding
from posthouse.actors.receipts import Receipts
from posthouse.actors.tallies import Totals
from posthouse.supervisor.meter import Meter


@final
class ExchangeFigures:
    """Of one exchange. Its numbers of messages are the shell's to raise."""

    __slots__ = ("_meter", "_receipts", "_totals", "delayed", "published", "refused", "replies", "routed", "unrouted")

    def __init__(self, meter: Meter, receipts: Receipts) -> None:
        self._meter = meter
        self._receipts = receipts
        self._totals = Totals(meter)
        self.published = 0
        self.routed = 0
        self.refused = 0
        self.delayed = 0
        self.replies = 0
        self.unrouted = dict.fromkeys(measures.UNROUTED, 0)

    def show(self, holding: Holding | None) -> None:
        """Write everything down."""
        meter, totals = self._meter, self._totals
        for word, value in (
            (measures.PUBLISHED, self.published),
            (measures.ROUTED, self.routed),
            (measures.NOT_PUBLISHED, self.refused + self._receipts.refusals),
            (measures.DELAYED, self.delayed),
            (measures.REPLIES, self.replies),
            *((measures.UNROUTED[fate], count) for fate, count in self.unrouted.items()),
        ):
            totals.count(word, value)
        meter.set(measures.UNCONFIRMED, self._receipts.unconfirmed)
        self._receipts.confirms.show(meter)
        if holding is not None:
            oldest = holding.state.oldest()
            meter.set(measures.HELD, holding.state.messages)
            meter.set(measures.HELD_BYTES, holding.state.bytes)
            meter.set(measures.OLDEST_HELD, 0 if oldest is None else oldest.held_ms)
            totals.show(measures.RELEASED, holding.state.counters.released)

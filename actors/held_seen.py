"""What an exchange remembers of the messages it held: which numbers of which publisher's stream.

A publisher that did not hear the answer sends the same batch again. What went to queues is recognised by them; what was
held must be recognised here, also when it has left since and a queue would want it now. A stream mixes what was
routed and what was held, so its last number says nothing: ranges are kept. The table is bounded; the stream that has
been quiet longest goes first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from typing import Final, final

RANGES_MAX: Final = 65_536


@final
class Seen:
    """Stream → ranges of numbers, least recently used stream first."""

    __slots__ = ("_by_stream", "_ranges_max", "ranges")

    def __init__(self, ranges_max: int = RANGES_MAX) -> None:
        self._by_stream: OrderedDict[int, tuple[list[int], list[int]]] = OrderedDict()
        self._ranges_max = ranges_max
        self.ranges = 0

    def has(self, stream: int, first_seq: int, last_seq: int) -> bool:
        """All of these numbers were held before."""
        known = self._by_stream.get(stream)
        if known is None:
            return False
        firsts, lasts = known
        place = bisect_right(firsts, first_seq) - 1
        return place >= 0 and last_seq <= lasts[place]

    def add(self, stream: int, first_seq: int, last_seq: int) -> None:
        """These numbers are held."""
        known = self._by_stream.get(stream)
        if known is None:
            known = self._by_stream[stream] = ([], [])
        self._by_stream.move_to_end(stream)
        firsts, lasts = known
        place = bisect_right(firsts, first_seq)
        if place and first_seq <= lasts[place - 1] + 1:
            lasts[place - 1] = max(lasts[place - 1], last_seq)
            place -= 1
        else:
            firsts.insert(place, first_seq)
            lasts.insert(place, last_seq)
            self.ranges += 1
        while place + 1 < len(firsts) and firsts[place + 1] <= lasts[place] + 1:
            lasts[place] = max(lasts[place], lasts[place + 1])
            del firsts[place + 1], lasts[place + 1]
            self.ranges -= 1
        if self.ranges > self._ranges_max:
            self._forget_some()

    def flat(self) -> list[list[int]]:
        """`[stream, first, last, first, last, …]` for each stream, least recently used first, as a mark keeps it."""
        return [
            [stream, *(number for pair in zip(firsts, lasts, strict=True) for number in pair)]
            for stream, (firsts, lasts) in self._by_stream.items()
        ]

    def _forget_some(self) -> None:
        if len(self._by_stream) > 1:
            _, (firsts, _) = self._by_stream.popitem(last=False)
            self.ranges -= len(firsts)
            return
        # One publisher alone: what it sent first was answered longest ago.
        (firsts, lasts) = next(iter(self._by_stream.values()))
        half = len(firsts) // 2
        del firsts[:half], lasts[:half]
        self.ranges -= half

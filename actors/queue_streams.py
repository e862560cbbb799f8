"""What a queue remembers of its publishers: the last sequence number of every stream.

A link or a client that did not hear the answer sends the same batch again, and the stream's last number
gives it away. The table is bounded; the stream that has been quiet longest goes first. It must outlive the
process, so the whole of it is part of every mark in the journal.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

STREAMS_MAX: Final = 16_384


@final
class Streams:
    """Stream → highest sequence number stored, least recently used first."""

    __slots__ = ("_last_seqs", "_streams_max")

    def __init__(self, streams_max: int = STREAMS_MAX) -> None:
        self._last_seqs: OrderedDict[int, int] = OrderedDict()
        self._streams_max = streams_max

    def __len__(self) -> int:
        return len(self._last_seqs)

    def last(self, stream: int) -> int:
        """The highest sequence number stored of this stream; 0 when none is known, since they start at 1."""
        return self._last_seqs.get(stream, 0)

    def saw(self, stream: int, last_seq: int) -> None:
        """The stream has been stored up to `last_seq`. A number never goes back."""
        last_seqs = self._last_seqs
        if last_seq > last_seqs.get(stream, 0):
            last_seqs[stream] = last_seq
        last_seqs.move_to_end(stream)
        if len(last_seqs) > self._streams_max:
            last_seqs.popitem(last=False)

    def flat(self) -> list[int]:
        """`[stream, last_seq, stream, last_seq, …]`, least recently used first, as a mark keeps it."""
        return [number for pair in self._last_seqs.items() for number in pair]

"""One commit as it was read back: its checksums right, its records not taken apart yet."""

from __future__ import annotations

import sys
from array import array
from typing import NamedTuple, final

from posthouse.supervisor.journal_format import Record, decode_body, payload_bounds


@final
class Chunk(NamedTuple):
    """So many records from position `first` on. The body is drawn in `journal_format.py`."""

    first: int
    records: int
    body: memoryview

    @property
    def kinds(self) -> bytes:
        """The kind of each record."""
        return bytes(self.body[4 * self.records : 5 * self.records])

    def bounds(self) -> list[int]:
        """Where in the body each payload begins, and behind the last where it ends. Raises JournalCorrupt."""
        return payload_bounds(self.body, self.first, self.records)

    def lengths(self, start: int, stop: int) -> array[int]:
        """How long the payloads of these records are."""
        lengths = array("I", bytes(self.body[4 * start : 4 * stop]))
        if sys.byteorder == "big":  # pragma: no cover - no such machine at hand
            lengths.byteswap()
        return lengths

    def decoded(self) -> list[Record]:
        """Its records. Raises JournalCorrupt."""
        return decode_body(self.body, self.first, self.records)

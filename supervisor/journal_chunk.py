"""One commit as it was read back: its checksums right, its records not taken apart yet."""

from __future__ import annotations

from typing import NamedTuple, final

from posthouse.supervisor.journal_format import Record, decode_body, payload_bounds


@final
class Chunk(NamedTuple):
    """`count` records from position `first` on. The body is drawn in `journal_format.py`."""

    first: int
    count: int
    body: memoryview

    @property
    def kinds(self) -> bytes:
        """The kind of each record."""
        return bytes(self.body[4 * self.count : 5 * self.count])

    def bounds(self) -> list[int]:
        """Where in the body each payload begins, and behind the last where it ends. Raises JournalCorrupt."""
        return payload_bounds(self.body, self.first, self.count)

    def records(self) -> list[Record]:
        """Its records. Raises JournalCorrupt."""
        return decode_body(self.body, self.first, self.count)

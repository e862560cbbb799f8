"""Everything a journal still holds, in order and with its times, read while another process may write it.

Takes no lock, repairs nothing and refuses nothing: a half-written end is where the history ends, and damage elsewhere
becomes a remark between the records, which go on behind it. Segments that a checkpoint replaced are read as long as
their files are there. One window of a file and one chunk are in memory at a time. It knows no kind of record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, final

from posthouse.supervisor.disk import Disk
from posthouse.supervisor.journal_format import (
    CHUNK_HEADER_BYTES,
    FOOTER_BYTES,
    SEGMENT_HEADER_BYTES,
    Checksum,
    Record,
    SegmentHeader,
    checksum_of,
    decode_body,
    decode_chunk_header,
    decode_footer,
    decode_segment_header,
    written_ms,
)
from posthouse.supervisor.journal_scan import FileWindow
from posthouse.supervisor.journal_segment import segment_number
from posthouse.transport.errors import JournalCorrupt

LISTINGS_MAX: Final = 100
"""A journal that rotates while it is read is looked for more segments so many times."""


@final
class Commit(NamedTuple):
    """The records of one chunk. `at_ms` is when it was written, 0 where the journal does not say.

    With `fault` there are no records: it says what cannot be read there.
    """

    records: list[Record]
    at_ms: int
    generation: int
    fault: str = ""


@final
class History:
    """One reading of one journal."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self._disk = disk
        self._directory = directory
        self._next = 0
        self._done = 0

    def commits(self) -> Iterator[Commit]:
        """All that is there, oldest first. `OSError` when the directory cannot be read."""
        for _ in range(LISTINGS_MAX):
            names = self._new_segments()
            for place, name in enumerate(names):
                yield from self._segment(name, names[place + 1 :])
                self._done = segment_number(name) or 0
            if not names:
                return

    def _new_segments(self) -> list[str]:
        names = sorted(name for name in self._disk.listdir(self._directory) if segment_number(name) is not None)
        return [name for name in names if (segment_number(name) or 0) > self._done]

    def _segment(self, name: str, later: list[str]) -> Iterator[Commit]:
        try:
            handle = self._disk.open(f"{self._directory}/{name}")
        except FileNotFoundError:
            self._next = 0
            return  # Its writer was done with it since we looked.
        try:
            window = FileWindow(self._disk, handle)
            header = decode_segment_header(window.view(0, SEGMENT_HEADER_BYTES))
            if header is None or header.number != segment_number(name):
                yield Commit([], 0, 0, f"the header of {name} is unreadable, so nothing of it is")
                return
            if header.base > self._next > 0 and not header.is_checkpoint:
                yield Commit([], 0, 0, f"positions {self._next}-{header.base - 1} are missing before {name}")
            yield from self._chunks(name, window, header, self._stop(later))
        finally:
            self._disk.close(handle)

    def _stop(self, later: list[str]) -> int | None:
        """Where the next segment takes over; what this one holds from there on is void. None: this is the last."""
        for name in later:
            try:
                handle = self._disk.open(f"{self._directory}/{name}")
            except FileNotFoundError:
                continue
            try:
                header = decode_segment_header(self._disk.pread(handle, SEGMENT_HEADER_BYTES, 0))
            finally:
                self._disk.close(handle)
            if header is not None:
                return header.base
        return None

    def _chunks(self, name: str, window: FileWindow, header: SegmentHeader, stop: int | None) -> Iterator[Commit]:
        checksum = checksum_of(header.algorithm)
        damaged_at: int | None = None
        offset: int | None = SEGMENT_HEADER_BYTES
        while offset is not None and offset < window.size and (stop is None or self._next < stop):
            chunk = decode_chunk_header(window.view(offset, CHUNK_HEADER_BYTES), header.salt, checksum)
            if chunk is None and _is_end(window, header, checksum, offset):
                break
            if chunk is None:
                damaged_at = offset if damaged_at is None else damaged_at
                offset = window.next_magic(offset + 8)
                continue
            body = window.view(offset + CHUNK_HEADER_BYTES, chunk.body_length)
            is_intact = len(body) == chunk.body_length and checksum(body, 0) == chunk.body_crc
            if is_intact and chunk.first >= self._next and (stop is None or chunk.first < stop):
                if damaged_at is not None:
                    yield Commit([], 0, 0, f"{name} is damaged at byte {damaged_at}")
                    damaged_at = None
                self._next = chunk.first + chunk.records
                try:
                    records = decode_body(body, chunk.first, chunk.records)
                except JournalCorrupt as error:
                    yield Commit([], 0, 0, str(error))
                else:
                    yield Commit(records, written_ms(header, chunk), chunk.generation)
            elif not is_intact and damaged_at is None:
                damaged_at = offset
            end = offset + CHUNK_HEADER_BYTES + chunk.body_length
            offset = end if end <= window.size else window.next_magic(offset + 8)
        # At the end of the last segment it is what a crash tore, or what is being written at this moment.
        if damaged_at is not None and stop is not None and self._next < stop:
            yield Commit(
                [], 0, 0, f"{name} is damaged at byte {damaged_at}: positions {self._next}-{stop - 1} are lost"
            )
            self._next = stop


def _is_end(window: FileWindow, header: SegmentHeader, checksum: Checksum, offset: int) -> bool:
    """Whether the segment ends here: by its footer, or because nothing was written from here on."""
    footer = decode_footer(window.view(offset, FOOTER_BYTES), header.salt, checksum)
    return footer is not None or window.blank_from(offset)

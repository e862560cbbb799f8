"""Everything a journal still holds, in order and with its times, read while another process may write it.

Takes no lock, repairs nothing and refuses nothing: a half-written end is where the history ends, and damage elsewhere
becomes a remark between the records, which go on behind it. Segments that a checkpoint replaced are read as long as
their files are there. One window of a file and one chunk are in memory at a time. It knows no kind of record.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final, NamedTuple, final

from posthouse.supervisor.disk import Disk
from posthouse.supervisor.journal_format import (
    CHUNK_HEADER_BYTES,
    FOOTER_BYTES,
    SEGMENT_HEADER_BYTES,
    Checksum,
    ChunkHeader,
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
from posthouse.supervisor.journal_search import Needle, SegmentSearch
from posthouse.supervisor.journal_segment import segment_number
from posthouse.transport.errors import JournalCorrupt

LISTINGS_MAX: Final = 100
"""A journal that rotates while it is read is looked for more segments so many times."""


Place = tuple[int, int]
"""The number of a segment, and an offset in its file."""


@final
class Commit(NamedTuple):
    """The records of one chunk. `at_ms` is when it was written, 0 where the journal does not say.

    With `fault` there are no records: it says what cannot be read there. `place` is where the chunk is.
    """

    records: list[Record]
    at_ms: int
    generation: int
    fault: str = ""
    place: Place = (0, 0)


@final
class History:
    """One reading of one journal."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self._disk = disk
        self._directory = directory
        self._next = 0
        self._done = 0
        self._begin = 0

    def matching(self, needle: Needle) -> Iterator[Commit]:
        """The commits that hold what is looked for, oldest first; damage is not told of. Errors as `commits`."""
        names = self._new_segments()
        for place, name in enumerate(names):
            with self._opened(name) as handle:
                header = None if handle is None else self._header(handle)
                if handle is None or header is None or header.number != segment_number(name):
                    continue
                stop = self._stop(names[place + 1 :])
                for found in SegmentSearch(self._disk, handle, header, needle).chunks():
                    if stop is not None and found.chunk.first >= stop:
                        break
                    yield _commit(header, found.chunk, found.body, found.offset)

    def commits(self, since: Place = (0, 0)) -> Iterator[Commit]:
        """All that is there, oldest first, from a place on. `OSError` when the directory cannot be read."""
        self._done, self._begin = max(0, since[0] - 1), since[1]
        for _ in range(LISTINGS_MAX):
            names = self._new_segments()
            for place, name in enumerate(names):
                yield from self._segment(name, names[place + 1 :])
                self._done, self._begin = segment_number(name) or 0, 0
            if not names:
                return

    def _new_segments(self) -> list[str]:
        names = sorted(name for name in self._disk.listdir(self._directory) if segment_number(name) is not None)
        return [name for name in names if (segment_number(name) or 0) > self._done]

    def _segment(self, name: str, later: list[str]) -> Iterator[Commit]:
        with self._opened(name) as handle:
            if handle is None:
                self._next = 0
                return  # Its writer was done with it since we looked.
            window = FileWindow(self._disk, handle)
            header = self._header(handle)
            if header is None or header.number != segment_number(name):
                yield Commit([], 0, 0, f"the header of {name} is unreadable, so nothing of it is")
                return
            if header.base > self._next > 0 and not header.is_checkpoint:
                yield Commit([], 0, 0, f"positions {self._next}-{header.base - 1} are missing before {name}")
            yield from self._chunks(name, window, header, self._stop(later))

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[int | None]:
        """The file of a segment, None when it is gone."""
        try:
            handle = self._disk.open(f"{self._directory}/{name}")
        except FileNotFoundError:
            yield None
            return
        try:
            yield handle
        finally:
            self._disk.close(handle)

    def _header(self, handle: int) -> SegmentHeader | None:
        return decode_segment_header(self._disk.pread(handle, SEGMENT_HEADER_BYTES, 0))

    def _stop(self, later: list[str]) -> int | None:
        """Where the next segment takes over; what this one holds from there on is void. None: this is the last."""
        for name in later:
            with self._opened(name) as handle:
                header = None if handle is None else self._header(handle)
            if header is not None:
                return header.base
        return None

    def _chunks(self, name: str, window: FileWindow, header: SegmentHeader, stop: int | None) -> Iterator[Commit]:
        checksum = checksum_of(header.algorithm)
        damaged_at: int | None = None
        offset: int | None = max(SEGMENT_HEADER_BYTES, self._begin)
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
                yield _commit(header, chunk, body, offset)
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


def _commit(header: SegmentHeader, chunk: ChunkHeader, body: memoryview, offset: int) -> Commit:
    try:
        records = decode_body(body, chunk.first, chunk.records)
    except JournalCorrupt as error:
        return Commit([], 0, 0, str(error))
    return Commit(records, written_ms(header, chunk), chunk.generation, place=(header.number, offset))


def _is_end(window: FileWindow, header: SegmentHeader, checksum: Checksum, offset: int) -> bool:
    """Whether the segment ends here: by its footer, or because nothing was written from here on."""
    footer = decode_footer(window.view(offset, FOOTER_BYTES), header.salt, checksum)
    return footer is not None or window.blank_from(offset)

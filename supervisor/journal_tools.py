"""What an operator does with a journal: look at every record, verify it, salvage what is intact.

None of the three takes the journal's lock or changes a byte of it; `dump` and `verify` of a journal in use
may see a commit half written, and say whose it is. `salvage` writes into a fresh directory and promises to
keep every intact record with its position and kind, to close the lost ranges with explicit gaps, and never
to give a lost position out again. None of them knows what a record means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, final

from posthouse.supervisor.disk import Disk
from posthouse.supervisor.journal_format import (
    IS_AFTER_GAP,
    IS_CHECKPOINT,
    ChunkHeader,
    Record,
    body_of,
    decode_body,
)
from posthouse.supervisor.journal_opening import disk_fault
from posthouse.supervisor.journal_recovery import LOCK_NAME, Ranges, Survey, survey_journal
from posthouse.supervisor.journal_scan import SegmentScan, read_chunks
from posthouse.supervisor.journal_segment import JournalSettings, SegmentIndex, SegmentMaker, SegmentWriter
from posthouse.transport.errors import DiskFault, PreconditionFailed


class DumpEntry(NamedTuple):
    """One line of a dump: a record, or with `record` None a note on the segment."""

    segment: str
    offset: int
    record: Record | None
    note: str


@final
@dataclass(frozen=True)
class SegmentReport:
    """What verification found in one segment file."""

    name: str
    bytes: int
    first: int
    last: int
    records: int
    generation: int
    is_sealed: bool
    is_checkpoint: bool
    damage_offset: int | None


@final
@dataclass(frozen=True)
class VerifyReport:
    """The whole verdict. `is_corrupt` means that the journal refuses to open; `is_torn` repairs itself."""

    directory: str
    segments: tuple[SegmentReport, ...]
    superseded: tuple[str, ...]
    durable: int
    generation: int
    missing: tuple[tuple[int, int], ...]
    faults: tuple[str, ...]
    is_torn: bool
    lock_holder: int

    @property
    def is_corrupt(self) -> bool:
        return bool(self.missing or self.faults)


@final
@dataclass(frozen=True)
class SalvageReport:
    """What was copied and what is lost for good."""

    into: str
    records: int
    missing: tuple[tuple[int, int], ...]
    next_position: int


def dump(disk: Disk, directory: str) -> Iterator[DumpEntry]:
    """Every intact record of every live segment, oldest first, with notes on what is not intact."""
    survey = _survey(disk, directory)
    for scan in survey.scans:
        header = scan.header
        state = "checkpoint" if header.is_checkpoint else "after a gap" if header.is_after_gap else "segment"
        sealed = "sealed" if scan.footer is not None else "open"
        intact = "" if scan.header_is_intact else ", its header is unreadable"
        note = f"{state}, generation {header.generation}, {sealed}, base {header.base}{intact}"
        yield DumpEntry(scan.name, 0, None, note)
        strays = {stray.chunk.first for stray in scan.strays}
        for chunk, body in read_chunks(disk, directory, scan, header.base):
            note = "behind damage" if chunk.first in strays else ""
            for record in decode_body(body, chunk.first, chunk.records):
                yield DumpEntry(scan.name, _offset(scan, chunk), record, note)
        if scan.damage_offset is not None:
            yield DumpEntry(scan.name, scan.damage_offset, None, f"damaged at byte {scan.damage_offset}")


def verify(disk: Disk, directory: str) -> VerifyReport:
    """Read and check every byte that counts. `lock_holder` is the process that has the journal open, or 0."""
    holder = disk.lock_holder(f"{directory}/{LOCK_NAME}")
    survey = _survey(disk, directory)
    return VerifyReport(
        directory=directory,
        segments=tuple(_segment_report(scan) for scan in survey.scans),
        superseded=tuple(survey.superseded),
        durable=survey.durable,
        generation=survey.generation,
        missing=tuple(survey.missing),
        faults=tuple(survey.faults),
        is_torn=survey.is_torn,
        lock_holder=holder,
    )


def salvage(disk: Disk, directory: str, into: str) -> SalvageReport:
    """Copy what is intact into a new journal in `into`, which must not exist, and list what is not.

    `PreconditionFailed`: `into` exists, or a process has the journal open.
    """
    holder = disk.lock_holder(f"{directory}/{LOCK_NAME}")
    if holder:
        raise PreconditionFailed(f"process {holder} has the journal in {directory} open; stop it first")
    if disk.exists(into):
        raise PreconditionFailed(f"{into} exists; salvage writes only into a new directory")
    survey = _survey(disk, directory)
    try:
        disk.mkdir(into)
        disk.fsync_dir(into.rpartition("/")[0] or "/")
        return _Salvage(disk, survey, into).run()
    except OSError as fault:
        raise disk_fault(f"salvaging {directory} into {into}", fault) from fault


@final
class _Salvage:
    """One run: every unbroken run of positions becomes one segment of the new journal."""

    def __init__(self, disk: Disk, survey: Survey, into: str) -> None:
        journal_id = next((scan.header.journal_id for scan in survey.scans if scan.header_is_intact), 1)
        # The oldest, so that every chunk can say how much later it was written.
        created_ms = min((scan.header.created_ms for scan in survey.scans if scan.header_is_intact), default=0)
        self._disk = disk
        self._survey = survey
        self._maker = SegmentMaker(
            disk,
            into,
            JournalSettings(preallocate=False),
            survey.generation,
            journal_id,
            lambda: created_ms,
        )
        self._into = into
        self._writer: SegmentWriter | None = None
        self._before: SegmentIndex | None = None
        self._next = 0
        self._records = 0
        self._missing: Ranges = []

    def run(self) -> SalvageReport:
        for scan, following in zip(self._survey.scans, [*self._survey.scans[1:], None], strict=True):
            self._copy(scan, self._stop(following))
        wanted = self._survey.durable + 1
        if wanted > self._next:
            # Positions that were confirmed and are lost must never name other records.
            self._begin(wanted, 0)
        assert self._writer is not None, "even an empty journal has a next position"
        self._finish(self._writer, is_last=True)
        self._disk.fsync_dir(self._into)
        return SalvageReport(self._into, self._records, tuple(self._missing), max(self._next, 1))

    def _stop(self, following: SegmentScan | None) -> int | None:
        """Where the next segment takes over; chunks from there on are void in this one."""
        return following.header.base if following is not None and following.header_is_intact else None

    def _copy(self, scan: SegmentScan, stop: int | None) -> None:
        flags = IS_CHECKPOINT if scan.header.is_checkpoint and _head_is_intact(scan) else 0
        if flags and not scan.records:
            self._begin(scan.header.base, flags)
        for chunk, body in read_chunks(self._disk, self._survey.directory, scan, scan.header.base):
            if (stop is not None and chunk.first >= stop) or chunk.first < self._next:
                continue
            if self._writer is None or chunk.first != self._next or flags:
                self._begin(chunk.first, flags)
                flags = 0
            assert self._writer is not None
            self._writer.write([body_of(scan.header, chunk, body)], self._writer.index.last)
            self._records += chunk.records
            self._next = chunk.first + chunk.records

    def _begin(self, base: int, flags: int) -> None:
        expected = self._next or (1 if self._survey.missing and self._survey.missing[0][0] == 1 else base)
        if base > expected:
            self._missing.append((expected, base - 1))
            flags |= IS_AFTER_GAP
        chain = 0
        if self._writer is not None:
            chain = self._writer.chain
            self._before = self._writer.index
            self._finish(self._writer, is_last=False)
        self._writer = self._maker.create(self._before, chain, base, (), flags)
        self._next = base

    def _finish(self, writer: SegmentWriter, is_last: bool) -> None:
        if is_last:
            self._disk.fsync(writer.handle)
        else:
            writer.seal()
        writer.publish()
        writer.close()


def _survey(disk: Disk, directory: str) -> Survey:
    try:
        return survey_journal(disk, directory)
    except OSError as fault:
        raise DiskFault(f"the journal in {directory} cannot be read: {fault}") from fault


def _segment_report(scan: SegmentScan) -> SegmentReport:
    return SegmentReport(
        name=scan.name,
        bytes=scan.size,
        first=scan.header.base,
        last=scan.index.last,
        records=scan.records + sum(stray.chunk.records for stray in scan.strays),
        generation=scan.generation,
        is_sealed=scan.footer is not None,
        is_checkpoint=scan.header.is_checkpoint,
        damage_offset=scan.damage_offset,
    )


def _head_is_intact(scan: SegmentScan) -> bool:
    return scan.header_is_intact and scan.index.last >= scan.header.base - 1 + scan.header.head_count


def _offset(scan: SegmentScan, chunk: ChunkHeader) -> int:
    for stray in scan.strays:
        if stray.chunk.first == chunk.first:
            return stray.offset
    return scan.index.offsets[scan.index.chunk_of(chunk.first)]

"""What a journal's files mean after a crash: the survey that judges, and the repair that follows it.

The survey only reads. It finds the durable position D, the highest that any intact source vouches for: a
chunk's watermark, a footer, a segment's head, the base of a later segment, the sidecar. A first missing
position above D in the last segment is a torn tail, everything else that is missing is corruption. The
repair, in `journal_opening`, runs only when nothing is corrupt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

from posthouse.supervisor.disk import Disk, write_fully
from posthouse.supervisor.journal_format import Body, SegmentHeader, body_of
from posthouse.supervisor.journal_scan import (
    WINDOW_BYTES,
    FileWindow,
    SegmentScan,
    read_chunks,
    read_segment_header,
    scan_segment,
)
from posthouse.supervisor.journal_segment import is_temporary, segment_number
from posthouse.supervisor.journal_sidecar import Marks, read_marks
from posthouse.transport.errors import JournalCorrupt

LOCK_NAME: Final = "lock"
RANGES_SHOWN_MAX: Final = 8

Ranges = list[tuple[int, int]]


@final
@dataclass(frozen=True)
class RecoveryReport:
    """What opening a journal found and did."""

    segments: int
    records: int
    durable: int
    torn_bytes: int = 0
    torn_file: str | None = None
    reappended_records: int = 0
    is_sidecar_missing: bool = False


@final
@dataclass
class Survey:
    """The judgement over one directory. `superseded` names segments that a checkpoint or a trim replaced."""

    directory: str
    scans: list[SegmentScan]
    superseded: list[str]
    leftovers: list[str]
    marks: Marks
    durable: int = 0
    generation: int = 0
    missing: Ranges = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def is_corrupt(self) -> bool:
        return bool(self.missing or self.faults)

    @property
    def tail(self) -> SegmentScan:
        return self.scans[-1]

    @property
    def is_torn(self) -> bool:
        """Whether the last segment holds bytes beyond its unbroken run that are not blank."""
        return not self.is_corrupt and bool(self.scans) and self.tail.damage_offset is not None

    @property
    def needs_new_segment(self) -> bool:
        """Whether writing may not simply go on where the last segment ends."""
        return not self.scans or self.is_torn or self.tail.footer is not None or self.tail.index.last > self.durable

    def corruption(self) -> JournalCorrupt:
        """The error to raise: what is missing, and what a person can do."""
        shown = ", ".join(f"{first}-{last}" for first, last in self.missing[:RANGES_SHOWN_MAX])
        more = len(self.missing) - RANGES_SHOWN_MAX
        what = f"positions {shown}{f' and {more} more ranges' if more > 0 else ''} are lost" if shown else ""
        found = "; ".join(self.faults[:RANGES_SHOWN_MAX])
        return JournalCorrupt(
            f"the journal in {self.directory} is damaged below its durable mark {self.durable}: "
            f"{'; '.join(text for text in (what, found) if text)}. Nothing was changed. "
            f"`posthouse journal verify {self.directory}` shows the damage, "
            f"`posthouse journal salvage {self.directory}` copies what is intact into a new journal",
            tuple(self.missing),
        )


def survey_journal(disk: Disk, directory: str) -> Survey:
    """Read the whole journal and judge it, changing nothing. `DiskFault`: a format unreadable here."""
    names = sorted(disk.listdir(directory))
    segments = [name for name in names if segment_number(name) is not None]
    headers = {name: read_segment_header(disk, directory, name) for name in segments}
    leftovers = [name for name in names if is_temporary(name)]
    marks = _own_marks(read_marks(disk, directory), headers)
    survey = Survey(directory, [], [], leftovers, marks)
    start = _start_number(headers, survey.marks)
    live = [name for name in segments if (segment_number(name) or 0) >= start]
    survey.superseded = segments[: len(segments) - len(live)]
    for place, name in enumerate(live):
        following = headers[live[place + 1]] if place + 1 < len(live) else None
        stop = following.base if following is not None and not following.is_after_gap else None
        survey.scans.append(scan_segment(disk, directory, name, stop))
    _find_durable(survey)
    _check_start(survey, start)
    for place, scan in enumerate(survey.scans):
        _check_segment(survey, scan, survey.scans[place + 1] if place + 1 < len(survey.scans) else None)
        if place:
            _check_link(survey, survey.scans[place - 1], scan)
    return survey


def _own_marks(marks: Marks, headers: dict[str, SegmentHeader | None]) -> Marks:
    """The marks of this journal: a sidecar that strayed in from another must not pass for a trim."""
    known = {header.journal_id for header in headers.values() if header is not None}
    return Marks(*(None if mark and known and mark.journal_id not in known else mark for mark in marks))


def _start_number(headers: dict[str, SegmentHeader | None], marks: Marks) -> int:
    """The number of the segment where replay begins: the newest checkpoint, or what the last trim kept."""
    wanted = marks.trim.number if marks.trim is not None else 0
    checkpoints = [header.number for header in headers.values() if header and header.is_checkpoint]
    return max([wanted, *checkpoints])


def _find_durable(survey: Survey) -> None:
    durable = 0
    for scan in survey.scans:
        header = scan.header
        head_end = header.base - 1 + header.head_count if scan.header_is_intact else 0
        durable = max(durable, scan.claimed_durable, head_end)
        survey.generation = max(survey.generation, scan.generation)
    for mark in survey.marks:
        if mark is not None:
            survey.generation = max(survey.generation, mark.generation)
            durable = max(durable, mark.position if mark is survey.marks.durable else mark.position - 1)
    survey.durable = durable


def _check_start(survey: Survey, start: int) -> None:
    """The first segment must be the one that the trim mark or the checkpoint names."""
    trim = survey.marks.trim
    if not survey.scans:
        if survey.durable:
            survey.missing.append((trim.position if trim else 1, survey.durable))
            survey.faults.append("every segment file is gone")
    elif trim is not None and survey.scans[0].number > max(start, trim.number):
        # A checkpoint is its own proof of what may be gone, so this start was the trim mark's.
        first = survey.scans[0]
        survey.faults.append(f"segment files {start} to {first.number - 1} are gone")
        survey.missing.append((trim.position, first.header.base - 1))


def _check_segment(survey: Survey, scan: SegmentScan, following: SegmentScan | None) -> None:
    """Note what is missing of the positions that this segment must hold."""
    if not scan.header_is_intact:
        survey.faults.append(f"the header of {scan.name} is unreadable")
    if following is None:
        stop = survey.durable + 1
    elif following.header_is_intact and not following.header.is_after_gap:
        stop = following.header.base
    else:
        stop = max(scan.index.last, scan.claimed_durable) + 1
        if following.header_is_intact and (scan.footer is None or scan.damage_offset is not None):
            survey.faults.append(f"{scan.name} has no intact end")
    base = scan.header.base if scan.header_is_intact else _expected_base(survey, scan)
    survey.missing += gaps(scan, base, stop)
    if scan.header_is_intact and scan.index.last + 1 < stop:
        where = scan.index.end if scan.damage_offset is None else scan.damage_offset
        survey.faults.append(f"{scan.name} is damaged at byte {where}")


def _expected_base(survey: Survey, scan: SegmentScan) -> int:
    """Where a segment whose header is lost must have begun: after the segment before it."""
    place = survey.scans.index(scan)
    return max(survey.scans[place - 1].index.last, 0) + 1 if place else 1


def gaps(scan: SegmentScan, base: int, stop: int) -> Ranges:
    """The ranges of positions in [base, stop) that no intact chunk of the segment holds."""
    held = [(scan.header.base, scan.index.last)] if scan.records else []
    held += [(stray.chunk.first, stray.chunk.first + stray.chunk.records - 1) for stray in scan.strays]
    missing: Ranges = []
    for first, last in held:
        if first >= stop:
            break
        if first > base:
            missing.append((base, first - 1))
        base = max(base, last + 1)
    if base < stop:
        missing.append((base, stop - 1))
    return missing


def _check_link(survey: Survey, before: SegmentScan, scan: SegmentScan) -> None:
    """The segment must be the one that was written after `before`."""
    if not (before.header_is_intact and scan.header_is_intact):
        return
    if scan.number != before.number + 1:
        survey.faults.append(f"segment files {before.number + 1} to {scan.number - 1} are gone")
    elif scan.header.journal_id != before.header.journal_id:
        survey.faults.append(f"{scan.name} belongs to another journal")
    elif scan.header.base < before.header.base:
        survey.faults.append(f"{scan.name} begins before {before.name}")
    elif (
        not scan.header.is_after_gap and before.index.last + 1 == scan.header.base and scan.header.chain != before.chain
    ):
        survey.faults.append(f"{scan.name} does not continue {before.name}")


def survivors(disk: Disk, survey: Survey) -> list[Body]:
    """The chunks of the last segment beyond the durable mark, up to the first fault."""
    if not survey.scans or survey.tail.index.last <= survey.durable:
        return []
    last = survey.tail.index.last
    bodies = []
    for chunk, data in read_chunks(disk, survey.directory, survey.tail, survey.durable + 1):
        if chunk.first > last:
            break
        bodies.append(body_of(survey.tail.header, chunk, bytes(data)))
    return bodies


def save_torn_tail(disk: Disk, survey: Survey) -> tuple[str, int]:
    """Copy the bytes from the fault to the last written one into a file beside the segment, synced.

    The name is made of segment and offset, so that a recovery that is cut short and repeated saves them once.
    """
    tail = survey.tail
    start = tail.index.end
    name = f"{tail.name}.torn-{start}"
    source = disk.open(f"{survey.directory}/{tail.name}")
    try:
        end = FileWindow(disk, source).written_end(start)
        target = disk.create(f"{survey.directory}/{name}")
        try:
            for offset in range(start, end, WINDOW_BYTES):
                piece = disk.pread(source, min(WINDOW_BYTES, end - offset), offset)
                write_fully(disk, target, [piece], offset - start)
            disk.fsync(target)
        finally:
            disk.close(target)
    finally:
        disk.close(source)
    disk.fsync_dir(survey.directory)
    return name, end - start

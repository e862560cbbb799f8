"""Opening a journal: lock, survey, refuse or repair, and hand over what the writer goes on with.

Promises that nothing on disk has changed when it refuses, and that a crash at any point of a repair leaves a
directory whose next opening comes to the same records: torn bytes are saved first, what survived beyond the
durable mark is written into a new segment and synced, and only then is the old segment cut. Unknown files
are never removed: only segments that a checkpoint or a trim replaced, and segments whose creation did not
finish.

Fails with: `JournalLocked` (another life holds it, or a newer one has written it), `JournalCorrupt` (the
operator's turn), `DiskFull`, `SyncFailed`, `DiskFault` (an unreadable format).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from posthouse.supervisor.disk import Disk, is_full
from posthouse.supervisor.journal_recovery import (
    LOCK_NAME,
    RecoveryReport,
    Survey,
    save_torn_tail,
    survey_journal,
    survivors,
)
from posthouse.supervisor.journal_segment import (
    JournalSettings,
    SegmentIndex,
    SegmentMaker,
    SegmentWriter,
    segment_name,
)
from posthouse.supervisor.journal_sidecar import Sidecar
from posthouse.transport.errors import DiskFault, DiskFull, JournalLocked, SyncFailed


@final
@dataclass
class OpenedJournal:
    """All that a journal needs to go on. `sealed` are the segments before the tail, oldest first."""

    lock: int
    maker: SegmentMaker
    sidecar: Sidecar
    sealed: list[SegmentIndex]
    tail: SegmentWriter
    report: RecoveryReport


def disk_fault(doing: str, fault: OSError) -> DiskFault:
    """The typed error for what the disk said."""
    text = f"{doing} failed: {fault}"
    if is_full(fault):
        return DiskFull(f"{text}. Free some space and try again")
    return SyncFailed(f"{text}. Check the machine's disk; what was not confirmed must be taken as lost")


def open_directory(
    disk: Disk, directory: str, generation: int, settings: JournalSettings, now_ms: Callable[[], int]
) -> OpenedJournal:
    """The whole opening, from a directory that may not exist to a journal that may be written."""
    try:
        lock = _take_lock(disk, directory)
    except OSError as fault:
        raise disk_fault(f"taking the lock of the journal in {directory}", fault) from fault
    try:
        survey = survey_journal(disk, directory)
        if survey.is_corrupt:
            raise survey.corruption()
        if survey.generation > generation:
            raise JournalLocked(
                f"the journal in {directory} was written by generation {survey.generation}, which is newer "
                f"than generation {generation}; a newer life owns it, so this one must end"
            )
        journal_id = (
            survey.tail.header.journal_id if survey.scans else int.from_bytes(disk.random_bytes(8), "little") or 1
        )
        maker = SegmentMaker(disk, directory, settings, generation, journal_id, now_ms)
        return _repair(survey, maker, lock)
    except OSError as fault:
        disk.unlock(lock)
        raise disk_fault(f"opening the journal in {directory}", fault) from fault
    except BaseException:
        disk.unlock(lock)
        raise


def _take_lock(disk: Disk, directory: str) -> int:
    if not disk.exists(directory):
        disk.mkdir(directory)
    path = f"{directory}/{LOCK_NAME}"
    try:
        return disk.lock(path)
    except BlockingIOError as fault:
        raise JournalLocked(
            f"the journal in {directory} is held by process {disk.lock_holder(path)}; "
            "wait for that process to end, or end it"
        ) from fault


def _repair(survey: Survey, maker: SegmentMaker, lock: int) -> OpenedJournal:
    disk, directory = maker.disk, maker.directory
    if not survey.scans:
        disk.fsync_dir(directory.rpartition("/")[0] or "/")
    # Names that we see may exist in memory only, if the last life died between a rename and the sync of its
    # directory. What follows builds on them.
    disk.fsync_dir(directory)
    sidecar = Sidecar(disk, directory, maker.journal_id, maker.generation)
    try:
        return _repair_segments(survey, maker, sidecar, lock)
    except BaseException:
        sidecar.close()
        raise


def _repair_segments(survey: Survey, maker: SegmentMaker, sidecar: Sidecar, lock: int) -> OpenedJournal:
    disk, directory = maker.disk, maker.directory
    if survey.scans and (survey.superseded or survey.marks.trim is None):
        # The mark that we read may be unsynced as well, and removals build on it.
        sidecar.mark_trim(survey.scans[0].header.base, survey.scans[0].number)
    for name in (*survey.superseded, *survey.leftovers):
        disk.unlink(f"{directory}/{name}")
    torn_file, torn_bytes = save_torn_tail(disk, survey) if survey.is_torn else (None, 0)
    sealed = [scan.index for scan in survey.scans]
    reappended = 0
    if survey.needs_new_segment:
        tail, reappended = _start_segment(survey, maker)
    else:
        tail_index = sealed.pop()
        plan = maker.plan(tail_index.header, survey.tail.size)
        tail = SegmentWriter.resume(disk, plan, tail_index, survey.tail.chain)
    try:
        if not survey.scans:
            sidecar.mark_trim(1, 1)
        # It also carries the new generation: an older life is refused even before our first commit.
        sidecar.mark_durable(tail.index.last)
    except OSError:
        tail.close()
        raise
    report = RecoveryReport(
        segments=len(sealed) + 1,
        records=sum(scan.records for scan in survey.scans),
        durable=survey.durable,
        torn_bytes=torn_bytes,
        torn_file=torn_file,
        reappended_records=reappended,
        is_sidecar_missing=survey.marks.durable is None and bool(survey.scans),
    )
    return OpenedJournal(lock, maker, sidecar, sealed, tail, report)


def _start_segment(survey: Survey, maker: SegmentMaker) -> tuple[SegmentWriter, int]:
    """A new tail that holds what survived beyond the durable mark; then the old one is cut there.

    Bytes read back after a crash may exist in the page cache only, and after a failed sync they may be clean
    in the cache and absent on the disk, so syncing the old file again would prove nothing.
    """
    disk, directory = maker.disk, maker.directory
    if not survey.scans:
        writer = maker.create(None, 0, 1)
        writer.publish()
        return writer, 0
    old = survey.tail
    bodies = survivors(disk, survey)
    base = bodies[0].first if bodies else old.index.last + 1
    chain = old.chain_before(disk, directory, base)
    old.index.cut(base)
    writer = maker.create(old.index, chain, base, bodies)
    writer.publish()
    if old.footer is None:
        try:
            _cut(disk, f"{directory}/{segment_name(old.number)}", old.index.end)
        except OSError:
            writer.close()
            raise
    return writer, sum(body.records for body in bodies)


def _cut(disk: Disk, path: str, size: int) -> None:
    handle = disk.open(path, writable=True)
    try:
        disk.ftruncate(handle, size)
        disk.fdatasync(handle)
    finally:
        disk.close(handle)

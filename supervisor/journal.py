"""The journal of one actor: append, commit, the event that a position is durable, replay, trim.

Promises: a position is durable only after the sync of the bytes that hold it has returned; durable records
are replayed in order, none missing and none invented; what is not durable survives a crash as a prefix or
not at all. Records are opaque bytes with a small integer kind. Callers must not assume a file, a blocking
sync, or that a position is an offset: a replicated log may stand behind the same calls.

Fails with: `DiskFull` from `commit` and `rotate` leaves the journal usable and the commit undone; every other
`DiskFault` ends it, each later call raises the same again, and the actor must stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final, final

from posthouse.supervisor.disk import Disk, is_full
from posthouse.supervisor.journal_chunk import Chunk
from posthouse.supervisor.journal_format import IS_CHECKPOINT, Body, Buffer, ChunkBuilder, Record
from posthouse.supervisor.journal_opening import OpenedJournal, disk_fault, open_directory
from posthouse.supervisor.journal_reader import RecordReader, stream_segment
from posthouse.supervisor.journal_recovery import RecoveryReport
from posthouse.supervisor.journal_segment import JournalSettings, SegmentIndex, SegmentWriter, segment_name
from posthouse.supervisor.journal_stats import JournalCounters, JournalStats
from posthouse.transport.errors import DiskFault, DiskFull, JournalCorrupt, SyncFailed

__all__ = ["Buffer", "Chunk", "Journal", "JournalSettings", "JournalStats", "Record", "RecoveryReport"]

RESERVE_NAME: Final = "reserve"


@final
class Journal:
    """One writer's journal. Not thread-safe; it belongs to one process, as lock and generation ensure."""

    def __init__(self, disk: Disk, directory: str, settings: JournalSettings, opened: OpenedJournal) -> None:
        self.recovery: RecoveryReport = opened.report
        # Called with the highest durable position each time it advances. It must not append or commit.
        self.on_durable: Callable[[int], None] | None = None
        # Called with the nanoseconds that each sync took.
        self.on_sync: Callable[[int], None] | None = None
        self.written = opened.tail.index.last
        self.durable = self.written
        self._disk = disk
        self._directory = directory
        self._settings = settings
        self._lock = opened.lock
        self._maker = opened.maker
        self._sidecar = opened.sidecar
        self._tail = opened.tail
        self._segments: list[SegmentIndex] = [*opened.sealed, opened.tail.index]
        self._reader = RecordReader(disk, directory)
        self._pending = self._builder()
        self._unsynced: list[Body] = []
        self._unsynced_bytes = 0
        self._synced_chain = opened.tail.chain
        self._has_reserve = disk.exists(f"{directory}/{RESERVE_NAME}")
        self._wants_reserve = not self._has_reserve and settings.preallocate and settings.reserve_bytes > 0
        self._fault: DiskFault | None = None
        self._counters = JournalCounters()

    @classmethod
    def open(
        cls,
        disk: Disk,
        directory: str,
        *,
        generation: int,
        settings: JournalSettings,
        now_ms: Callable[[], int],
    ) -> Journal:
        """Lock, recover and open the journal in `directory`, which is created when missing.

        `JournalLocked`: another life holds it or a newer generation has written it. `JournalCorrupt`: damage
        below the durable mark; nothing was changed. `now_ms` dates segments and chunks and decides nothing.
        """
        return cls(disk, directory, settings, open_directory(disk, directory, generation, settings, now_ms))

    @property
    def next_position(self) -> int:
        """The position that the next appended record gets."""
        return self._pending.next_position

    @property
    def first_position(self) -> int:
        """The lowest position that may still be read."""
        return self._segments[0].header.base

    @property
    def segment_is_full(self) -> bool:
        """Time to `rotate`. Nothing forces it: a segment goes on beyond its size."""
        return self._tail.index.end >= self._tail.target_bytes or self._tail.is_old

    def append(self, kind: int, *parts: Buffer) -> int:
        """Queue a record, the concatenation of `parts`, for the next commit; returns its position.

        The parts are held, not copied, until they are durable: nobody may change them before that.
        `ValueError` when the kind is not in 1..255 or the record is longer than a chunk may be.
        """
        if self._fault is not None:
            raise self._fault_again()
        return self._pending.add(kind, parts)

    def commit(self, sync: bool = True) -> None:
        """Write what was appended; with `sync`, return only when all that was written is durable.

        Without `sync` the records survive the death of the process and not a power cut, until a later sync
        covers them; beyond `unsynced_bytes_max` that comes at once, because they are held in memory.
        `DiskFull`: everything appended since the last commit is forgotten, its positions are given out again,
        and the journal stays usable.
        """
        if self._fault is not None:
            raise self._fault_again()
        if not self._pending.is_empty():
            self._write(self._pending.take())
        if self.durable < self.written and (sync or self._unsynced_bytes > self._settings.unsynced_bytes_max):
            self._sync()

    def rotate(self, head: Sequence[tuple[int, bytes]], replaces_all: bool = False) -> None:
        """Commit, close the segment and begin another whose first records are `head`, durable on return.

        With `replaces_all` the head restates everything: replay starts there, and older segments are removed
        once the head was read back. `DiskFull` leaves the journal as it was after its commit.
        """
        self.commit()
        assert self._pending.is_empty(), "on_durable must not append"
        builder = self._builder()
        for kind, payload in head:
            builder.add(kind, (payload,))
        bodies = builder.take()
        old = self._tail
        flags = IS_CHECKPOINT if replaces_all else 0
        try:
            writer = self._maker.create(old.index, old.chain, self.written + 1, bodies, flags)
        except OSError as fault:
            error = disk_fault(f"beginning a segment in {self._directory}", fault)
            if isinstance(error, DiskFull):
                self._counters.refused_commits += 1
                raise error from fault
            raise self._end(error) from fault
        try:
            old.seal()
        except OSError:
            # Every record of it is durable already and the next segment says where it ends, so the footer
            # is worth having and not worth dying for.
            self._counters.sync_failures += 1
        try:
            writer.publish()
        except OSError as fault:
            raise self._end(disk_fault(f"naming a segment in {self._directory}", fault)) from fault
        self._take_tail(writer, bodies)
        if replaces_all:
            self._read_back(writer.index)
            self._remove(len(self._segments) - 1)
        self._wants_reserve = not self._has_reserve and self._settings.reserve_bytes > 0
        self._keep_reserve()

    def replay(self, start: int = 0, stop: int | None = None) -> Iterator[Record]:
        """The records at positions in [start, stop), oldest first; from the last checkpoint by default."""
        return chain.from_iterable(self.replay_chunks(start, stop))

    def replay_chunks(self, start: int = 0, stop: int | None = None) -> Iterator[list[Record]]:
        """The same, a list for each chunk. Streams; must not be held across a `trim` or `rotate`."""
        stop = self.written + 1 if stop is None else min(stop, self.written + 1)
        try:
            for index in list(self._segments):
                if index.last < start or index.header.base >= stop:
                    continue
                pieces = stream_segment(self._disk, self._directory, index, start, stop)
                for records in map(Chunk.decoded, chain.from_iterable(pieces)):
                    if records[0].position >= start and records[-1].position < stop:
                        yield records
                    else:
                        yield [record for record in records if start <= record.position < stop]
        except OSError as fault:
            raise self._end(disk_fault(f"replaying the journal in {self._directory}", fault)) from fault

    def replay_pieces(self) -> Iterator[list[Chunk]]:
        """All of it as chunks that nobody has taken apart yet, a list for about every mebibyte."""
        try:
            for index in list(self._segments):
                yield from stream_segment(self._disk, self._directory, index, 0, index.last + 1)
        except OSError as fault:
            raise self._end(disk_fault(f"replaying the journal in {self._directory}", fault)) from fault

    def read(self, position: int) -> Record:
        """One written record. `LookupError`: trimmed, not yet written, or never there."""
        if self._fault is not None:
            raise self._fault_again()
        try:
            return self._reader.read(self._segments, position)
        except OSError as fault:
            raise self._end(disk_fault(f"reading position {position} in {self._directory}", fault)) from fault

    def trim(self, position: int) -> None:
        """Records below `position` are not wanted any more: remove the segments that hold nothing else."""
        if self._fault is not None:
            raise self._fault_again()
        segments = self._segments
        count = 0
        while count + 1 < len(segments) and segments[count + 1].header.base <= position:
            count += 1
        if not count:
            return
        first = segments[count].header
        try:
            # Removals may reach the disk in any order; the mark says first which segments to expect.
            self._sidecar.mark_trim(first.base, first.number)
        except OSError as fault:
            raise self._end(disk_fault(f"trimming the journal in {self._directory}", fault)) from fault
        self._remove(count)

    def release_reserve(self) -> bool:
        """Give the reserve's blocks back, so that acks can be journaled on a full disk. False: it is gone.

        The next rotation with room makes a new one.
        """
        if not self._has_reserve:
            return False
        self._has_reserve = False
        try:
            self._disk.unlink(f"{self._directory}/{RESERVE_NAME}")
        except OSError as fault:
            raise self._end(disk_fault(f"releasing the reserve in {self._directory}", fault)) from fault
        return True

    def free_bytes(self) -> int:
        """What the disk still has room for."""
        return self._disk.free_bytes(self._directory)

    def stats(self) -> JournalStats:
        """The figures of this moment; costs a few microseconds a segment."""
        counters = self._counters
        return JournalStats(
            segments=len(self._segments),
            bytes=sum(index.end for index in self._segments),
            first_position=self.first_position,
            written=self.written,
            durable=self.durable,
            chunks=counters.chunks,
            syncs=counters.syncs,
            sync_last_ns=counters.sync_last_ns,
            sync_total_ns=counters.sync_total_ns,
            sync_failures=counters.sync_failures,
            refused_commits=counters.refused_commits,
            unsynced_bytes=self._unsynced_bytes,
            has_reserve=self._has_reserve,
        )

    def close(self) -> None:
        """Commit what is pending and let go of everything. A journal that has failed is only let go of."""
        if self._lock < 0:
            return
        try:
            if self._fault is None:
                self.commit()
        finally:
            self._fault = self._fault or DiskFault(f"the journal in {self._directory} is closed")
            self._reader.close()
            self._tail.close()
            self._sidecar.close()
            self._disk.unlock(self._lock)
            self._lock = -1

    def _builder(self) -> ChunkBuilder:
        return ChunkBuilder(self.written + 1, self._settings.chunk_bytes_target, self._settings.chunk_bytes_max)

    def _write(self, bodies: list[Body]) -> None:
        try:
            self._tail.write(bodies, self.durable)
        except OSError as fault:
            if is_full(fault):
                raise self._refuse(fault) from fault
            self._rescue(bodies, fault)
            return
        self.written = self._tail.index.last
        self._unsynced += bodies
        self._unsynced_bytes += sum(body.length for body in bodies)
        self._counters.chunks += len(bodies)
        if self._wants_reserve:
            self._keep_reserve()

    def _sync(self) -> None:
        started = self._disk.monotonic_ns()
        try:
            self._disk.fdatasync(self._tail.handle)
        except OSError as fault:
            self._rescue([], fault)
            return
        counters = self._counters
        counters.sync_last_ns = self._disk.monotonic_ns() - started
        counters.sync_total_ns += counters.sync_last_ns
        counters.syncs += 1
        if self.on_sync is not None:
            self.on_sync(counters.sync_last_ns)
        self._became_durable()

    def _became_durable(self) -> None:
        self.durable = self.written
        self._unsynced.clear()
        self._unsynced_bytes = 0
        self._synced_chain = self._tail.chain
        try:
            self._sidecar.mark_durable(self.durable)
        except OSError:
            # The mark sharpens a later recovery. The records it speaks of are durable without it.
            self._counters.sync_failures += 1
        if self.on_durable is not None:
            self.on_durable(self.durable)

    def _refuse(self, fault: OSError) -> DiskFault:
        """Undo a commit for which there was no room."""
        self._pending.restart(self.written + 1)
        try:
            self._tail.undo()
        except OSError as second:
            return self._end(disk_fault(f"undoing a commit in {self._directory}", second))
        self._counters.refused_commits += 1
        return disk_fault(f"a commit to the journal in {self._directory}", fault)

    def _rescue(self, bodies: list[Body], fault: OSError) -> None:
        """After a failed write or sync: one attempt to write all that is not durable into a new segment.

        The failed file is never written or synced again: the kernel reports a failed write-back once and may
        then call the lost pages clean.
        """
        old = self._tail
        head = [*self._unsynced, *bodies]
        try:
            writer = self._maker.create(old.index, self._synced_chain, self.durable + 1, head)
            writer.publish()
        except OSError as second:
            doing = f"a sync of the journal in {self._directory} failed ({fault}) and rewriting it elsewhere"
            raise self._end(disk_fault(doing, second)) from fault
        old.index.cut(self.durable + 1)
        self._counters.sync_failures += 1
        self._take_tail(writer, head)

    def _take_tail(self, writer: SegmentWriter, head: list[Body]) -> None:
        """Go on in `writer`, all of which is durable."""
        self._reader.forget(self._tail.index.header.number)
        self._tail.close()
        self._tail = writer
        self._segments.append(writer.index)
        self.written = writer.index.last
        self._pending.restart(self.written + 1)
        self._counters.chunks += len(head)
        self._became_durable()

    def _read_back(self, index: SegmentIndex) -> None:
        try:
            for _ in stream_segment(self._disk, self._directory, index, 0, index.last + 1):
                pass
        except (OSError, JournalCorrupt) as fault:
            text = f"the checkpoint just written in {self._directory} does not read back: {fault}"
            raise self._end(SyncFailed(text)) from fault

    def _remove(self, count: int) -> None:
        try:
            for index in self._segments[:count]:
                self._reader.forget(index.header.number)
                self._disk.unlink(f"{self._directory}/{segment_name(index.header.number)}")
            self._disk.fsync_dir(self._directory)
        except OSError as fault:
            raise self._end(disk_fault(f"removing segments in {self._directory}", fault)) from fault
        del self._segments[:count]

    def _keep_reserve(self) -> None:
        """Set blocks aside, if there is room; being without them is no fault."""
        if not self._wants_reserve:
            return
        self._wants_reserve = False
        path = f"{self._directory}/{RESERVE_NAME}"
        try:
            handle = self._disk.create(path)
            try:
                self._disk.fallocate(handle, 0, self._settings.reserve_bytes)
            finally:
                self._disk.close(handle)
            self._has_reserve = True
        except OSError:
            with suppress(OSError):
                self._disk.unlink(path)

    def _end(self, fault: DiskFault) -> DiskFault:
        self._fault = fault
        return fault

    def _fault_again(self) -> DiskFault:
        assert self._fault is not None
        return type(self._fault)(*self._fault.args)

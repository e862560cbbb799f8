"""Dump, verify and salvage: they show the truth, change nothing, and keep whatever is intact."""

from __future__ import annotations

import errno

import pytest

from posthouse.supervisor.journal import Journal
from posthouse.supervisor.journal_format import CHUNK_MAGIC
from posthouse.supervisor.journal_tools import dump, salvage, verify
from posthouse.transport.errors import DiskFault, DiskFull, JournalCorrupt, PreconditionFailed
from tests.support.journal_files import (
    DIRECTORY,
    contents_of,
    disk_with,
    files_of,
    open_journal,
    three_segments,
)
from tests.support.journal_world import plain
from tests.support.sim_disk import SimDisk

FILES = files_of(three_segments())
FIRST, SECOND, THIRD = sorted(name for name in FILES if name.endswith(".seg"))
WHOLE = contents_of(open_journal(three_segments(), 2))


def damaged(name: str, chunk: int) -> bytes:
    """The segment with one bit of that chunk's body flipped."""
    data = bytearray(FILES[name])
    offset = -1
    for _ in range(chunk + 1):
        offset = data.index(CHUNK_MAGIC, offset + 1)
    data[offset + 60] ^= 1
    return bytes(data)


def salvaged(files: dict[str, bytes]) -> tuple[SimDisk, Journal]:
    """Salvage, check that the source is untouched, open what came out, and open it again."""
    disk = disk_with(files)
    salvage(disk, DIRECTORY, "/rescued")
    assert files_of(disk) == files
    assert not verify(disk, "/rescued").is_corrupt
    open_journal(disk, 3, directory="/rescued").close()
    return disk, open_journal(disk, 3, directory="/rescued")


def test_a_dump_shows_every_record_with_its_place() -> None:
    entries = list(dump(disk_with(FILES), DIRECTORY))
    records = [entry.record for entry in entries if entry.record is not None]
    assert plain(records) == WHOLE
    notes = [(entry.segment, entry.note) for entry in entries if entry.record is None]
    assert notes[0] == (FIRST, "segment, generation 1, sealed, base 1")
    assert notes[2] == (THIRD, "segment, generation 1, open, base 7")


def test_a_dump_goes_on_behind_damage_and_says_so() -> None:
    entries = list(dump(disk_with({**FILES, FIRST: damaged(FIRST, 1)}), DIRECTORY))
    positions = [entry.record.position for entry in entries if entry.record is not None]
    assert positions == [1, 3, 4, 5, 6, 7, 8, 9]
    assert [entry.note for entry in entries if entry.record and entry.record.position == 3] == ["behind damage"]
    assert any(entry.note.startswith("damaged at byte") for entry in entries)


def test_verify_finds_nothing_wrong_with_a_sound_journal() -> None:
    report = verify(disk_with(FILES), DIRECTORY)
    assert not report.is_corrupt
    assert not report.is_torn
    assert report.durable == 9
    assert report.generation == 1
    assert [(segment.first, segment.last, segment.is_sealed) for segment in report.segments] == [
        (1, 3, True),
        (4, 6, True),
        (7, 9, False),
    ]


def test_verify_names_the_damage_and_changes_nothing() -> None:
    disk = disk_with({**FILES, SECOND: damaged(SECOND, 1)})
    before = files_of(disk)
    report = verify(disk, DIRECTORY)
    assert report.is_corrupt
    assert report.missing == ((5, 5),)
    assert report.segments[1].damage_offset is not None
    assert files_of(disk) == before


def test_verify_says_who_has_the_journal_open_and_leaves_the_lock_alone() -> None:
    disk = SimDisk(1)
    journal = open_journal(disk)
    journal.append(1, b"x")
    journal.commit()
    assert verify(disk, DIRECTORY).lock_holder == 1
    journal.append(1, b"y")
    journal.commit()
    journal.close()
    assert verify(disk, DIRECTORY).lock_holder == 0


def test_verify_tells_a_torn_tail_from_corruption() -> None:
    end = len(FILES[THIRD].rstrip(b"\0"))
    end += -end % 8
    report = verify(disk_with({**FILES, THIRD: FILES[THIRD][:end] + b"torn"}), DIRECTORY)
    assert report.is_torn
    assert not report.is_corrupt


def test_a_sound_journal_is_salvaged_whole() -> None:
    disk, journal = salvaged(FILES)
    assert contents_of(journal) == WHOLE
    assert disk.open_handles == 3


@pytest.mark.parametrize(("name", "chunk", "lost"), [(FIRST, 0, 1), (FIRST, 2, 3), (SECOND, 1, 5), (THIRD, 2, 9)])
def test_salvage_loses_the_damaged_chunk_and_nothing_else(name: str, chunk: int, lost: int) -> None:
    disk, journal = salvaged({**FILES, name: damaged(name, chunk)})
    assert contents_of(journal) == [record for record in WHOLE if record[0] != lost]
    assert journal.next_position == 10, "a lost position never names another record"
    with pytest.raises(LookupError):
        journal.read(lost)
    journal.append(1, b"next")
    journal.commit()
    assert plain([journal.read(10)]) == [(10, 1, b"next")]
    disk.crash()
    assert contents_of(open_journal(disk, 4, directory="/rescued"))[-1] == (10, 1, b"next")


@pytest.mark.parametrize("name", [FIRST, SECOND, THIRD])
def test_salvage_reads_a_segment_whose_header_is_lost(name: str) -> None:
    broken = bytearray(FILES[name])
    broken[20] ^= 1
    _, journal = salvaged({**FILES, name: bytes(broken)})
    assert contents_of(journal) == WHOLE


@pytest.mark.parametrize(("name", "gap"), [(FIRST, (1, 3)), (SECOND, (4, 6)), (THIRD, (7, 9))])
def test_salvage_closes_the_gap_of_a_missing_segment(name: str, gap: tuple[int, int]) -> None:
    disk = disk_with({other: data for other, data in FILES.items() if other != name})
    report = salvage(disk, DIRECTORY, "/rescued")
    assert report.missing == (gap,)
    assert report.next_position == 10
    journal = open_journal(disk, 2, directory="/rescued")
    assert contents_of(journal) == [record for record in WHOLE if not gap[0] <= record[0] <= gap[1]]


def test_damage_in_a_salvaged_journal_is_corruption_again() -> None:
    disk, journal = salvaged({**FILES, SECOND: damaged(SECOND, 1)})
    journal.close()
    files = files_of(disk, "/rescued")
    first = sorted(name for name in files if name.endswith(".seg"))[0]
    for cut in (40, 60, 100):
        with pytest.raises(JournalCorrupt):
            open_journal(disk_with({**files, first: files[first][:-cut]}), 4)


def test_a_checkpoint_stays_one_and_hides_what_it_replaced() -> None:
    disk = SimDisk(1)
    journal = open_journal(disk)
    journal.append(1, b"old")
    journal.rotate([(9, b"state")], replaces_all=True)
    journal.append(1, b"new")
    journal.close()
    report = salvage(disk, DIRECTORY, "/rescued")
    assert report.missing == ()
    again = open_journal(disk, 2, directory="/rescued")
    assert contents_of(again) == [(2, 9, b"state"), (3, 1, b"new")]


def test_chunks_that_a_later_segment_took_over_are_copied_once() -> None:
    disk = SimDisk(1)
    journal = open_journal(disk)
    journal.append(1, b"durable")
    journal.commit()
    disk.fail("fdatasync", errno.EIO)
    journal.append(2, b"rescued")
    journal.commit()
    journal.close()
    segment = disk.contents(f"{DIRECTORY}/{FIRST}")
    segment[64 + 60] ^= 1
    report = salvage(disk, DIRECTORY, "/rescued")
    assert report.records == 1
    assert report.missing == ((1, 1),)
    assert contents_of(open_journal(disk, 2, directory="/rescued")) == [(2, 2, b"rescued")]


def test_an_empty_checkpoint_is_kept_empty() -> None:
    disk = SimDisk(1)
    journal = open_journal(disk)
    journal.append(1, b"old")
    journal.rotate([], replaces_all=True)
    journal.close()
    salvage(disk, DIRECTORY, "/rescued")
    assert open_journal(disk, 2, directory="/rescued").next_position == 2


def test_salvage_refuses_to_write_over_anything_or_under_a_writer() -> None:
    disk = disk_with(FILES)
    disk.mkdir("/rescued")
    with pytest.raises(PreconditionFailed, match="exists"):
        salvage(disk, DIRECTORY, "/rescued")
    open_journal(disk, 2)
    with pytest.raises(PreconditionFailed, match="open"):
        salvage(disk, DIRECTORY, "/elsewhere")


def test_a_full_or_unreadable_disk_is_a_typed_error() -> None:
    disk = disk_with(FILES)
    disk.capacity_bytes = disk.used_bytes + 100
    with pytest.raises(DiskFull):
        salvage(disk, DIRECTORY, "/rescued")
    disk.fail("pread", errno.EIO)
    with pytest.raises(DiskFault, match="cannot be read"):
        verify(disk, DIRECTORY)


def test_a_directory_without_a_journal_is_an_error_and_not_an_empty_journal() -> None:
    with pytest.raises(DiskFault, match="cannot be read"):
        verify(SimDisk(1), "/nowhere")

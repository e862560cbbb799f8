"""The journal's calls, one promise at a time."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from posthouse.supervisor.journal import Journal, JournalSettings
from posthouse.transport.errors import DiskFault, JournalLocked, SyncFailed
from tests.support.journal_files import DIRECTORY, SETTINGS, contents_of, files_of, open_journal
from tests.support.sim_disk import SimDisk

DEFAULT = JournalSettings()


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(3)


def committed(journal: Journal, *payloads: bytes, sync: bool = True) -> None:
    for payload in payloads:
        journal.append(1, payload)
    journal.commit(sync)


def reopened(disk: SimDisk, generation: int = 2) -> Journal:
    disk.kill()
    return open_journal(disk, generation)


def test_positions_start_at_one_and_count_records(disk: SimDisk) -> None:
    journal = open_journal(disk)
    assert journal.next_position == 1
    assert [journal.append(1, b"a"), journal.append(255, b"b", b"c"), journal.append(3)] == [1, 2, 3]
    journal.commit()
    assert contents_of(journal) == [(1, 1, b"a"), (2, 255, b"bc"), (3, 3, b"")]


def test_appended_records_are_neither_written_nor_readable_before_a_commit(disk: SimDisk) -> None:
    journal = open_journal(disk)
    journal.append(1, b"later")
    assert (journal.written, journal.durable) == (0, 0)
    assert contents_of(journal) == []
    with pytest.raises(LookupError, match="position 1"):
        journal.read(1)


def test_one_commit_is_one_chunk_one_write_and_one_sync(disk: SimDisk) -> None:
    journal = open_journal(disk, settings=DEFAULT)
    committed(journal, b"warm up")
    before = dict(disk.calls)
    committed(journal, *[b"x" * 100] * 500)
    assert disk.calls["pwritev"] - before["pwritev"] == 2, "the chunk and the sidecar"
    assert disk.calls["fdatasync"] - before["fdatasync"] == 1
    assert journal.stats().chunks == 2


def test_a_commit_beyond_the_chunk_target_is_split_and_stays_in_order(disk: SimDisk) -> None:
    journal = open_journal(disk)
    committed(journal, *[b"%d" % number * 50 for number in range(8)])
    assert journal.stats().chunks == 4
    assert [payload for _, _, payload in contents_of(journal)] == [b"%d" % number * 50 for number in range(8)]


def test_a_commit_with_nothing_to_do_touches_nothing(disk: SimDisk) -> None:
    journal = open_journal(disk)
    before = disk.operations
    journal.commit()
    journal.commit(False)
    assert disk.operations == before


def test_durability_is_announced_after_the_sync_and_only_when_it_advances(disk: SimDisk) -> None:
    journal = open_journal(disk)
    heard: list[tuple[int, int]] = []
    journal.on_durable = lambda position: heard.append((position, disk.calls.get("fdatasync", 0)))
    syncs = disk.calls.get("fdatasync", 0)
    committed(journal, b"a", b"b")
    committed(journal, b"c", sync=False)
    assert (journal.written, journal.durable) == (3, 2)
    journal.commit()
    journal.commit()
    assert heard == [(2, syncs + 1), (3, syncs + 2)]


def test_records_beyond_the_unsynced_bound_are_synced_unasked(disk: SimDisk) -> None:
    journal = open_journal(disk, settings=replace(SETTINGS, unsynced_bytes_max=200))
    committed(journal, b"x" * 100, sync=False)
    assert journal.durable == 0
    committed(journal, b"x" * 100, sync=False)
    assert journal.durable == 2
    assert journal.stats().unsynced_bytes == 0


@pytest.mark.parametrize("kind", [0, 256, -1])
def test_a_kind_out_of_bounds_is_refused_and_changes_nothing(disk: SimDisk, kind: int) -> None:
    journal = open_journal(disk)
    with pytest.raises(ValueError, match="kinds are 1 to 255"):
        journal.append(kind, b"x")
    assert journal.next_position == 1


def test_a_record_beyond_the_chunk_limit_is_refused_and_changes_nothing(disk: SimDisk) -> None:
    journal = open_journal(disk)
    with pytest.raises(ValueError, match="limit"):
        journal.append(1, b"x" * 1020)
    journal.append(1, b"x" * 1012)
    journal.commit()
    assert journal.written == 1


def test_a_record_of_seventeen_mebibytes_goes_through_uncopied_buffers(disk: SimDisk) -> None:
    journal = open_journal(disk, settings=DEFAULT)
    big = memoryview(bytes(range(256)) * (17 * 4096))
    journal.append(1, b"before")
    journal.append(2, b"small head", big, b"small end")
    journal.append(3, b"after")
    journal.commit()
    assert journal.segment_is_full
    journal.rotate([])
    disk.kill()
    again = open_journal(disk, 2, settings=DEFAULT)
    records = list(again.replay())
    assert [record.kind for record in records] == [1, 2, 3]
    assert records[1].payload == b"small head" + big + b"small end"
    assert again.read(2).payload[10:-9] == big


def test_any_record_can_be_read_back_in_any_order(disk: SimDisk) -> None:
    journal = open_journal(disk)
    for segment in range(4):
        committed(journal, *[b"%d.%d" % (segment, number) * 9 for number in range(6)])
        journal.rotate([(9, b"head")])
    expected = contents_of(journal)
    assert len(expected) == 28
    for position, kind, payload in [*expected, *reversed(expected)]:
        record = journal.read(position)
        assert (record.position, record.kind, bytes(record.payload)) == (position, kind, payload)
    for absent in (0, 29):
        with pytest.raises(LookupError):
            journal.read(absent)


def test_reading_forward_reads_each_chunk_once(disk: SimDisk) -> None:
    journal = open_journal(disk, settings=DEFAULT)
    committed(journal, *[b"x" * 100] * 500)
    before = disk.calls.get("pread", 0)
    for position in range(1, 501):
        journal.read(position)
    assert disk.calls["pread"] == before + 1


def test_replay_can_be_bounded_and_comes_in_chunks(disk: SimDisk) -> None:
    journal = open_journal(disk)
    for _ in range(3):
        committed(journal, b"a", b"b", b"c")
        journal.rotate([])
    assert [record.position for record in journal.replay(3, 8)] == [3, 4, 5, 6, 7]
    assert [len(records) for records in journal.replay_chunks(3, 8)] == [1, 3, 1]
    assert [len(records) for records in journal.replay_chunks()] == [3, 3, 3]
    assert list(journal.replay(10)) == []


def test_a_segment_fills_and_the_next_is_twice_as_large(disk: SimDisk) -> None:
    journal = open_journal(disk)
    sizes: list[int] = []
    for _ in range(4):
        while not journal.segment_is_full:
            committed(journal, b"x" * 20)
        sizes.append(journal.stats().bytes - sum(sizes))
        journal.rotate([])
    assert sizes[0] < sizes[1]
    assert max(sizes) < 700, "no more than the largest segment and one chunk"


def test_a_journal_that_was_only_opened_takes_no_preallocated_room(disk: SimDisk) -> None:
    open_journal(disk, settings=DEFAULT).close()
    assert disk.used_bytes == 64 + 4096


def test_the_head_of_a_rotation_is_durable_at_once(disk: SimDisk) -> None:
    journal = open_journal(disk)
    committed(journal, b"a", sync=False)
    journal.append(1, b"pending")
    journal.rotate([(7, b"one"), (8, b"two")])
    assert journal.durable == journal.written == 4
    disk.crash()
    again = open_journal(disk, 2)
    assert contents_of(again)[2:] == [(3, 7, b"one"), (4, 8, b"two")]


def test_a_checkpoint_replaces_everything_before_it(disk: SimDisk) -> None:
    journal = open_journal(disk)
    committed(journal, b"a", b"b")
    journal.rotate([])
    committed(journal, b"c")
    journal.rotate([(9, b"state")], replaces_all=True)
    committed(journal, b"d")
    assert contents_of(journal) == [(4, 9, b"state"), (5, 1, b"d")]
    assert journal.first_position == 4
    assert journal.stats().segments == 1
    assert contents_of(reopened(disk)) == [(4, 9, b"state"), (5, 1, b"d")]
    assert [name for name in disk.listdir(DIRECTORY) if name.endswith(".seg")] == ["0000000003.seg"]


def test_the_old_checkpoint_goes_only_when_the_new_one_reads_back(disk: SimDisk) -> None:
    journal = open_journal(disk)
    committed(journal, b"a")
    disk.fail("pread", errno.EIO)
    with pytest.raises(SyncFailed, match="read back"):
        journal.rotate([(9, b"state")], replaces_all=True)
    assert "0000000001.seg" in disk.listdir(DIRECTORY)


def test_trim_removes_whole_segments_below_and_never_the_tail(disk: SimDisk) -> None:
    journal = open_journal(disk)
    for _ in range(3):
        committed(journal, b"a", b"b")
        journal.rotate([])
    before = disk.operations
    journal.trim(2)
    assert disk.operations == before, "nothing to do costs nothing"
    journal.trim(6)
    assert [position for position, _, _ in contents_of(journal)] == [5, 6]
    journal.trim(1000)
    assert contents_of(journal) == []
    assert journal.stats().segments == 1
    committed(journal, b"next")
    assert contents_of(reopened(disk)) == [(7, 1, b"next")]


def test_the_second_opener_is_told_who_holds_the_journal(disk: SimDisk) -> None:
    journal = open_journal(disk)
    with pytest.raises(JournalLocked, match="held by process 1"):
        open_journal(disk, 2)
    journal.close()
    open_journal(disk, 2)


def test_an_older_generation_is_refused_even_before_the_newer_one_wrote(disk: SimDisk) -> None:
    open_journal(disk, 5).close()
    files = files_of(disk)
    with pytest.raises(JournalLocked, match="generation 5"):
        open_journal(disk, 4)
    assert files_of(disk) == files
    open_journal(disk, 5).close()


def test_a_refused_opening_leaves_no_handle_and_no_lock(disk: SimDisk) -> None:
    open_journal(disk, 5).close()
    with pytest.raises(JournalLocked):
        open_journal(disk, 4)
    assert disk.open_handles == 0


@pytest.mark.parametrize("operation", ["pread", "pwritev", "fsync", "fdatasync", "fsync_dir", "rename", "open"])
def test_an_opening_that_fails_leaves_no_handle_and_no_lock_and_can_be_repeated(operation: str) -> None:
    for at in range(12):
        disk = SimDisk(at)
        journal = open_journal(disk, 5)
        committed(journal, b"a")
        committed(journal, b"b", sync=False)
        disk.contents(f"{DIRECTORY}/0000000001.seg")[300] = 1
        disk.kill()
        disk.fail(operation, errno.EIO, after=at)
        try:
            open_journal(disk, 6).close()
        except DiskFault:
            assert disk.open_handles == 0
        disk.heal()
        assert [payload for _, _, payload in contents_of(open_journal(disk, 6))] == [b"a", b"b"]


def test_closing_commits_and_is_final(disk: SimDisk) -> None:
    journal = open_journal(disk)
    journal.append(1, b"last words")
    journal.close()
    journal.close()
    assert disk.open_handles == 0
    with pytest.raises(DiskFault, match="closed"):
        journal.append(1, b"x")
    assert contents_of(open_journal(disk, 2)) == [(1, 1, b"last words")]


def test_two_journals_on_one_disk_do_not_meet(disk: SimDisk) -> None:
    one, two = open_journal(disk, directory="/one"), open_journal(disk, directory="/two")
    committed(one, b"1")
    committed(two, b"2", b"2")
    disk.kill("/one")
    assert contents_of(open_journal(disk, 2, directory="/one")) == [(1, 1, b"1")]
    committed(two, b"2")
    assert two.written == 3


@pytest.mark.parametrize(
    "change",
    [
        {"segment_bytes_first": 0},
        {"segment_bytes_max": 1},
        {"chunk_bytes_max": 2**30},
        {"chunk_bytes_target": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        JournalSettings(**change)  # type: ignore[arg-type]

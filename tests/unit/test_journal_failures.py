"""What the journal does when the disk fails, is full, or lies: rescue, refuse, or end."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from posthouse.supervisor.journal import Journal, JournalSettings
from posthouse.transport.errors import DiskFull, JournalCorrupt, SyncFailed
from tests.support.journal_files import DIRECTORY, SETTINGS, contents_of, open_journal
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


@pytest.mark.parametrize("operation", ["pwritev", "fdatasync"])
def test_after_a_failed_sync_the_records_go_to_a_new_segment_and_the_old_file_is_let_go(
    disk: SimDisk, operation: str
) -> None:
    journal = open_journal(disk)
    committed(journal, b"durable")
    committed(journal, b"written only", sync=False)
    disk.fail(operation, errno.EIO, path="0000000001.seg")
    committed(journal, b"rescued")
    assert journal.durable == journal.written == 3
    assert journal.stats().sync_failures == 1
    committed(journal, b"life goes on")
    expected = contents_of(journal)
    assert [payload for _, _, payload in expected] == [
        b"durable",
        b"written only",
        b"rescued",
        b"life goes on",
    ]
    assert bytes(journal.read(2).payload) == b"written only"
    disk.crash()
    assert contents_of(open_journal(disk, 2)) == expected


def test_a_second_failure_in_a_row_ends_the_journal(disk: SimDisk) -> None:
    journal = open_journal(disk)
    committed(journal, b"durable")
    disk.fail("fdatasync", errno.EIO)
    disk.fail("fsync", errno.EIO)
    with pytest.raises(SyncFailed, match="rewriting it elsewhere failed"):
        committed(journal, b"lost")
    assert journal.durable == 1
    for call in (
        lambda: journal.append(1, b"x"),
        journal.commit,
        lambda: journal.read(1),
        lambda: journal.trim(1),
        lambda: journal.rotate([]),
    ):
        with pytest.raises(SyncFailed, match="rewriting it elsewhere failed"):
            call()
    journal.close()
    assert disk.open_handles == 0


def test_a_failed_sync_and_no_room_to_rewrite_ends_the_journal(disk: SimDisk) -> None:
    journal = open_journal(disk)
    committed(journal, b"durable")
    disk.fail("fdatasync", errno.EIO)
    disk.capacity_bytes = disk.used_bytes
    with pytest.raises(DiskFull):
        committed(journal, b"lost")
    with pytest.raises(DiskFull):
        journal.append(1, b"x")


@pytest.mark.parametrize("preallocate", [True, False])
def test_a_full_disk_refuses_the_commit_and_nothing_of_it_ever_shows(disk: SimDisk, preallocate: bool) -> None:
    journal = open_journal(disk, settings=replace(SETTINGS, preallocate=preallocate))
    committed(journal, b"before")
    disk.capacity_bytes = disk.used_bytes + 150
    with pytest.raises(DiskFull, match="Free some space"):
        committed(journal, *[b"refused" * 140] * 5)
    assert journal.next_position == 2
    assert contents_of(journal) == [(1, 1, b"before")]
    committed(journal, b"small")
    disk.crash()
    assert contents_of(open_journal(disk, 2)) == [(1, 1, b"before"), (2, 1, b"small")]


def test_a_full_disk_refuses_a_rotation_and_the_segment_stays_in_use(disk: SimDisk) -> None:
    journal = open_journal(disk)
    committed(journal, b"before")
    disk.capacity_bytes = disk.used_bytes
    with pytest.raises(DiskFull):
        journal.rotate([(1, b"head")])
    committed(journal, b"after")
    assert journal.stats().refused_commits == 1
    disk.heal()
    journal.rotate([(1, b"head")])
    assert [payload for _, _, payload in contents_of(reopened(disk))] == [b"before", b"after", b"head"]


def test_the_reserve_gives_a_full_disk_room_for_acks(disk: SimDisk) -> None:
    journal = open_journal(disk, settings=replace(SETTINGS, reserve_bytes=4096))
    assert not journal.stats().has_reserve, "an idle journal sets nothing aside"
    committed(journal, b"x" * 100)
    assert journal.stats().has_reserve
    disk.capacity_bytes = disk.used_bytes
    with pytest.raises(DiskFull):
        committed(journal, *[b"message" * 140] * 5)
    assert journal.release_reserve()
    assert not journal.release_reserve()
    committed(journal, *[b"ack" * 270] * 5)
    disk.heal()
    journal.rotate([])
    assert journal.stats().has_reserve


def test_a_reserve_without_room_is_no_fault(disk: SimDisk) -> None:
    journal = open_journal(disk, settings=replace(SETTINGS, reserve_bytes=10**6))
    disk.capacity_bytes = disk.used_bytes + 5000
    committed(journal, b"fine")
    assert not journal.stats().has_reserve
    assert "reserve" not in disk.listdir(DIRECTORY)


def test_a_sidecar_that_cannot_be_written_costs_nothing_but_is_counted(disk: SimDisk) -> None:
    journal = open_journal(disk)
    disk.fail("pwritev", errno.EIO, path="sidecar")
    committed(journal, b"fine")
    assert journal.durable == 1
    assert journal.stats().sync_failures == 1


def test_a_seal_that_fails_costs_nothing_but_is_counted(disk: SimDisk) -> None:
    journal = open_journal(disk)
    committed(journal, b"a")
    disk.fail("fdatasync", errno.EIO, path="0000000001.seg")
    journal.rotate([(2, b"head")])
    assert journal.stats().sync_failures == 1
    assert len(contents_of(reopened(disk))) == 2


@pytest.mark.parametrize(
    ("operation", "path"),
    [("rename", ""), ("fsync_dir", ""), ("fsync", "")],
)
def test_a_rotation_that_cannot_be_made_durable_ends_the_journal(disk: SimDisk, operation: str, path: str) -> None:
    journal = open_journal(disk)
    committed(journal, b"a")
    disk.fail(operation, errno.EIO, path=path)
    with pytest.raises(SyncFailed):
        journal.rotate([])
    with pytest.raises(SyncFailed):
        journal.append(1, b"x")
    assert contents_of(reopened(disk)) == [(1, 1, b"a")]


@pytest.mark.parametrize("operation", ["unlink", "fdatasync"])
def test_a_trim_that_fails_ends_the_journal_and_loses_nothing(disk: SimDisk, operation: str) -> None:
    journal = open_journal(disk)
    committed(journal, b"a")
    journal.rotate([(2, b"head")])
    disk.fail(operation, errno.EIO)
    with pytest.raises(SyncFailed):
        journal.trim(2)
    assert contents_of(reopened(disk))[-1] == (2, 2, b"head")


def test_an_undone_commit_is_gone_durably(disk: SimDisk) -> None:
    journal = open_journal(disk, settings=replace(SETTINGS, preallocate=False))
    committed(journal, b"before")
    disk.capacity_bytes = disk.used_bytes + 20
    before = disk.calls["fdatasync"]
    with pytest.raises(DiskFull):
        committed(journal, b"x" * 100)
    assert disk.calls["fdatasync"] == before + 1
    assert disk.used_bytes == disk.capacity_bytes - 20


def test_a_preallocation_that_fails_is_a_failed_write(disk: SimDisk) -> None:
    journal = open_journal(disk)
    disk.fail("fallocate", errno.EIO)
    committed(journal, b"rescued")
    assert journal.durable == 1
    assert journal.stats().sync_failures == 1


def test_a_commit_that_fits_is_taken_when_a_whole_segment_does_not_fit(disk: SimDisk) -> None:
    journal = open_journal(disk, settings=DEFAULT)
    disk.capacity_bytes = disk.used_bytes + 8192
    committed(journal, b"fits")
    assert journal.durable == 1


@pytest.mark.parametrize("call", ["replay", "release"])
def test_any_other_fault_of_the_disk_is_typed_and_ends_the_journal(disk: SimDisk, call: str) -> None:
    journal = open_journal(disk, settings=DEFAULT)
    committed(journal, b"a")
    disk.fail("pread", errno.EIO)
    disk.fail("unlink", errno.EIO)
    with pytest.raises(SyncFailed):
        contents_of(journal) if call == "replay" else journal.release_reserve()
    with pytest.raises(SyncFailed):
        journal.commit()


def test_an_undo_that_fails_ends_the_journal(disk: SimDisk) -> None:
    journal = open_journal(disk, settings=replace(SETTINGS, preallocate=False))
    disk.capacity_bytes = disk.used_bytes + 20
    disk.fail("ftruncate", errno.EIO)
    with pytest.raises(SyncFailed, match="undoing"):
        committed(journal, b"x" * 100)


def test_damage_that_comes_after_the_opening_is_never_served(disk: SimDisk) -> None:
    journal = open_journal(disk)
    committed(journal, b"first")
    committed(journal, b"second")
    disk.contents(f"{DIRECTORY}/0000000001.seg")[64 + 56 + 6] ^= 4
    with pytest.raises(JournalCorrupt, match="1-1 are lost") as caught:
        contents_of(journal)
    assert caught.value.missing == ((1, 1),)
    with pytest.raises(JournalCorrupt):
        journal.read(1)
    assert bytes(journal.read(2).payload) == b"second"


def test_a_disk_that_cannot_be_read_ends_the_journal(disk: SimDisk) -> None:
    journal = open_journal(disk)
    committed(journal, b"first")
    disk.fail("pread", errno.EIO)
    with pytest.raises(SyncFailed, match="reading position 1"):
        journal.read(1)


def test_a_disk_that_refuses_everything_is_a_typed_error(disk: SimDisk) -> None:
    disk.fail("mkdir", errno.EACCES)
    with pytest.raises(SyncFailed, match="taking the lock"):
        open_journal(disk)

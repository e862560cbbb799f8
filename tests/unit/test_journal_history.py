"""What can still be read of a journal while somebody writes it, after damage, and with which times."""

from __future__ import annotations

from functools import partial

import pytest

from posthouse.supervisor.journal_format import SegmentHeader
from posthouse.supervisor.journal_history import Commit, History
from posthouse.supervisor.journal_tools import salvage
from tests.support.journal_files import DIRECTORY, disk_with, files_of, open_journal, three_segments
from tests.support.sim_disk import SimDisk

START_MS = 1_700_000_000_000


def commits_of(disk: SimDisk, directory: str = DIRECTORY) -> list[Commit]:
    return list(History(disk, directory).commits())


def positions_of(commits: list[Commit]) -> list[int]:
    return [record.position for commit in commits for record in commit.records]


def faults_of(commits: list[Commit]) -> list[str]:
    return [commit.fault for commit in commits if commit.fault]


def test_it_reads_all_segments_in_order() -> None:
    commits = commits_of(three_segments())
    assert positions_of(commits) == list(range(1, 10))
    assert faults_of(commits) == []


def test_it_reads_while_the_journal_is_open_and_changes_nothing() -> None:
    disk = SimDisk(7)
    journal = open_journal(disk)
    journal.append(1, b"one")
    journal.commit()
    before = files_of(disk)
    assert positions_of(commits_of(disk)) == [1]
    assert files_of(disk) == before
    journal.append(1, b"two")
    journal.commit()
    assert positions_of(commits_of(disk)) == [1, 2]


def test_each_commit_has_its_time_and_the_life_that_wrote_it() -> None:
    disk = SimDisk(7)
    clock = iter(range(START_MS, START_MS + 1_000_000, 1_000))
    journal = open_journal(disk, now_ms=lambda: next(clock))
    for _ in range(2):
        journal.append(1)
        journal.commit()
    journal.close()
    journal = open_journal(disk, generation=2, now_ms=lambda: START_MS + 50_000)
    journal.append(1)
    journal.commit()
    found = [(commit.at_ms - START_MS, commit.generation) for commit in commits_of(disk)]
    assert found == [(1_000, 1), (2_000, 1), (50_000, 2)]


def test_a_journal_of_version_1_has_no_times_and_keeps_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimDisk(7)
    with monkeypatch.context() as patch:
        patch.setattr("posthouse.supervisor.journal_segment.SegmentHeader", partial(SegmentHeader, version=1))
        journal = open_journal(disk)
        journal.append(1, b"by an earlier posthouse")
        journal.commit()
        journal.close()
    journal = open_journal(disk, 2)
    journal.append(1, b"more")
    journal.commit()
    assert [commit.at_ms for commit in commits_of(disk)] == [0, 0]
    assert files_of(disk)["0000000001.seg"][8] == 1
    journal.rotate([])
    journal.append(1, b"in a segment of version 2")
    journal.commit()
    assert commits_of(disk)[-1].at_ms == START_MS


def test_records_that_survived_a_crash_keep_their_time_and_life() -> None:
    disk = SimDisk(7)
    journal = open_journal(disk)
    journal.append(1, b"synced")
    journal.commit()
    journal.append(1, b"written only")
    journal.commit(sync=False)
    disk.kill()
    journal = open_journal(disk, 2, now_ms=lambda: START_MS + 60_000)
    journal.append(1, b"after")
    journal.commit()
    assert [(commit.at_ms - START_MS, commit.generation) for commit in commits_of(disk)] == [
        (0, 1),
        (0, 1),
        (60_000, 2),
    ]


def test_salvaged_records_keep_their_times() -> None:
    disk = SimDisk(7)
    clock = iter(range(START_MS, START_MS + 1_000_000, 1_000))
    journal = open_journal(disk, now_ms=lambda: next(clock))
    for _ in range(3):
        journal.append(1)
        journal.commit()
        journal.rotate([])
    journal.close()
    salvage(disk, DIRECTORY, "/saved")
    assert [c.at_ms for c in commits_of(disk, "/saved")] == [c.at_ms for c in commits_of(disk)]


def test_a_segment_older_than_its_chunks_can_say_asks_for_another() -> None:
    disk = SimDisk(7)
    now_ms = START_MS
    journal = open_journal(disk, now_ms=lambda: now_ms)
    was_full = []
    for days in (0, 25):
        now_ms += days * 86_400_000
        journal.append(1)
        journal.commit()
        was_full.append(journal.segment_is_full)
    journal.rotate([])
    assert [*was_full, journal.segment_is_full] == [False, True, False]


@pytest.mark.parametrize("cut", [1, 8, 40, 60])
def test_a_half_written_end_is_just_the_end(cut: int) -> None:
    files = files_of(three_segments(is_closed=False))
    last = sorted(name for name in files if name.endswith(".seg"))[-1]
    whole = files[last].rstrip(b"\0")
    whole += bytes(-len(whole) % 8)
    commits = commits_of(disk_with({**files, last: whole[:-cut]}))
    assert positions_of(commits) == list(range(1, 9))
    assert faults_of(commits) == []


def test_damage_in_the_middle_is_a_remark_and_the_rest_is_read() -> None:
    files = files_of(three_segments())
    broken = bytearray(files["0000000002.seg"])
    broken[64 + 56 + 8] ^= 1
    commits = commits_of(disk_with({**files, "0000000002.seg": bytes(broken)}))
    assert positions_of(commits) == [1, 2, 3, 5, 6, 7, 8, 9]
    assert faults_of(commits) == ["0000000002.seg is damaged at byte 64"]


def test_an_unreadable_header_and_a_lost_file_are_remarks() -> None:
    files = files_of(three_segments())
    commits = commits_of(disk_with({**files, "0000000002.seg": bytes(64) + files["0000000002.seg"][64:]}))
    assert positions_of(commits) == [1, 2, 3, 7, 8, 9]
    assert faults_of(commits)[0] == "the header of 0000000002.seg is unreadable, so nothing of it is"
    del files["0000000002.seg"]
    assert faults_of(commits_of(disk_with(files))) == ["positions 4-6 are missing before 0000000003.seg"]


def test_a_segment_that_is_removed_while_it_reads_is_passed_over() -> None:
    disk = three_segments()
    commits = History(disk, DIRECTORY).commits()
    first = next(commits)
    disk.unlink(f"{DIRECTORY}/0000000002.seg")
    found = [first, *commits]
    assert positions_of(found) == [1, 2, 3, 7, 8, 9]
    assert faults_of(found) == []


def test_segments_that_come_while_it_reads_are_read_too() -> None:
    disk = three_segments(is_closed=False)
    commits = History(disk, DIRECTORY).commits()
    found = [next(commits)]
    journal = open_journal(disk, 2)
    journal.rotate([(77, b"late")])
    found += commits
    assert positions_of(found)[-1] == 10


def test_a_journal_that_is_not_there_is_an_error_of_the_machine() -> None:
    with pytest.raises(OSError, match="nowhere"):
        commits_of(SimDisk(1), "/nowhere")

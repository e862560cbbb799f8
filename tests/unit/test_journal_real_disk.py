"""The journal on the real file system: same promises, private files, a lock that dies with its holder."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from posthouse.supervisor.disk import RealDisk, write_fully
from posthouse.supervisor.journal import Journal, JournalSettings
from posthouse.supervisor.journal_tools import salvage, verify
from posthouse.transport.errors import JournalLocked
from tests.support.journal_files import contents_of

HOLDER = """
import sys
from posthouse.supervisor.disk import RealDisk
from posthouse.supervisor.journal import Journal, JournalSettings
journal = Journal.open(RealDisk(), sys.argv[1], generation=1, settings=JournalSettings(), now_ms=lambda: 1)
journal.append(1, b"from the holder")
journal.commit()
journal.append(2, b"written, not synced")
journal.commit(sync=False)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


def opened(directory: str, generation: int = 1, disk: RealDisk | None = None) -> Journal:
    return Journal.open(
        disk or RealDisk(), directory, generation=generation, settings=JournalSettings(), now_ms=lambda: 1
    )


def test_a_life_of_a_journal_on_the_real_disk(directory: str) -> None:
    journal = opened(directory)
    for number in range(2000):
        journal.append(1, b"%d" % number)
    journal.commit()
    journal.append(2, bytes(100_000))
    journal.commit(sync=False)
    assert journal.segment_is_full
    journal.rotate([(3, b"head")])
    journal.trim(2002)
    journal.append(4, b"last")
    journal.close()
    again = opened(directory, 2)
    assert contents_of(again) == [(2002, 3, b"head"), (2003, 4, b"last")]
    assert again.stats().segments == 1
    again.close()


def test_every_file_and_directory_is_private(directory: str) -> None:
    journal = opened(directory)
    journal.append(1, b"secret")
    journal.commit()
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    for name in os.listdir(directory):
        assert stat.S_IMODE(os.stat(f"{directory}/{name}").st_mode) == 0o600, name
    journal.close()


def test_more_buffers_than_one_call_takes_are_all_written(tmp_path: Path) -> None:
    disk = RealDisk()
    handle = disk.create(str(tmp_path / "f"))
    parts = [b"%04d" % number for number in range(3000)]
    assert write_fully(disk, handle, parts, 5) == 12_000
    assert disk.pread(handle, 20_000, 5) == b"".join(parts)
    disk.fdatasync(handle)
    disk.close(handle)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for call in (RealDisk().open, RealDisk().create, RealDisk().lock):
        with pytest.raises(OSError, match="symbolic links") as caught:
            call(str(tmp_path / "link"))
        assert caught.value.errno == errno.ELOOP


def test_a_second_opening_in_the_same_process_is_refused_and_harmless(directory: str) -> None:
    disk = RealDisk()
    journal = opened(directory, disk=disk)
    with pytest.raises(JournalLocked, match=str(os.getpid())):
        opened(directory, disk=disk)
    assert verify(disk, directory).lock_holder == os.getpid()
    journal.append(1, b"x")
    journal.close()
    assert verify(disk, directory).lock_holder == 0


def test_another_process_holds_the_lock_until_it_is_killed(directory: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, directory]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(JournalLocked, match=f"process {holder.pid}"):
                opened(directory, 2)
            assert verify(RealDisk(), directory).lock_holder == holder.pid
        finally:
            holder.kill()
    journal = opened(directory, 2)
    assert contents_of(journal) == [(1, 1, b"from the holder"), (2, 2, b"written, not synced")]
    assert journal.recovery.reappended_records == 1
    journal.close()
    assert salvage(RealDisk(), directory, str(tmp_path / "rescued")).records == 2


def test_an_unlocked_file_and_a_missing_one_are_held_by_nobody(tmp_path: Path) -> None:
    disk = RealDisk()
    assert disk.lock_holder(str(tmp_path / "lock")) == 0
    disk.unlock(disk.lock(str(tmp_path / "lock")))
    assert disk.lock_holder(str(tmp_path / "lock")) == 0


def test_reads_end_with_the_file_and_clocks_and_random_bytes_work(tmp_path: Path) -> None:
    disk = RealDisk()
    handle = disk.create(str(tmp_path / "f"))
    assert disk.pread(handle, 10, 0) == b""
    write_fully(disk, handle, [b"abc"], 0)
    assert disk.pread(handle, 10, 1) == b"bc"
    disk.close(handle)
    assert len(disk.random_bytes(5)) == 5
    assert disk.monotonic_ns() <= disk.monotonic_ns()

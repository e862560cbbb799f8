"""The simulated disk keeps what was synced, may lose what was not, and never invents."""

from __future__ import annotations

import errno
import random

import pytest

from posthouse.supervisor.disk import Buffer, write_fully
from tests.support.sim_disk import PowerCut, SimDisk
from tests.support.sim_pages import PAGE_BYTES


@pytest.fixture
def disk() -> SimDisk:
    disk = SimDisk(1)
    disk.mkdir("/d")
    return disk


def stored(disk: SimDisk, name: str, data: bytes) -> int:
    handle = disk.create(f"/d/{name}")
    write_fully(disk, handle, [data], 0)
    disk.fsync(handle)
    disk.fsync_dir("/d")
    return handle


def test_synced_bytes_and_names_survive_every_crash() -> None:
    for seed in range(50):
        disk = SimDisk(seed)
        disk.mkdir("/d")
        stored(disk, "f", b"kept" * 3000)
        disk.crash(random.Random(seed))
        assert disk.contents("/d/f") == b"kept" * 3000


def test_unsynced_pages_are_old_new_or_torn_and_nothing_else() -> None:
    seen = set()
    for seed in range(200):
        disk = SimDisk(seed)
        disk.mkdir("/d")
        handle = stored(disk, "f", b"a" * PAGE_BYTES * 2)
        disk.pwritev(handle, [b"b" * PAGE_BYTES * 2], 0)
        disk.crash(random.Random(seed))
        pages = [disk.contents("/d/f")[start : start + PAGE_BYTES] for start in (0, PAGE_BYTES)]
        for page in pages:
            assert page == b"b" * page.count(b"b") + b"a" * page.count(b"a")
        seen.add(tuple("torn" if b"a" in page and b"b" in page else chr(page[0]) for page in pages))
    assert {("a", "b"), ("b", "a"), ("a", "a"), ("b", "b")} <= seen
    assert any("torn" in image for image in seen)


def test_an_unsynced_length_is_anything_between() -> None:
    sizes = set()
    for seed in range(100):
        disk = SimDisk(seed)
        disk.mkdir("/d")
        handle = stored(disk, "f", b"a" * 10)
        disk.pwritev(handle, [b"b" * 90], 10)
        disk.crash(random.Random(seed))
        sizes.add(len(disk.contents("/d/f")))
        assert disk.contents("/d/f")[:10] == b"a" * 10
    assert {10, 100} < sizes


def test_an_unsynced_cut_may_be_undone_with_the_old_bytes() -> None:
    images = set()
    for seed in range(60):
        disk = SimDisk(seed)
        disk.mkdir("/d")
        handle = stored(disk, "f", b"abcdef")
        disk.ftruncate(handle, 2)
        disk.crash(random.Random(seed))
        images.add(bytes(disk.contents("/d/f"))[:2])
    assert images == {b"ab"}


def test_unsynced_names_may_be_there_or_not() -> None:
    listings = set()
    for seed in range(100):
        disk = SimDisk(seed)
        disk.mkdir("/d")
        stored(disk, "old", b"1")
        stored(disk, "doomed", b"2")
        disk.rename("/d/old", "/d/new")
        disk.unlink("/d/doomed")
        disk.crash(random.Random(seed))
        listings.add(frozenset(disk.listdir("/d")))
    assert listings == {
        frozenset({"old", "doomed"}),
        frozenset({"new", "doomed"}),
        frozenset({"old"}),
        frozenset({"new"}),
    }


def test_after_a_failed_sync_the_next_one_succeeds_and_the_bytes_are_gone() -> None:
    for seed in range(20):
        disk = SimDisk(seed)
        disk.mkdir("/d")
        handle = stored(disk, "f", b"old!")
        disk.pwritev(handle, [b"new!"], 0)
        disk.fail("fdatasync", errno.EIO)
        with pytest.raises(OSError, match="injected"):
            disk.fdatasync(handle)
        disk.fdatasync(handle)
        assert disk.contents("/d/f") == b"new!"
        disk.crash(random.Random(seed))
        assert disk.contents("/d/f") == b"old!"


def test_rewriting_a_lost_page_makes_it_dirty_again(disk: SimDisk) -> None:
    handle = stored(disk, "f", b"old!")
    disk.pwritev(handle, [b"new!"], 0)
    disk.fail("fsync", errno.EIO)
    with pytest.raises(OSError, match="injected"):
        disk.fsync(handle)
    disk.pwritev(handle, [b"new!"], 0)
    disk.fdatasync(handle)
    disk.crash()
    assert disk.contents("/d/f") == b"new!"


def test_a_killed_process_loses_handles_and_locks_and_no_byte(disk: SimDisk) -> None:
    handle = disk.create("/d/f")
    disk.pwritev(handle, [b"unsynced"], 0)
    disk.lock("/d/lock")
    with pytest.raises(BlockingIOError):
        disk.lock("/d/lock")
    assert disk.lock_holder("/d/lock") == 1
    disk.kill("/d")
    assert disk.lock_holder("/d/lock") == 0
    disk.unlock(disk.lock("/d/lock"))
    assert disk.contents("/d/f") == b"unsynced"
    with pytest.raises(OSError, match="not open"):
        disk.pread(handle, 1, 0)


def test_killing_one_process_leaves_the_others(disk: SimDisk) -> None:
    disk.mkdir("/e")
    mine, other = disk.create("/d/f"), disk.create("/e/f")
    disk.kill("/d")
    disk.pwritev(other, [b"alive"], 0)
    with pytest.raises(OSError, match="not open"):
        disk.size(mine)


def test_a_full_disk_takes_what_fits_and_then_refuses(disk: SimDisk) -> None:
    disk.capacity_bytes = 10
    handle = disk.create("/d/f")
    assert disk.pwritev(handle, [b"123456", b"789abc"], 0) == 10
    with pytest.raises(OSError, match="no space"):
        disk.pwritev(handle, [b"x"], 10)
    assert disk.pwritev(handle, [b"overwriting is free"[:10]], 0) == 10
    with pytest.raises(OSError, match="no space"):
        disk.fallocate(handle, 0, 11)
    disk.unlink("/d/f")
    assert disk.used_bytes == 0


def test_short_writes_are_finished_by_the_caller(disk: SimDisk) -> None:
    disk.has_short_writes = True
    handle = disk.create("/d/f")
    parts: list[Buffer] = [b"a" * 100, b"", memoryview(b"b" * 50), bytearray(b"c")] * 20
    assert write_fully(disk, handle, parts, 7) == 151 * 20
    assert disk.contents("/d/f") == bytes(7) + b"".join(parts)


def test_power_is_cut_at_the_named_call_and_stays_off(disk: SimDisk) -> None:
    handle = disk.create("/d/f")
    disk.cut_power_at(2)
    disk.pwritev(handle, [b"done"], 0)
    with pytest.raises(PowerCut):
        disk.pwritev(handle, [b"torn"], 4)
    with pytest.raises(PowerCut):
        disk.fdatasync(handle)
    disk.kill()
    assert disk.contents("/d/f").startswith(b"done")


def test_one_seed_gives_one_history() -> None:
    def history(seed: int) -> list[bytes]:
        disk = SimDisk(seed)
        disk.mkdir("/d")
        handles = [disk.create(f"/d/{number}") for number in range(5)]
        for handle in handles:
            disk.pwritev(handle, [disk.random_bytes(9000)], 0)
        disk.crash()
        return [name.encode() + bytes(disk.contents(f"/d/{name}")) for name in sorted(disk.listdir("/d"))]

    assert history(5) == history(5)
    assert history(5) != history(6)


def test_what_is_not_there_is_said_as_the_system_says_it(disk: SimDisk) -> None:
    for call in (
        lambda: disk.open("/d/none"),
        lambda: disk.unlink("/d/none"),
        lambda: disk.listdir("/none"),
        lambda: disk.rename("/d/none", "/d/new"),
    ):
        with pytest.raises(FileNotFoundError):
            call()
    with pytest.raises(FileExistsError):
        disk.mkdir("/d")
    assert not disk.exists("/none/f")
    assert disk.exists("/d")


def test_creating_an_existing_file_empties_it(disk: SimDisk) -> None:
    stored(disk, "f", b"old")
    disk.create("/d/f")
    assert disk.contents("/d/f") == b""
    assert disk.used_bytes == 0

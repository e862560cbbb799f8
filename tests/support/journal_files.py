"""A small journal of known content on a simulated disk, and copies of it for tests that damage files.

It simulates nothing itself; what a copied disk does not have is what `sim_disk` says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from posthouse.supervisor.journal import Journal, JournalSettings
from tests.support.journal_world import plain
from tests.support.sim_disk import SimDisk

DIRECTORY: Final = "/journal"
SETTINGS: Final = JournalSettings(
    segment_bytes_first=256,
    segment_bytes_max=512,
    chunk_bytes_target=128,
    chunk_bytes_max=1024,
    reserve_bytes=0,
)


def open_journal(
    disk: SimDisk,
    generation: int = 1,
    settings: JournalSettings = SETTINGS,
    directory: str = DIRECTORY,
    now_ms: Callable[[], int] = lambda: 1_700_000_000_000,
) -> Journal:
    """A journal with a clock that stands still, unless another is given."""
    return Journal.open(disk, directory, generation=generation, settings=settings, now_ms=now_ms)


def three_segments(is_closed: bool = True) -> SimDisk:
    """Positions 1 to 9 in three segments, two of them sealed, two or three chunks in each; all durable."""
    disk = SimDisk(7)
    journal = open_journal(disk)
    for segment in range(3):
        if segment:
            journal.rotate([(100 + segment, b"head")])
        for number in range(2 if segment else 3):
            journal.append(1 + number, b"payload %d.%d" % (segment, number))
            journal.commit()
    if is_closed:
        journal.close()
    else:
        disk.kill()
    return disk


def files_of(disk: SimDisk, directory: str = DIRECTORY) -> dict[str, bytes]:
    """Every file with its bytes."""
    return {name: bytes(disk.contents(f"{directory}/{name}")) for name in disk.listdir(directory)}


def disk_with(files: dict[str, bytes], directory: str = DIRECTORY) -> SimDisk:
    """A new disk that holds these files, all synced."""
    disk = SimDisk(8)
    disk.mkdir(directory)
    for name, data in files.items():
        handle = disk.create(f"{directory}/{name}")
        if data:
            disk.pwritev(handle, [data], 0)
        disk.fsync(handle)
        disk.close(handle)
    disk.fsync_dir(directory)
    return disk


def contents_of(journal: Journal) -> list[tuple[int, int, bytes]]:
    """Everything that replay yields."""
    return plain(list(journal.replay()))

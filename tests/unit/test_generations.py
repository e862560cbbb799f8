"""Generations and the file that keeps them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from posthouse.supervisor import generations
from posthouse.supervisor.atomic_file import replace_file
from posthouse.supervisor.generations import BLOCK, Generations
from posthouse.transport.errors import DiskFault, DiskFull, SyncFailed


def test_generations_rise_by_one_and_never_come_again_after_a_crash(tmp_path: Path) -> None:
    path = str(tmp_path / "generations")
    first = Generations.open(path, is_new=True)
    assert [first.take() for _ in range(3)] == [1, 2, 3]
    assert Generations.open(path, is_new=False).take() > 3


def test_a_block_is_recorded_before_the_first_of_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    monkeypatch.setattr(generations, "replace_file", lambda path, data: writes.append(data))
    taken = Generations.open(str(tmp_path / "g"), is_new=True)
    for _ in range(BLOCK):
        taken.take()
    assert writes == [b"posthouse generations below 1025\n"]
    assert taken.take() == BLOCK + 1
    assert len(writes) == 2


def test_no_generation_is_given_out_that_could_not_be_recorded(tmp_path: Path) -> None:
    with pytest.raises(DiskFault):
        Generations.open(str(tmp_path / "missing" / "g"), is_new=True).take()


@pytest.mark.parametrize("content", [None, b"", b"posthouse generations below x\n", b"\x00" * 40])
def test_a_missing_or_damaged_file_is_not_guessed(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "generations"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DiskFault, match="missing or damaged"):
        Generations.open(str(path), is_new=False)


def test_an_unreadable_file_is_a_disk_fault(tmp_path: Path) -> None:
    with pytest.raises(DiskFault, match="cannot be read"):
        Generations.open(str(tmp_path), is_new=True)


def test_a_file_is_replaced_as_a_whole_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (tmp_path / "file.tmp").write_text("left by a crash")
    replace_file(str(path), b"one")
    replace_file(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("number", "expected"), [(errno.ENOSPC, DiskFull), (errno.EIO, SyncFailed)])
def test_a_failed_sync_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[DiskFault]
) -> None:
    path = tmp_path / "file"
    replace_file(str(path), b"one")

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(expected):
        replace_file(str(path), b"two")
    assert path.read_bytes() == b"one"

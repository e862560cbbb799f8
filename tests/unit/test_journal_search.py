"""Searching a journal: the same commits as reading it all would find, whatever is around them."""

from __future__ import annotations

from typing import final

import pytest

from posthouse.supervisor import journal_search
from posthouse.supervisor.journal_history import History
from tests.support.journal_files import DIRECTORY, disk_with, files_of, open_journal
from tests.support.sim_disk import SimDisk


@final
class Word:
    """A word to be looked for."""

    def __init__(self, word: bytes) -> None:
        self._word = word
        self.length_max = len(word)

    def find(self, data: bytes, start: int) -> int:
        return data.find(self._word, start)


def filled(*payloads: bytes, rotate_after: int = 0) -> SimDisk:
    disk = SimDisk(7)
    journal = open_journal(disk)
    for number, payload in enumerate(payloads, 1):
        journal.append(1, payload)
        journal.commit()
        if number == rotate_after:
            journal.rotate([])
    journal.close()
    return disk


def found(disk: SimDisk, word: bytes) -> list[bytes]:
    commits = History(disk, DIRECTORY).matching(Word(word))
    return [bytes(record.payload) for commit in commits for record in commit.records]


def test_only_the_commits_that_hold_it_are_found_in_their_order_and_in_all_segments() -> None:
    disk = filled(b"a needle", b"hay", b"hay", b"needles", b"hay", rotate_after=2)
    assert found(disk, b"needle") == [b"a needle", b"needles"]
    assert found(disk, b"pin") == []


def test_each_says_where_it_is_and_the_history_goes_on_from_there() -> None:
    disk = filled(b"hay", b"needle", b"more hay", b"the end", rotate_after=3)
    (hit,) = History(disk, DIRECTORY).matching(Word(b"needle"))
    rest = History(disk, DIRECTORY).commits(hit.place)
    assert [bytes(record.payload) for commit in rest for record in commit.records] == [
        b"needle", b"more hay", b"the end",
    ]  # fmt: skip


def test_a_body_that_looks_like_the_head_of_a_chunk_leads_nobody_astray() -> None:
    disk = filled(b"PHCK" * 50 + b"needle", b"hay")
    assert len(found(disk, b"needle")) == 1


@pytest.mark.parametrize("near", [1, 64 * 1024])
def test_it_is_found_wherever_the_pieces_are_cut(monkeypatch: pytest.MonkeyPatch, near: int) -> None:
    monkeypatch.setattr(journal_search, "NEAR_BYTES", near)
    disk = filled(*(b"x" * size + b"needle" + b"y" * (40 - size) for size in range(40)), b"hay" * 300)
    for piece_bytes in (64, 100, 257, 1_000):
        monkeypatch.setattr(journal_search, "PIECE_BYTES", piece_bytes)
        assert len(found(disk, b"needle")) == 40


def test_a_damaged_chunk_is_passed_over_and_those_behind_it_are_found() -> None:
    disk = filled(b"needle 1", b"needle 2", b"needle 3")
    files = files_of(disk)
    broken = bytearray(files["0000000001.seg"])
    broken[broken.index(b"needle 2")] ^= 1
    damaged = disk_with({**files, "0000000001.seg": bytes(broken)})
    assert found(damaged, b"needle") == [b"needle 1", b"needle 3"]
    broken[broken.index(b"needle 3") + 7] ^= 1
    damaged = disk_with({**files, "0000000001.seg": bytes(broken)})
    assert found(damaged, b"needle") == [b"needle 1"]

"""The records of an exchange's journal: golden bytes, and what damage is called."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from posthouse.actors import held_records as records
from posthouse.actors.held_records import Kind, LeavingRecord, Mark
from posthouse.actors.held_replay import HeldReplay
from posthouse.actors.held_state import HeldState
from posthouse.transport.errors import JournalCorrupt
from tests.support.held_samples import LEAVING, MARK, RAW, RECORDS

GOLDEN: Final = Path(__file__).parent.parent / "golden" / "held_records.txt"


def golden() -> dict[str, str]:
    return dict(line.split(" ", 1) for line in GOLDEN.read_text().splitlines())


@pytest.mark.parametrize(("kind", "payload"), RECORDS, ids=[kind.name for kind, _ in RECORDS])
def test_every_record_is_written_as_its_golden_sample(kind: Kind, payload: bytes) -> None:
    assert golden()[f"{kind.value}-{kind.name}"] == payload.hex()


def test_every_kind_has_a_sample() -> None:
    assert {kind for kind, _ in RECORDS} == set(Kind)
    assert len(golden()) == len(Kind)


def test_records_are_read_as_what_was_written() -> None:
    held = records.decode_held(RECORDS[5][1])
    assert (held.number, held.held_ms, held.start, bytes(held.raw)) == (1, 1_700_000_000_000, 1, RAW)
    assert records.decode(RECORDS[1][1], LeavingRecord) == LEAVING
    assert records.decode(RECORDS[4][1], Mark) == MARK
    assert records.decode_numbers(RECORDS[2][1], 3) == [77, 1, 4, 78, 1, 1]


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.HELD, b"short"),
        (Kind.HELD, b"\0" * 20 + b"no batch"),
        (Kind.HELD, b"\0" * 20 + b"\x92\x3c\x01"),
        (Kind.LEAVING, b"\xc1"),
        (Kind.LEAVING, b"\x92\x92\x01\x02\x90"),
        (Kind.LANDED, b"\x92\x01\x02"),
        (Kind.ABANDONED, b"\xa1x"),
        (Kind.MARK, b"\x90"),
        (99, b""),
    ],
)
def test_what_makes_no_sense_is_damage(kind: int, payload: bytes) -> None:
    with pytest.raises(JournalCorrupt):
        HeldReplay(HeldState(1_000), 1_000).record(1, kind, payload)

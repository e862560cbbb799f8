"""Every flipped bit, every truncation, every missing or exchanged file of a small journal."""

from __future__ import annotations

import struct

import pytest

from posthouse.supervisor.journal_format import CHUNK_MAGIC, decode_body
from posthouse.supervisor.journal_recovery import survey_journal
from posthouse.supervisor.journal_sidecar import SIDECAR_NAME
from posthouse.transport.errors import DiskFault, JournalCorrupt
from tests.support.journal_files import (
    DIRECTORY,
    contents_of,
    disk_with,
    files_of,
    open_journal,
    three_segments,
)

FILES = files_of(three_segments())
FIRST, SECOND, THIRD = sorted(name for name in FILES if name.endswith(".seg"))
WHOLE = contents_of(open_journal(three_segments(), 2))


def outcome(files: dict[str, bytes]) -> list[tuple[int, int, bytes]] | JournalCorrupt:
    """What opening these files comes to; checks that a refusal changed nothing and an opening is repeatable."""
    disk = disk_with(files)
    try:
        journal = open_journal(disk, 2)
    except JournalCorrupt as corrupt:
        after = files_of(disk)
        after.pop("lock")
        assert after == {name: data for name, data in files.items() if name != "lock"}
        return corrupt
    contents = contents_of(journal)
    journal.close()
    again = open_journal(disk, 3)
    assert contents_of(again) == contents
    assert again.recovery.torn_bytes == 0
    assert again.recovery.reappended_records == 0
    return contents


def test_the_undamaged_journal_holds_nine_records() -> None:
    assert [position for position, _, _ in WHOLE] == list(range(1, 10))
    assert outcome(FILES) == WHOLE


@pytest.mark.parametrize("name", [FIRST, SECOND, THIRD, SIDECAR_NAME])
def test_no_flipped_bit_loses_or_changes_a_record_unnoticed(name: str) -> None:
    used = len(FILES[name].rstrip(b"\0")) + 16
    refused = 0
    for byte in range(min(used, len(FILES[name]))):
        if name == SIDECAR_NAME and not any(FILES[name][byte & ~63 : (byte & ~63) + 64]):
            continue
        for bit in range(8):
            damaged = bytearray(FILES[name])
            damaged[byte] ^= 1 << bit
            try:
                result = outcome({**FILES, name: bytes(damaged)})
            except DiskFault as fault:
                pytest.fail(f"bit {bit} of byte {byte} of {name}: {fault}")
            if isinstance(result, JournalCorrupt):
                refused += 1
                assert "posthouse journal salvage" in str(result)
            else:
                assert result == WHOLE, f"bit {bit} of byte {byte} of {name}"
    assert (refused == 0) == (name == SIDECAR_NAME)


@pytest.mark.parametrize("name", [FIRST, SECOND, THIRD])
def test_no_truncation_loses_a_record_unnoticed(name: str) -> None:
    for length in range(len(FILES[name])):
        result = outcome({**FILES, name: FILES[name][:length]})
        assert isinstance(result, JournalCorrupt) or result == WHOLE, f"{name} cut to {length} bytes"


def test_a_truncated_or_missing_sidecar_costs_nothing() -> None:
    for length in range(0, 2048, 24):
        assert outcome({**FILES, SIDECAR_NAME: FILES[SIDECAR_NAME][:length]}) == WHOLE
    assert outcome({name: data for name, data in FILES.items() if name != SIDECAR_NAME}) == WHOLE


@pytest.mark.parametrize("name", [FIRST, SECOND, THIRD])
def test_a_missing_segment_is_noticed_and_its_positions_are_named(name: str) -> None:
    result = outcome({other: data for other, data in FILES.items() if other != name})
    assert isinstance(result, JournalCorrupt)
    assert result.missing == ({FIRST: (1, 3), SECOND: (4, 6), THIRD: (7, 9)}[name],)


def test_all_segments_missing_is_no_new_journal() -> None:
    result = outcome({SIDECAR_NAME: FILES[SIDECAR_NAME]})
    assert isinstance(result, JournalCorrupt)
    assert result.missing == ((1, 9),)


def test_exchanged_and_duplicated_segments_are_noticed() -> None:
    exchanged = {**FILES, FIRST: FILES[SECOND], SECOND: FILES[FIRST]}
    duplicated = {**FILES, "0000000004.seg": FILES[THIRD]}
    assert isinstance(outcome(exchanged), JournalCorrupt)
    assert isinstance(outcome(duplicated), JournalCorrupt)


def test_a_segment_of_another_journal_is_noticed() -> None:
    disk = disk_with({})
    journal = open_journal(disk)
    journal.rotate([])
    foreign = files_of(disk)[SECOND]
    assert isinstance(outcome({**FILES, SECOND: foreign}), JournalCorrupt)


def test_a_damaged_chunk_hides_none_behind_it() -> None:
    damaged = bytearray(FILES[FIRST])
    second_chunk = damaged.index(CHUNK_MAGIC, damaged.index(CHUNK_MAGIC) + 1)
    damaged[second_chunk + 60] ^= 1
    result = outcome({**FILES, FIRST: bytes(damaged)})
    assert isinstance(result, JournalCorrupt)
    assert result.missing == ((2, 2),)


def test_a_damaged_chunk_header_hides_none_behind_it() -> None:
    damaged = bytearray(FILES[FIRST])
    second_chunk = damaged.index(CHUNK_MAGIC, damaged.index(CHUNK_MAGIC) + 1)
    damaged[second_chunk] ^= 1
    result = outcome({**FILES, FIRST: bytes(damaged)})
    assert isinstance(result, JournalCorrupt)
    assert result.missing == ((2, 2),)


def test_damage_in_the_last_durable_chunk_is_refused_thanks_to_the_sidecar() -> None:
    damaged = bytearray(FILES[THIRD])
    damaged[damaged.rindex(CHUNK_MAGIC) + 60] ^= 1
    result = outcome({**FILES, THIRD: bytes(damaged)})
    assert isinstance(result, JournalCorrupt)
    assert result.missing == ((9, 9),)


def test_bytes_beyond_the_durable_end_are_set_aside_and_counted() -> None:
    torn = FILES[THIRD].rstrip(b"\0")
    end = len(torn) + -len(torn) % 8
    disk = disk_with({**FILES, THIRD: FILES[THIRD][:end] + b"half a chunk" + bytes(500)})
    journal = open_journal(disk, 2)
    assert contents_of(journal) == WHOLE
    assert journal.recovery.torn_bytes == 12
    assert journal.recovery.torn_file == f"{THIRD}.torn-{end}"
    assert files_of(disk)[f"{THIRD}.torn-{end}"] == b"half a chunk"
    assert len(files_of(disk)[THIRD]) == end


def test_an_intact_chunk_with_lengths_that_do_not_add_up_is_corrupt() -> None:
    with pytest.raises(ValueError, match="says"):
        decode_body(memoryview(struct.pack("<IB3x", 77, 1)), 1, 1)


def test_unknown_files_are_left_alone() -> None:
    strangers = {"notes.txt": b"mine", "0000000009.seg.bak": b"also", "0000000001.seg.torn-64": b"kept"}
    disk = disk_with({**FILES, **strangers})
    open_journal(disk, 2).close()
    assert strangers.items() <= files_of(disk).items()


def test_a_segment_that_was_never_finished_is_removed() -> None:
    disk = disk_with({**FILES, "0000000004.seg.tmp": FILES[THIRD][:90]})
    assert contents_of(open_journal(disk, 2)) == WHOLE
    assert "0000000004.seg.tmp" not in files_of(disk)


def test_a_survey_changes_nothing() -> None:
    disk = disk_with(FILES)
    before = disk.operations
    survey_journal(disk, DIRECTORY)
    assert disk.operations == before

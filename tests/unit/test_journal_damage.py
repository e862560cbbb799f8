"""Every flipped bit, every truncation, every missing or exchanged file of a small journal."""

from __future__ import annotations

import struct

import pytest

from posthouse.supervisor.journal import JournalSettings
from posthouse.supervisor.journal_format import (
    CHUNK_MAGIC,
    checksum_of,
    decode_body,
    decode_chunk_header,
    decode_footer,
    decode_segment_header,
    encode_chunk_header,
    encode_footer,
    encode_segment_header,
)
from posthouse.supervisor.journal_recovery import survey_journal
from posthouse.supervisor.journal_scan import read_chunks
from posthouse.supervisor.journal_sidecar import SIDECAR_NAME, Mark, encode_mark
from posthouse.transport.errors import DiskFault, JournalCorrupt
from tests.support.journal_files import (
    DIRECTORY,
    contents_of,
    disk_with,
    files_of,
    open_journal,
    three_segments,
)
from tests.support.sim_disk import SimDisk

FILES = files_of(three_segments())
FIRST, SECOND, THIRD = sorted(name for name in FILES if name.endswith(".seg"))
WHOLE = contents_of(open_journal(three_segments(), 2))


def outcome(files: dict[str, bytes]) -> list[tuple[int, int, bytes]] | JournalCorrupt:
    """What opening these files comes to. A refusal must change nothing, an opening must be repeatable."""
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
    with pytest.raises(JournalCorrupt, match="says"):
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


WITHOUT_SIDECAR = {name: data for name, data in FILES.items() if name != SIDECAR_NAME}


def chunk_offsets(data: bytes | bytearray) -> list[int]:
    return [place for place in range(0, len(data), 8) if data[place : place + 4] == CHUNK_MAGIC]


def test_the_watermark_in_a_later_chunk_proves_that_the_damaged_one_was_durable() -> None:
    damaged = bytearray(FILES[THIRD])
    damaged[chunk_offsets(damaged)[1] + 60] ^= 1
    result = outcome({**WITHOUT_SIDECAR, THIRD: bytes(damaged)})
    assert isinstance(result, JournalCorrupt)
    assert result.missing == ((8, 8),)


def test_the_head_of_a_segment_is_durable_because_the_segment_has_its_name() -> None:
    disk = SimDisk(1)
    journal = open_journal(disk)
    journal.append(1, b"a")
    journal.rotate([(2, b"head")])
    journal.close()
    files = files_of(disk)
    del files[SIDECAR_NAME]
    damaged = bytearray(files[SECOND])
    damaged[64 + 60] ^= 1
    result = outcome({**files, SECOND: bytes(damaged)})
    assert isinstance(result, JournalCorrupt)
    assert result.missing == ((2, 2),)


def test_without_sidecar_damage_to_the_last_chunk_looks_like_a_torn_tail() -> None:
    """The one case that the sidecar exists for; without it nothing tells decay from a power cut."""
    damaged = bytearray(FILES[THIRD])
    damaged[chunk_offsets(damaged)[2] + 60] ^= 1
    assert outcome({**WITHOUT_SIDECAR, THIRD: bytes(damaged)}) == WHOLE[:-1]


def test_what_survives_behind_a_torn_spot_is_not_replayed() -> None:
    disk = SimDisk(1)
    journal = open_journal(disk)
    for number in range(5):
        journal.append(1, b"%d" % number)
        journal.commit(sync=number == 0)
    disk.kill()
    segment = disk.contents(f"{DIRECTORY}/{FIRST}")
    segment[chunk_offsets(bytes(segment))[3] + 60] ^= 1
    again = open_journal(disk, 2)
    assert [payload for _, _, payload in contents_of(again)] == [b"0", b"1", b"2"]
    assert again.recovery.reappended_records == 2
    assert again.recovery.torn_bytes > 100
    assert again.append(1, b"next") == 4


def rebuilt(name: str, **change: int) -> bytes:
    """The segment with another header, correctly checksummed, and its first chunk chained to that."""
    header = decode_segment_header(FILES[name])
    assert header is not None
    encoded, crc = encode_segment_header(header._replace(**change))
    data = bytearray(FILES[name])
    data[:64] = encoded
    chain = crc
    checksum = checksum_of(header.algorithm)
    for offset in chunk_offsets(data):
        chunk = decode_chunk_header(memoryview(data)[offset : offset + 56], header.salt, checksum)
        assert chunk is not None
        data[offset : offset + 56], chain = encode_chunk_header(chunk._replace(chain=chain), checksum)
    footer = decode_footer(memoryview(data)[-40:], header.salt, checksum)
    if footer is not None:
        data[-40:] = encode_footer(footer._replace(chain=chain), checksum)
    return bytes(data)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"chain": 1}, "does not continue"),
        ({"journal_id": 1}, "belongs to another journal"),
        ({"base": 0}, "begins before"),
    ],
)
def test_a_well_formed_segment_of_another_history_is_noticed(change: dict[str, int], text: str) -> None:
    result = outcome({**FILES, SECOND: rebuilt(SECOND, **change)})
    assert isinstance(result, JournalCorrupt)
    assert text in str(result)
    assert outcome({**FILES, THIRD: rebuilt(THIRD)}) == WHOLE


def test_a_well_formed_chunk_of_another_history_is_noticed() -> None:
    data = bytearray(FILES[FIRST])
    header = decode_segment_header(data)
    assert header is not None
    checksum = checksum_of(header.algorithm)
    offset = chunk_offsets(data)[1]
    chunk = decode_chunk_header(memoryview(data)[offset : offset + 56], header.salt, checksum)
    assert chunk is not None
    data[offset : offset + 56], _ = encode_chunk_header(chunk._replace(chain=chunk.chain ^ 1), checksum)
    assert isinstance(outcome({**FILES, FIRST: bytes(data)}), JournalCorrupt)


def test_a_footer_that_promises_more_than_there_is_is_noticed() -> None:
    header = decode_segment_header(FILES[SECOND])
    assert header is not None
    checksum = checksum_of(header.algorithm)
    footer = decode_footer(memoryview(FILES[SECOND])[-40:], header.salt, checksum)
    assert footer is not None
    data = FILES[SECOND][:-40] + encode_footer(footer._replace(last=8), checksum)
    result = outcome({FIRST: FILES[FIRST], SECOND: data})
    assert isinstance(result, JournalCorrupt)
    assert result.missing == ((7, 8),)


def test_a_chunk_that_decays_between_survey_and_copy_is_never_copied() -> None:
    disk = disk_with(FILES)
    survey = survey_journal(disk, DIRECTORY)
    segment = disk.contents(f"{DIRECTORY}/{FIRST}")
    segment[chunk_offsets(segment)[1]] ^= 1
    with pytest.raises(OSError, match="intact a moment ago"):
        list(read_chunks(disk, DIRECTORY, survey.scans[0], 1))


def test_a_sidecar_of_another_journal_is_not_believed() -> None:
    foreign = bytearray(4096)
    foreign[0:48] = encode_mark(Mark(99, 1, 12345, 1000, 0))
    foreign[1024:1072] = encode_mark(Mark(98, 1, 12345, 8, 3))
    assert outcome({**FILES, SIDECAR_NAME: bytes(foreign)}) == WHOLE


def test_many_missing_ranges_are_counted_and_not_all_listed() -> None:
    disk = SimDisk(1)
    journal = open_journal(disk)
    for number in range(24):
        journal.append(1, b"%d" % number)
        journal.commit()
    journal.close()
    segment = disk.contents(f"{DIRECTORY}/{FIRST}")
    for offset in chunk_offsets(bytes(segment))[::2]:
        segment[offset + 60] ^= 1
    with pytest.raises(JournalCorrupt, match="and 4 more ranges") as caught:
        open_journal(disk, 2)
    assert len(caught.value.missing) == 12


def test_damage_is_found_and_left_behind_across_mebibytes() -> None:
    disk = SimDisk(1)
    settings = JournalSettings()
    journal = open_journal(disk, settings=settings)
    for size in (3 * 2**20, 100, 5 * 2**20, 100):
        journal.append(1, bytes([size & 255 or 7]) * size)
        journal.commit()
    journal.close()
    whole = files_of(disk)
    torn = {**whole, FIRST: whole[FIRST] + bytes(3 * 2**20) + b"torn" + bytes(2 * 2**20)}
    again = open_journal(disk_with(torn), 2, settings=settings)
    end = int(str(again.recovery.torn_file).rpartition("-")[2])
    assert end + again.recovery.torn_bytes == len(whole[FIRST]) + 3 * 2**20 + len(b"torn")
    damaged = bytearray(whole[FIRST])
    damaged[64] ^= 1
    with pytest.raises(JournalCorrupt) as caught:
        open_journal(disk_with({**whole, FIRST: bytes(damaged)}), 2, settings=settings)
    assert caught.value.missing == ((1, 1),)


def test_a_segment_of_which_nothing_is_left_is_all_missing() -> None:
    result = outcome({**FILES, SECOND: b"PHCK" * 100})
    assert isinstance(result, JournalCorrupt)
    assert "unreadable" in str(result)


def test_a_survey_changes_nothing() -> None:
    disk = disk_with(FILES)
    before = disk.operations
    survey_journal(disk, DIRECTORY)
    assert disk.operations == before

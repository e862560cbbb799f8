"""The bytes of format versions 1 and 2, against golden files, and what decoders refuse."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies

from posthouse.supervisor import journal_format
from posthouse.supervisor.journal_format import (
    AGE_MAX,
    BODY_BYTES_MAX,
    CRC32C,
    VERSION,
    VERSIONS_READ,
    ZLIB_CRC32,
    ChunkBuilder,
    ChunkHeader,
    Footer,
    SegmentHeader,
    age_of,
    checksum_of,
    decode_body,
    decode_chunk_header,
    decode_footer,
    decode_segment_header,
    encode_chunk_header,
    encode_footer,
    encode_segment_header,
    preferred_algorithm,
    written_ms,
)
from posthouse.supervisor.journal_sidecar import Mark, decode_marks, encode_mark
from posthouse.transport.errors import DiskFault
from tests.support.journal_files import contents_of, disk_with, files_of, open_journal
from tests.support.sim_disk import SimDisk

GOLDEN = Path(__file__).parents[1] / "golden"
SEGMENT = SegmentHeader(ZLIB_CRC32, 3, 7, 1001, 5, 0xDEADBEEF, 0x01020304, 1_700_000_000_000, 0xABCDEF, 2)
CHUNK = ChunkHeader(24, 2, 1001, 1000, 5, 0xDEADBEEF, 0x11223344, 0x55667788)
FOOTER = Footer(12, 0xDEADBEEF, 0x55667788, 1200, 5)
ALGORITHMS = {"crc32c": CRC32C, "crc32": ZLIB_CRC32}


@pytest.mark.parametrize("version", VERSIONS_READ)
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_segment_of_any_version_is_read_for_ever(name: str, version: int) -> None:
    """The golden segments were written once; a change of the format needs a new version, not new files."""
    golden = (GOLDEN / f"journal_v{version}_{name}.seg").read_bytes()
    journal = open_journal(disk_with({"0000000001.seg": golden}), 9)
    assert contents_of(journal) == [
        (1, 1, b""),
        (2, 2, b"two"),
        (3, 255, bytes(range(256))),
        (4, 3, b"a second commit"),
    ]


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_segment_of_version_2_is_written_byte_for_byte(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.supervisor.journal_segment.preferred_algorithm", lambda: ALGORITHMS[name])
    disk = SimDisk(42)
    times = iter((1_700_000_000_000, 1_700_000_000_007, 1_700_000_001_000))
    journal = open_journal(disk, now_ms=lambda: next(times, 0))
    journal.append(1)
    journal.append(2, b"t", b"wo")
    journal.append(255, bytes(range(256)))
    journal.commit()
    journal.append(3, b"a second commit")
    journal.commit()
    journal.rotate([])
    assert files_of(disk)["0000000001.seg"] == (GOLDEN / f"journal_v2_{name}.seg").read_bytes()


def test_the_sidecar_slot_of_version_1_is_written_byte_for_byte() -> None:
    mark = Mark(3, 5, 0xABCDEF, 1001, 7)
    assert encode_mark(mark) == (GOLDEN / "journal_v1_mark.bin").read_bytes()
    assert decode_marks(encode_mark(mark)).durable == mark


@pytest.mark.parametrize("algorithm", ALGORITHMS.values())
def test_every_structure_comes_back_as_it_was(algorithm: int) -> None:
    checksum = checksum_of(algorithm)
    encoded, crc = encode_segment_header(SEGMENT)
    assert decode_segment_header(encoded) == SEGMENT._replace(crc=crc)
    encoded, crc = encode_chunk_header(CHUNK, checksum)
    assert decode_chunk_header(memoryview(encoded), CHUNK.salt, checksum) == CHUNK._replace(crc=crc)
    assert decode_footer(memoryview(encode_footer(FOOTER, checksum)), FOOTER.salt, checksum) == FOOTER


def test_the_sizes_are_those_of_the_drawings() -> None:
    checksum = checksum_of(ZLIB_CRC32)
    assert len(encode_segment_header(SEGMENT)[0]) == 64
    assert len(encode_chunk_header(CHUNK, checksum)[0]) == 56
    assert len(encode_footer(FOOTER, checksum)) == 40


def test_foreign_salt_makes_a_chunk_and_a_footer_no_part_of_the_segment() -> None:
    checksum = checksum_of(ZLIB_CRC32)
    assert decode_chunk_header(memoryview(encode_chunk_header(CHUNK, checksum)[0]), 1, checksum) is None
    assert decode_chunk_header(memoryview(encode_chunk_header(CHUNK, checksum)[0]), None, checksum) is not None
    assert decode_footer(memoryview(encode_footer(FOOTER, checksum)), 1, checksum) is None


def test_short_bytes_are_no_structure() -> None:
    checksum = checksum_of(ZLIB_CRC32)
    assert decode_segment_header(b"POSTHSEG") is None
    assert decode_chunk_header(memoryview(b"PHCK"), 1, checksum) is None
    assert decode_footer(memoryview(b"PHFT"), 1, checksum) is None


@pytest.mark.parametrize(
    "change",
    [
        {"body_length": 20},
        {"body_length": BODY_BYTES_MAX + 8},
        {"body_length": 8},
        {"records": 0},
        {"first": 0},
    ],
)
def test_a_chunk_header_out_of_bounds_is_refused_whatever_its_checksum_says(change: dict[str, int]) -> None:
    checksum = checksum_of(ZLIB_CRC32)
    encoded, _ = encode_chunk_header(CHUNK._replace(**change), checksum)
    assert decode_chunk_header(memoryview(encoded), CHUNK.salt, checksum) is None


def test_a_newer_version_is_named_and_not_taken_for_damage() -> None:
    encoded = bytearray(encode_segment_header(SEGMENT)[0])
    struct.pack_into("<H", encoded, 8, VERSION + 1)
    struct.pack_into("<I", encoded, 60, zlib.crc32(encoded[:60]))
    with pytest.raises(DiskFault, match=f"version {VERSION + 1}"):
        decode_segment_header(bytes(encoded))


def test_a_missing_checksum_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = disk_with({"0000000001.seg": (GOLDEN / "journal_v1_crc32c.seg").read_bytes()})
    monkeypatch.setattr(journal_format, "_ALGORITHMS", {ZLIB_CRC32: zlib.crc32})
    assert preferred_algorithm() == ZLIB_CRC32
    with pytest.raises(DiskFault, match="pip install crc32c"):
        open_journal(disk)
    with pytest.raises(DiskFault, match="algorithm 9"):
        checksum_of(9)


def test_a_journal_goes_on_in_the_other_algorithm_segment_by_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimDisk(1)
    with monkeypatch.context() as without:
        without.setattr(journal_format, "_ALGORITHMS", {ZLIB_CRC32: zlib.crc32})
        journal = open_journal(disk)
        journal.append(1, b"crc32")
        journal.close()
    journal = open_journal(disk, 2)
    journal.append(2, b"crc32 still")
    journal.rotate([(3, b"crc32c")])
    journal.close()
    assert contents_of(open_journal(disk, 3)) == [(1, 1, b"crc32"), (2, 2, b"crc32 still"), (3, 3, b"crc32c")]
    algorithms = [data[10] for name, data in sorted(files_of(disk).items()) if name.endswith(".seg")]
    assert algorithms == [ZLIB_CRC32, preferred_algorithm()]


@settings(deadline=None, max_examples=60)
@given(strategies.lists(strategies.tuples(strategies.integers(1, 255), strategies.binary(max_size=40))))
def test_any_records_come_back_from_their_bodies(records: list[tuple[int, bytes]]) -> None:
    builder = ChunkBuilder(10, 100, 1000)
    for kind, payload in records:
        builder.add(kind, (payload[:3], payload[3:]))
    back = []
    for body in builder.take():
        data = memoryview(b"".join(body.buffers))
        assert len(data) == body.length
        assert body.length % 8 == 0
        back += decode_body(data, body.first, body.records)
    assert [(record.position, record.kind, bytes(record.payload)) for record in back] == [
        (10 + place, kind, payload) for place, (kind, payload) in enumerate(records)
    ]


def test_large_parts_are_handed_on_and_not_copied() -> None:
    builder = ChunkBuilder(1, 10**6, 10**6)
    large = memoryview(bytes(50_000))
    builder.add(1, (b"small", b"small", large, b"end"))
    (body,) = builder.take()
    assert any(buffer is large for buffer in body.buffers)
    assert len(body.buffers) == 3
    builder.add(1, (large, large))
    assert len(builder.take()[0].buffers) == 4
    builder.add(1, (large,))
    assert sum(body.length for body in builder.take()) == 50_008


def test_a_restarted_builder_has_forgotten_everything() -> None:
    builder = ChunkBuilder(1, 8, 100)
    for _ in range(3):
        builder.add(1, (b"forgotten",))
    builder.restart(2)
    assert builder.is_empty()
    assert builder.next_position == 2
    assert builder.take() == []


def test_a_chunk_says_when_it_was_written() -> None:
    checksum = checksum_of(ZLIB_CRC32)
    at_ms = SEGMENT.created_ms + 12_345
    encoded, _ = encode_chunk_header(CHUNK._replace(age=age_of(SEGMENT, at_ms)), checksum)
    found = decode_chunk_header(memoryview(encoded), CHUNK.salt, checksum)
    assert found is not None
    assert written_ms(SEGMENT, found) == at_ms


@pytest.mark.parametrize(
    ("segment", "at_ms", "said"),
    [
        (SEGMENT, SEGMENT.created_ms, SEGMENT.created_ms),
        (SEGMENT, SEGMENT.created_ms - 5_000, SEGMENT.created_ms),
        (SEGMENT, SEGMENT.created_ms + AGE_MAX - 2, SEGMENT.created_ms + AGE_MAX - 2),
        (SEGMENT, SEGMENT.created_ms + AGE_MAX - 1, 0),
        (SEGMENT, 0, 0),
        (SEGMENT._replace(version=1), SEGMENT.created_ms + 5, 0),
        (SEGMENT._replace(created_ms=0), 5, 0),
    ],
    ids=["at once", "set back", "oldest", "too old", "unknown", "version 1", "lost header"],
)
def test_the_time_of_a_chunk_is_right_or_unknown(segment: SegmentHeader, at_ms: int, said: int) -> None:
    assert written_ms(segment, CHUNK._replace(age=age_of(segment, at_ms))) == said

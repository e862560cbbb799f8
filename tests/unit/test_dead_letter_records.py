"""The bytes of the dead-letter journal's records. The golden file has one of each; changing it breaks disks."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from posthouse.actors import dead_letter_records as records
from posthouse.actors.dead_letter_records import Counters, Grave, Kind, Leaving, Mark
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages_dead import Death

GOLDEN = Path(__file__).parents[1] / "golden" / "dead_letter_records.txt"
DEATH = Death(reason="rejected", queue="ewr", died_ms=1_700_000_000_001, attempt=1, fingerprint="8d8be5ad2bca")
GRAVE = Grave(5_555, 11, DEATH)
MOVED = Grave(5_555, 11, DEATH, [7, 8, 10, 10])
LEAVING = Leaving("ewr", 6_666, 3, [7, 8, 10, 10])
MARK = Mark(11, [5_555, 12], {"ewr": [6_666, 6]}, Counters(10, 3, 1))


def samples() -> dict[str, bytes]:
    """One record of every shape, under the name of its kind."""
    return {
        Kind.BURIED.name: b"".join(records.encode_buried(7, GRAVE, b"raw batch")),
        Kind.MOVED.name: b"".join(records.encode_buried(7, MOVED, b"raw batch")),
        Kind.LEAVING.name: records.encode_leaving(LEAVING),
        Kind.LEFT.name: records.encode_ranges([(7, 8)]),
        Kind.RETURNED.name: records.encode_ranges([(10, 10)]),
        Kind.PURGED.name: records.encode_ranges([(1, 2), (4, 6)]),
        Kind.MARK.name: records.encode_mark(MARK),
    }


def test_every_kind_is_written_as_the_golden_file_says() -> None:
    golden: dict[str, bytes] = {}
    for line in GOLDEN.read_text().splitlines():
        number, name, payload = line.split()
        assert Kind[name] == int(number)
        golden[name] = bytes.fromhex(payload)
    assert golden == samples()
    assert set(golden) == {kind.name for kind in Kind}


def test_every_kind_is_read_back_as_it_was_written() -> None:
    written = samples()
    buried = records.decode_buried(memoryview(written["BURIED"]))
    assert (buried.first_id, buried.grave, bytes(buried.raw)) == (7, GRAVE, b"raw batch")
    assert records.decode_buried(written["MOVED"]).grave == MOVED
    assert records.decode_leaving(written["LEAVING"]) == LEAVING
    assert records.decode_ranges(written["PURGED"]) == [(1, 2), (4, 6)]
    assert records.decode_mark(written["MARK"]) == MARK


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x91\xa1x", b"\x91\x01", b"\x92\x05\x04"])
def test_bytes_that_are_no_ranges_are_corruption(payload: bytes) -> None:
    with pytest.raises(JournalCorrupt):
        records.decode_ranges(payload)


def test_records_that_make_no_sense_are_corruption() -> None:
    with pytest.raises(JournalCorrupt, match="11 bytes"):
        records.decode_buried(b"12345678901")
    with pytest.raises(JournalCorrupt, match="cannot be read"):
        records.decode_mark(msgspec.msgpack.encode([5]))
    with pytest.raises(JournalCorrupt, match="ranges"):
        records.decode_leaving(msgspec.msgpack.encode(["ewr", 1, 2, [5, 4]]))

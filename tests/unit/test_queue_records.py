"""The bytes of the queue's journal records. The golden file has one of each; changing it breaks disks."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from posthouse.actors import queue_records as records
from posthouse.actors.queue_records import (
    Counters,
    ExpiresRecord,
    Kind,
    LeavingRecord,
    Mark,
    Receiver,
    RetryRecord,
    Summary,
)
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages_dead import Attempt, Death

GOLDEN = Path(__file__).parents[1] / "golden" / "queue_records.txt"

COUNTERS = Counters(500, 400, 3, 390, 2, 1, 9, 8, 7, 4)
MARK = Mark(501, [7, 500, 8, 12], {"order-1": 1_700_000_000_000}, COUNTERS, 5_555, 12)
ATTEMPT = Attempt(
    attempt=2,
    at_ms=1_700_000_000_000,
    consumer="shop",
    how="nack",
    error_type="KeyError",
    error="'x'",
    traceback="a trace",
    reason="bad order",
)
DEATH = Death(
    reason="rejected",
    queue="ewr",
    died_ms=1_700_000_000_001,
    attempt=2,
    first_ms=1_700_000_000_000,
    fingerprint="8d8be5ad2bca",
    cause="KeyError: 'x'",
    history=(ATTEMPT,),
)
SUMMARY = Summary(301, [7, 500, 8, 12], b"\x64\0\0\0\0\0\0\0", bytes(7) + b"\1" + bytes(8))
LEAVING = LeavingRecord(5_555, 11, 301, 302, DEATH)
EXPIRES = ExpiresRecord(1_700_000_000_002, 301, 310)


def samples() -> dict[str, bytes]:
    """One record of every shape, under the name of its kind."""
    return {
        Kind.STORE.name: b"".join(records.encode_store(301, b"raw batch")),
        Kind.DELIVERED.name: records.encode_ranges([(1, 4), (5, 9), (301, 70_000)]),
        Kind.SETTLED.name: records.encode_ranges([(2, 2)]),
        Kind.MARK.name: records.encode_mark(MARK),
        Kind.MOVED.name: b"".join(records.encode_moved(301, [301, 301, 0, 303, 310, 2], b"raw batch")),
        Kind.REJECTED.name: records.encode_ranges([(3, 3)]),
        Kind.PURGED.name: records.encode_ranges([(4, 300)]),
        Kind.RETRY.name: records.encode_retry(1_700_000_000_500, (ATTEMPT,), [(301, 302), (304, 304)]),
        Kind.LEAVING.name: records.encode_leaving(LEAVING),
        Kind.LEFT.name: records.encode_ranges([(301, 302)]),
        Kind.EXPIRES.name: records.encode_expires(EXPIRES),
        Kind.EXPIRED.name: records.encode_ranges([(303, 303)]),
        Kind.DROPPED.name: records.encode_ranges([(304, 305)]),
        Kind.GIVEN.name: records.encode_receivers([("shop", 1, [1, 9]), ("till", 0, [301, 301])]),
        Kind.TAKEN.name: records.encode_receivers([("shop", 2, [10, 12])]),
        Kind.LATE.name: records.encode_ranges([(6, 8)]),
        Kind.PAUSED.name: records.encode_paused(True),
        Kind.SUMMARY.name: records.encode_summary(SUMMARY),
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
    first_offset, raw = records.decode_store(written["STORE"])
    assert (first_offset, bytes(raw)) == (301, b"raw batch")
    assert records.decode_ranges(written["DELIVERED"]) == [1, 9, 301, 70_000]
    assert records.decode_receivers(written["GIVEN"]) == [
        Receiver("shop", 1, [1, 9]),
        Receiver("till", 0, [301, 301]),
    ]
    assert records.decode_receivers(written["TAKEN"]) == [Receiver("shop", 2, [10, 12])]
    assert records.decode_mark(written["MARK"]) == MARK
    assert records.decode_retry(written["RETRY"]) == RetryRecord(1_700_000_000_500, (ATTEMPT,), [301, 302, 304, 304])
    assert records.decode_leaving(written["LEAVING"]) == LEAVING
    assert records.decode_expires(written["EXPIRES"]) == EXPIRES
    assert records.decode_summary(written["SUMMARY"]) == SUMMARY
    moved = records.decode_moved(memoryview(written["MOVED"]))
    assert (moved.first_offset, moved.live, bytes(moved.raw)) == (
        301,
        [301, 301, 0, 303, 310, 2],
        b"raw batch",
    )


def test_the_mark_of_a_paused_queue_has_one_field_more() -> None:
    paused = msgspec.structs.replace(MARK, is_paused=True)
    written = records.encode_mark(paused)
    assert written == b"\x97" + records.encode_mark(MARK)[1:] + b"\xc3"
    assert records.decode_mark(written) == paused
    assert records.decode_paused(records.encode_paused(False)) is False


def test_a_retry_of_attempts_that_do_not_count_has_one_field_more() -> None:
    golden = bytes.fromhex((GOLDEN.parent / "queue_record_excused.txt").read_text())
    assert records.encode_retry(0, (ATTEMPT,), [(301, 302)], 3) == golden
    assert records.decode_retry(golden) == RetryRecord(0, (ATTEMPT,), [301, 302], 3)


def test_the_batch_is_not_copied() -> None:
    raw = memoryview(b"raw batch")
    assert records.encode_store(1, raw)[1] is raw
    assert records.encode_moved(1, [1, 1, 0], raw)[2] is raw


def test_a_mark_of_a_newer_version_is_read() -> None:
    newer = msgspec.msgpack.encode([5, [], {}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 7, 8, False, "a field to come"])
    assert records.decode_mark(newer) == Mark(5, [], {}, Counters(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 7, 8)


def test_a_mark_of_an_older_version_is_read() -> None:
    older = msgspec.msgpack.encode([5, [], {}, [1, 2, 3, 4, 5, 6]])
    assert records.decode_mark(older) == Mark(5, [], {}, Counters(1, 2, 3, 4, 5, 6), 0, 1)


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x91\xa1x", b"\x91\x01", b"\x92\x05\x04"])
def test_bytes_that_are_no_ranges_are_corruption(payload: bytes) -> None:
    with pytest.raises(JournalCorrupt):
        records.decode_ranges(payload)


@pytest.mark.parametrize(
    "summary",
    [Summary(1, [], b"", b""), Summary(1, [7], bytes(4), bytes(8)), Summary(1, [7, 1], bytes(4), bytes(16))],
)
def test_a_summary_that_contradicts_itself_is_corruption(summary: Summary) -> None:
    with pytest.raises(JournalCorrupt):
        records.decode_summary(records.encode_summary(summary))


def test_many_records_are_taken_apart_at_once() -> None:
    payloads = [b"".join(records.encode_store(number, bytes([number]))) for number in (5, 6, 9)]
    bounds, offsets, raws = [3, 12, 21, 30], list[int](), list[memoryview]()
    records.decode_stores(memoryview(b"ABC" + b"".join(payloads)), bounds, offsets, raws)
    assert (offsets, [bytes(raw) for raw in raws]) == ([5, 6, 9], [b"\5", b"\6", b"\x09"])
    with pytest.raises(JournalCorrupt):
        records.decode_stores(memoryview(bytes(20)), [0, 8, 15], offsets, raws)


@pytest.mark.parametrize("payload", [b"", b"\x91\x01", b"\x91\x93\xa1x\x01\x92\x05\x04", b"\x91\x93\xa1x\x01\x91\x05"])
def test_bytes_that_name_no_receivers_are_corruption(payload: bytes) -> None:
    with pytest.raises(JournalCorrupt):
        records.decode_receivers(payload)


def test_records_cut_short_are_corruption() -> None:
    with pytest.raises(JournalCorrupt, match="STORE"):
        records.decode_store(b"1234567")
    with pytest.raises(JournalCorrupt, match="MOVED"):
        records.decode_moved(b"12345678901")
    with pytest.raises(JournalCorrupt, match="ranges"):
        records.decode_moved(b"".join(records.encode_moved(1, [1, 2], b"")))
    with pytest.raises(JournalCorrupt, match="MARK"):
        records.decode_mark(msgspec.msgpack.encode([5, [1], {}, [0, 0, 0, 0, 0, 0]]))


def test_a_record_of_an_earlier_version_is_read() -> None:
    old = bytes.fromhex(
        "93cf0000018bcfe569f4919702cf0000018bcfe56800a473686f70a46e61636ba84b65794572726f"
        "72a3277827a76120747261636594cd012dcd012ecd0130cd0130"
    )
    (attempt,) = records.decode_retry(old).attempts
    assert attempt == msgspec.structs.replace(ATTEMPT, reason="")

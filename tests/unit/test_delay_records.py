"""The bytes of the scheduler's journal records. The golden file has one of each; changing it breaks disks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from posthouse.actors import delay_records as records
from posthouse.actors.delay_records import (
    Burial,
    Counters,
    Failed,
    Fire,
    KeptHead,
    Kind,
    Mark,
    Occurred,
    Rescheduled,
    Returned,
    Schedule,
)
from posthouse.actors.recurrence import Rule
from posthouse.transport.errors import JournalCorrupt

GOLDEN = Path(__file__).parents[1] / "golden" / "delay_records.txt"

FIRE = Fire("flights", 77, 41, 1_700_000_000_000, [3, 5, 300])
MARK = Mark(501, [7, 500, 8, 12], Counters(500, 70_000, 400, 3, 2, 1, 6))
HEAD = KeptHead([3, 9], [1_700_000_000_000, 0], ("unroutable", "no queue"))
RULE = Rule(None, "*/5 * * * *", "Europe/Berlin", 1_700_000_000_000, 1_800_000_000_000, 9, "all")
SCHEDULE = Schedule(
    17, "nightly", "flights", "UA", b"\xc0", b"go", RULE, 1_700_000_000_000, 1_700_000_100_000, 3, True, 4
)
OCCURRED = Occurred(301, 17, 1_700_000_100_000)
BURIAL = Burial(78, 9, 1_700_000_005_000, "unroutable", "no queue", [3, 5, 300])


def samples() -> dict[str, bytes]:
    """One record of every shape, under the name of its kind."""
    return {
        Kind.STORE.name: b"".join(records.encode_store(301, b"raw batch")),
        Kind.FIRE.name: records.encode(FIRE),
        Kind.FIRED.name: records.encode([(77, 41, 3), (77, 44, 1)]),
        Kind.FAILED.name: records.encode(Failed(77, 41, "unroutable", "no queue")),
        Kind.RETURNED.name: records.encode(Returned(77, 41, 1_700_000_005_000)),
        Kind.CANCELLED.name: records.encode([4]),
        Kind.RESCHEDULED.name: records.encode(Rescheduled(4, 1_700_000_005_000)),
        Kind.MARK.name: records.encode(MARK),
        Kind.KEPT.name: b"".join(records.encode_kept(HEAD, b"raw batch")),
        Kind.SCHEDULE.name: records.encode(SCHEDULE),
        Kind.OCCURRED.name: b"".join(records.encode_occurred(OCCURRED, b"raw batch")),
        Kind.STOPPED.name: records.encode(17),
        Kind.BURY.name: records.encode(BURIAL),
        Kind.BURIED.name: records.encode([9, 12]),
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
    first_id, raw = records.decode_store(written["STORE"])
    assert (first_id, bytes(raw)) == (301, b"raw batch")
    assert records.decode_fire(written["FIRE"]) == FIRE
    assert records.decode_fired(written["FIRED"]) == [(77, 41, 3), (77, 44, 1)]
    assert records.decode_failed(written["FAILED"]) == Failed(77, 41, "unroutable", "no queue")
    assert records.decode_returned(written["RETURNED"]) == Returned(77, 41, 1_700_000_005_000)
    assert records.decode_ids(written["CANCELLED"]) == [4]
    assert records.decode_rescheduled(written["RESCHEDULED"]) == Rescheduled(4, 1_700_000_005_000)
    assert records.decode_mark(written["MARK"]) == MARK
    kept = records.decode_kept(memoryview(written["KEPT"]))
    assert (kept.head, bytes(kept.raw)) == (HEAD, b"raw batch")
    assert records.decode_schedule(written["SCHEDULE"]) == SCHEDULE
    head, raw = records.decode_occurred(memoryview(written["OCCURRED"]))
    assert (head, bytes(raw)) == (OCCURRED, b"raw batch")
    assert records.decode_stopped(written["STOPPED"]) == 17
    assert records.decode_burial(written["BURY"]) == BURIAL
    assert records.decode_ids(written["BURIED"]) == [9, 12]


def test_the_batch_is_not_copied() -> None:
    raw = memoryview(b"raw batch")
    assert records.encode_store(1, raw)[1] is raw
    assert records.encode_kept(HEAD, raw)[2] is raw


def test_records_of_a_newer_version_are_read() -> None:
    newer = msgspec.msgpack.encode([5, [], [1, 2, 3, 4, 5, 6, 7, 8], "a field that is not there yet"])
    assert records.decode_mark(newer) == Mark(5, [], Counters(1, 2, 3, 4, 5, 6, 7))


def test_records_of_an_older_version_are_read() -> None:
    older = bytes.fromhex("93cd01f59407cd01f4080c96cd01f4ce00011170cd0190030201")
    assert records.decode_mark(older) == Mark(501, [7, 500, 8, 12], Counters(500, 70_000, 400, 3, 2, 1))


@pytest.mark.parametrize(
    "decode",
    [
        records.decode_fire,
        records.decode_fired,
        records.decode_failed,
        records.decode_returned,
        records.decode_ids,
        records.decode_rescheduled,
        records.decode_burial,
        records.decode_mark,
        records.decode_store,
        records.decode_kept,
        records.decode_schedule,
        records.decode_occurred,
        records.decode_stopped,
    ],
)
@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x91\xa1x"])
def test_bytes_that_are_no_record_are_corruption(decode: Callable[[Any], Any], payload: bytes) -> None:
    with pytest.raises(JournalCorrupt):
        decode(payload)


def test_records_that_contradict_themselves_are_corruption() -> None:
    with pytest.raises(JournalCorrupt, match="pairs"):
        records.decode_mark(records.encode(Mark(1, [7], Counters())))
    with pytest.raises(JournalCorrupt, match="2 ids and 1 times"):
        records.decode_kept(b"".join(records.encode_kept(KeptHead([1, 2], [3]), b"")))

"""The checkers of the chaos run: silent about a good history, and each one loud about the bad one made for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from posthouse.testing import history as h
from posthouse.testing.checkers import CALM_NS, Checker, Verdict
from posthouse.testing.meters import SAMPLES_MIN, Meters, Sample
from posthouse.testing.plan import LANES, RETRY_S, WORK, Name, make_body, read_body
from posthouse.testing.timeline import NS, Timeline

FANOUT, TOPIC, DIRECT, _HEADERS, DELAYED, WORKING = range(6)
START = 2 * CALM_NS
MS = 1_000_000

Records = list[h.Record]


def got(ms: int, queue: str, *messages: tuple[int, ...], who: str = "c", spoiled: tuple[str, ...] = ()) -> h.Got:
    """Each message: lane, number, attempt, offset, and the lateness in ms if it was delayed."""
    items = [(1, lane, number, attempt, offset, *(rest or [-1])) for lane, number, attempt, offset, *rest in messages]
    return h.Got(START + ms * MS, who, queue, items, list(spoiled))  # type: ignore[arg-type]


def acked(ms: int, queue: str, *offsets: int, who: str = "c") -> h.Acked:
    return h.Acked(START + ms * MS, who, queue, list(offsets))


def published(lane: int, count: int, refused: dict[int, str] | None = None, unknown: tuple[int, ...] = ()) -> Records:
    return [h.Invoked(START, 1, lane, 0, count), h.Decided(START + MS, 1, lane, 0, count, refused or {}, list(unknown))]


def good() -> Records:
    """Two messages of a fanout exchange, in both queues, acked."""
    return [
        *published(FANOUT, 2),
        got(2, "fan-a", (FANOUT, 0, 1, 1), (FANOUT, 1, 1, 2)),
        got(3, "fan-b", (FANOUT, 0, 1, 1), (FANOUT, 1, 1, 2)),
        acked(4, "fan-a", 1, 2),
        acked(5, "fan-b", 1, 2),
        h.Closed(START + 6 * MS, "c", "fan-a"),
    ]


def judge(records: Records) -> Verdict:
    checker = Checker()
    for record in h.merged([records]):
        checker.take(record)
    return checker.finish()


def test_a_good_history_is_clean() -> None:
    verdict = judge(good())
    assert verdict.is_clean, verdict.shown
    assert verdict.counts["confirmed"] == 2
    assert verdict.counts["acked"] == 4


WORKED: Records = [*published(WORKING, 1), got(2, WORK, (WORKING, 0, 1, 1))]
DELAYED_ONE: Records = published(DELAYED, 1)

BAD: dict[str, tuple[str, Callable[[], Records]]] = {
    "a confirmed message never comes": ("I1", lambda: published(FANOUT, 1)),
    "it came from nobody": ("I2", lambda: [*good(), got(9, "fan-a", (FANOUT, 7, 1, 9))]),
    "it was refused and came": (
        "I2",
        lambda: [*published(FANOUT, 1, {0: "queue_full"}), got(2, "fan-a", (FANOUT, 0, 1, 1))],
    ),
    "it is not as it was": ("I3", lambda: [*good(), got(9, "fan-a", spoiled=("the body of offset 3",))]),
    "a call got another's reply": ("I3", lambda: [*good(), h.Called(START + 9 * MS, "caller", "wrong")]),
    "it came and was never acked": ("I4", lambda: [*published(FANOUT, 1), *_both(FANOUT, 0), acked(5, "fan-a", 1)]),
    "it came after its ack was told": ("I5", lambda: [*good(), got(9, "fan-a", (FANOUT, 0, 2, 1))]),
    "two had it at once": ("I6", lambda: [*WORKED, got(3, WORK, (WORKING, 0, 2, 1), who="other")]),
    "the attempt is not counted": ("I7", lambda: [*WORKED, got(3, WORK, (WORKING, 0, 1, 1))]),
    "the order is not kept": (
        "I8",
        lambda: [*published(FANOUT, 2), got(2, "fan-a", (FANOUT, 1, 1, 1), (FANOUT, 0, 1, 2))],
    ),
    "it came before its time": ("I9", lambda: [*DELAYED_ONE, got(2, "due", (DELAYED, 0, 1, 1, -3))]),
    "it was not delivered when due": ("I1", lambda: DELAYED_ONE),
    "it came again too soon": (
        "I11",
        lambda: [*WORKED, h.Refused(START + 3 * MS, "c", WORK, 1, False), got(50, WORK, (WORKING, 0, 2, 1))],
    ),
    "it died without a reason": ("I12", lambda: [*WORKED, h.Letter(START + 9 * MS, "rejected", 1, 0, 1)]),
    "it is where it does not belong": ("I14", lambda: [*good(), got(9, "top-eu", (FANOUT, 0, 1, 1))]),
    "what no queue takes was confirmed": ("I15", lambda: published(DIRECT, 3)),
    "what a queue takes was refused as unroutable": ("I15", lambda: published(FANOUT, 1, {0: "unroutable"})),
    "a number was used twice": ("I16", lambda: [*good(), h.Invoked(START + 9 * MS, 1, FANOUT, 1, 1)]),
}  # fmt: skip


def _both(lane: int, number: int) -> Records:
    return [got(2, "fan-a", (lane, number, 1, 1)), got(3, "fan-b", (lane, number, 1, 1))]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_blamed_on_its_promise(name: str) -> None:
    promise, records = BAD[name]
    assert judge(records()).violations[promise] >= 1


def test_what_nobody_knows_is_blamed_on_nobody() -> None:
    """Unknown, refused, or never decided since the publisher was killed: it may come, or not."""
    histories: list[Records] = [
        published(FANOUT, 1, unknown=(0,)),
        [h.Invoked(START, 1, FANOUT, 0, 1)],
        [*published(FANOUT, 1, unknown=(0,)), *_both(FANOUT, 0), acked(5, "fan-a", 1), acked(6, "fan-b", 1)],
    ]
    for records in histories:
        assert judge(records).is_clean


def test_after_a_fault_a_message_may_change_hands_and_come_sooner() -> None:
    records = [
        *WORKED,
        h.Refused(START + 3 * MS, "c", WORK, 1, False),
        h.Fault(START + 4 * MS, "kill", "queue:work"),
        got(50, WORK, (WORKING, 0, 2, 1), who="other"),
        acked(60, WORK, 1, who="other"),
    ]
    verdict = judge(records)
    assert verdict.is_clean, verdict.shown
    assert verdict.faults["kill queue"] == 1


def test_an_explained_death_and_a_retry_in_time_are_right() -> None:
    records = [
        *published(WORKING, 2),
        got(2, WORK, (WORKING, 0, 1, 1), (WORKING, 1, 1, 2)),
        h.Refused(START + 3 * MS, "c", WORK, 1, True),
        h.Refused(START + 3 * MS, "c", WORK, 2, False),
        h.Letter(START + 9 * MS, "rejected", 1, 0, 1),
        got(int(RETRY_S * 1000) + 4, WORK, (WORKING, 1, 2, 2), (WORKING, 0, 1, 3)),
        acked(500, WORK, 2, 3),
    ]
    verdict = judge(records)
    assert verdict.is_clean, verdict.shown


# ---- bodies, files, meters, the time line ----


def test_a_body_says_who_it_is_and_every_flip_is_noticed() -> None:
    body = make_body(Name(3, 1, 77), 1_234, 60)
    assert read_body(body) == (Name(3, 1, 77), 1_234)
    for bit in range(len(body) * 8):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        assert read_body(bytes(flipped)) is None


def test_a_torn_record_is_the_last(tmp_path: Path) -> None:
    path = tmp_path / "a.history"
    writer = h.Writer(path)
    writer.write(*good())
    writer.close()
    whole = path.read_bytes()
    assert list(h.read(path)) == good()
    for cut in range(1, 40):
        path.write_bytes(whole[:-cut])
        assert list(h.read(path)) == good()[: len(list(h.read(path)))]
    assert [record.at_ns for record in h.read_all(tmp_path)] == sorted(record.at_ns for record in h.read_all(tmp_path))


FLAT = Sample(50 * 2**20, 30, 2)


@pytest.mark.parametrize(
    ("after", "word"),
    [
        (Sample(100 * 2**20, 30, 2), "memory"),
        (Sample(50 * 2**20, 90, 2), "descriptors"),
        (Sample(50 * 2**20, 30, 6), "threads"),
    ],
)
def test_growth_is_noticed(after: Sample, word: str) -> None:
    meters = Meters()
    meters.samples["queue:q"] = [FLAT] * SAMPLES_MIN * 2
    assert meters.growth() == []
    meters.samples["queue:q"] += [after] * SAMPLES_MIN
    (text,) = meters.growth()
    assert text.startswith(f"{word} of queue:q")
    meters.disk_bytes = [2**20] * SAMPLES_MIN * 2 + [2**30] * SAMPLES_MIN
    assert meters.growth()[-1].startswith("the disk")


def test_the_time_line_knows_how_long_a_lane_stood_still() -> None:
    line = Timeline(START, START + 10 * NS)
    for record in [*good(), h.Decided(START + 4 * NS, 1, FANOUT, 2, 1, {}, [])]:
        line.take(record)
    line.finish()
    lane = line.lanes[FANOUT]
    assert (sum(lane.confirmed.values()), sum(lane.delivered.values())) == (3, 4)
    assert lane.confirm_gap_s == pytest.approx(6.0)
    assert lane.delivery_gap_s == pytest.approx(9.997)
    assert line.lanes[TOPIC].confirm_gap_s == pytest.approx(10.0)


def test_the_start_of_a_client_is_no_standstill() -> None:
    line = Timeline(START, START + 10 * NS)
    for second in (6, 7, 10):
        line.take(h.Decided(START + second * NS, 1, FANOUT, second, 1, {}, []))
    line.finish()
    assert line.lanes[FANOUT].confirm_gap_s == pytest.approx(3.0)
    assert line.lanes[-1].name == "calls"


def test_a_delayed_message_that_was_due_during_a_fault_says_nothing_of_lateness() -> None:
    calm_ms = 20_000
    late, in_time = got(calm_ms, "due", (DELAYED, 0, 1, 1, 19_500)), got(calm_ms, "due", (DELAYED, 1, 1, 2, 4))
    fault = h.Fault(START, "kill", "queue:due")
    assert judge([fault, *published(DELAYED, 2), late, in_time]).lateness_ms == [4]


def test_every_lane_says_where_its_messages_belong() -> None:
    for lane in LANES:
        assert any(choice.queues for choice in lane.choices)
        assert all(choice.queues for choice in lane.choices) or lane.unrouted == "return"

"""Recurring schedules: upsert by key, stop and pause, bounds, what their messages carry, what a crash leaves."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from posthouse.actors import delay_schedules
from posthouse.actors.delay_ledger import FAILED
from posthouse.actors.delay_records import Kind
from posthouse.actors.delay_schedules import ON_WAY_MAX, occurrence
from posthouse.transport import messages
from posthouse.transport.batch import headers_of
from posthouse.transport.errors import InvalidArgument, PreconditionFailed, Refused, UnknownDelayed
from posthouse.transport.limits import HEADERS_BYTES_MAX
from posthouse.transport.messages import NIL
from posthouse.transport.messages_recurring import ListRecurring, PauseRecurring, StopRecurring
from tests.support.delay_samples import NOW_MS
from tests.support.schedule_desk import ScheduleDesk, asked

MINUTE = 60_000


def headers(**values: Any) -> msgspec.Raw:
    return msgspec.Raw(messages.encode(values))


def test_the_answer_names_the_schedule_and_its_next_instants() -> None:
    info = ScheduleDesk().repeat("nightly", every_ms=MINUTE, max_count=3)
    assert (info.schedule_id, info.key, info.exchange, info.routing_key, info.size) == (
        1,
        "nightly",
        "flights",
        "UA",
        2,
    )
    assert info.next_ms == (NOW_MS + MINUTE, NOW_MS + 2 * MINUTE, NOW_MS + 3 * MINUTE)


def test_a_message_carries_its_schedule_s_key_and_instant_besides_its_own_headers() -> None:
    desk = ScheduleDesk()
    desk.repeat("nightly", headers=headers(colour="red"))
    batch = occurrence(next(iter(desk.state.contents.schedules)), NOW_MS + 5)
    assert headers_of(batch) == {
        "colour": "red",
        "x-schedule-key": "nightly",
        "x-scheduled-for": "2023-11-14T22:13:20.005+00:00",
    }
    assert (bytes(batch.bodies), batch.routing_key) == (b"go", "UA")


def test_the_same_wish_again_changes_nothing() -> None:
    desk = ScheduleDesk()
    first = desk.repeat(every_ms=MINUTE)
    desk.wall_ms += MINUTE // 2
    before = len(desk.journal)
    assert desk.repeat(every_ms=MINUTE) == first
    assert len(desk.journal) == before


@pytest.mark.parametrize(
    "wish",
    [{"every_ms": 2 * MINUTE}, {"body": memoryview(b"come")}, {"routing_key": "B"}, {"headers": headers(a=1)},
     {"exchange": "trains"}, {"misfire": "all"}, {"max_count": 7}, {"start_ms": NOW_MS + 5}],
)  # fmt: skip
def test_another_wish_of_the_same_key_takes_its_place_and_keeps_the_id(wish: dict[str, Any]) -> None:
    desk = ScheduleDesk()
    first = desk.repeat(every_ms=MINUTE)
    desk.wall_ms += 500
    second = desk.repeat(**{"every_ms": MINUTE, **wish})
    assert second.schedule_id == first.schedule_id
    assert second != first
    assert [info.schedule_id for info in desk.ask(ListRecurring(1))] == [first.schedule_id]


def test_what_is_about_to_leave_does_not_leave_again_in_its_new_shape() -> None:
    desk = ScheduleDesk()
    start = NOW_MS + MINUTE
    desk.repeat(every_ms=MINUTE, start_ms=start)
    desk.wall_ms = start - 15
    desk.round()
    desk.repeat(every_ms=MINUTE, start_ms=start, body=memoryview(b"other"))
    desk.round()
    assert desk.instants() == [MINUTE]


def test_it_is_stopped_by_key_or_by_id_and_then_unknown() -> None:
    desk = ScheduleDesk()
    for is_by_key in (True, False):
        name = "k" if is_by_key else str(desk.repeat("k").schedule_id)
        desk.repeat("k")
        desk.ask(StopRecurring(1, name))
        with pytest.raises(UnknownDelayed, match="no schedule"):
            desk.ask(StopRecurring(1, name))
        with pytest.raises(UnknownDelayed):
            desk.ask(PauseRecurring(1, name))
        desk.crash()
        assert desk.ask(ListRecurring(1)) == []


@pytest.mark.parametrize("name", ["", "nobody", "0", "-1", "9" * 30, "\N{SUPERSCRIPT TWO}"])
def test_a_name_that_nobody_has_is_refused(name: str) -> None:
    desk = ScheduleDesk()
    desk.repeat("k")
    with pytest.raises(UnknownDelayed):
        desk.ask(StopRecurring(1, name))


def test_what_passes_while_it_is_paused_does_not_fire() -> None:
    desk = ScheduleDesk()
    desk.repeat(every_ms=MINUTE, misfire="all")
    desk.ask(PauseRecurring(1, "k"))
    (info,) = desk.ask(ListRecurring(1))
    assert (info.is_paused, info.next_ms) == (True, ())
    desk.wall_ms += 5 * MINUTE + 10
    desk.crash()
    desk.round()
    desk.ask(PauseRecurring(1, "k", False))
    desk.round()
    assert desk.instants() == []
    desk.wall_ms += MINUTE
    desk.round()
    assert desk.instants() == [6 * MINUTE]


def test_it_ends_after_its_last_message_and_is_gone_then() -> None:
    desk = ScheduleDesk()
    desk.repeat("two", every_ms=MINUTE, max_count=2, misfire="all")
    desk.repeat("until", every_ms=MINUTE, until_ms=NOW_MS + MINUTE + 5)
    desk.wall_ms += 10 * MINUTE
    desk.round()
    assert sorted(desk.instants()) == [MINUTE, MINUTE, 2 * MINUTE]
    for _ in range(2):
        assert desk.ask(ListRecurring(1)) == []
        assert desk.state.contents.schedules.next_due() == 0
        desk.crash()
        desk.round()


def test_all_that_was_missed_comes_oldest_first_whosever_it_is() -> None:
    desk = ScheduleDesk()
    desk.repeat("a", every_ms=2 * MINUTE, misfire="all")
    desk.repeat("b", every_ms=3 * MINUTE, misfire="all")
    desk.wall_ms += 6 * MINUTE
    for _ in range(10):
        desk.round(tokens=2)
    assert desk.instants() == [one * MINUTE for one in (2, 3, 4, 6, 6)]


def test_a_schedule_whose_messages_do_not_leave_waits_until_some_do() -> None:
    desk = ScheduleDesk()
    desk.repeat(every_ms=100, misfire="all")
    desk.wall_ms += 100 * (ON_WAY_MAX + 50)
    for _ in range(10):
        desk.round()
    assert len(desk.instants()) == ON_WAY_MAX
    desk.crash()
    desk.round()
    assert len(desk.instants()) <= ON_WAY_MAX
    desk.commit()
    for message_id, _, _ in list(desk.state.ledger.entries())[:20]:
        desk.state.cancel(message_id)
    desk.round()
    assert desk.instants() == [100 * (one + 1) for one in range(len(desk.instants()))]
    assert len(desk.state.contents.schedules) == 1


def test_of_what_is_refused_for_good_the_last_is_kept() -> None:
    desk = ScheduleDesk()
    desk.repeat(every_ms=MINUTE)
    gone: list[int] = []
    for _ in range(3):
        desk.wall_ms += MINUTE
        desk.round()
        ((message_id, due),) = desk.state.take_due(desk.wall_ms, 10)
        (body,) = [desk.state.bodies.take(message_id)]
        assert body is not None
        move = desk.state.announce(due, [message_id], body, due, 99)
        superseded = desk.state.contents.failed(move, "unroutable", "no queue").superseded
        for old in superseded:
            desk.state.cancel(old)
        gone += superseded
    assert [desk.state.ledger.due(one) for one in gone] == [0, 0]
    assert [due for _, due, _ in desk.state.ledger.entries()] == [FAILED]


def test_a_zone_that_this_machine_no_longer_knows_is_a_problem_and_no_end() -> None:
    desk = ScheduleDesk()
    desk.repeat(cron="* * * * *", zone="Europe/Berlin")
    kind, payload = desk.journal[-1]
    desk.journal[-1] = (kind, payload.replace(b"Europe/Berlin", b"Europe/Avalon"))
    desk.crash()
    desk.wall_ms += 5 * MINUTE
    desk.round()
    (info,) = desk.ask(ListRecurring(1))
    assert "Europe/Avalon" in info.problem
    assert (info.next_ms, desk.instants()) == ((), [])
    desk.repeat(cron="* * * * *", zone="Europe/Berlin")
    assert desk.ask(ListRecurring(1))[0].problem == ""


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"key": ""}, InvalidArgument),
        ({"key": "x" * 256}, InvalidArgument),
        ({"key": "a\nb"}, InvalidArgument),
        ({"every_ms": 0}, InvalidArgument),
        ({"cron": "@hourly"}, InvalidArgument),
        ({"routing_key": "x" * 256}, InvalidArgument),
        ({"headers": headers(**{"x-schedule-key": "mine"})}, InvalidArgument),
        ({"headers": headers(**{"x-scheduled-for": "now"})}, InvalidArgument),
        ({"headers": msgspec.Raw(b"\x01")}, InvalidArgument),
        ({"headers": headers(long="x" * (HEADERS_BYTES_MAX - 20))}, InvalidArgument),
        ({"body": memoryview(bytes(5 * 1024 * 1024))}, PreconditionFailed),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(wish: dict[str, Any], error: type[Refused]) -> None:
    desk = ScheduleDesk()
    desk.repeat("old")
    before = desk.ask(ListRecurring(1))
    with pytest.raises(error):
        desk.ask(asked(**{"key": "old", **wish}))
    assert desk.ask(ListRecurring(1)) == before
    assert [kind for kind, _ in desk.journal] == [Kind.SCHEDULE]


def test_there_is_a_bound_to_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delay_schedules, "RECURRING_MAX", 2)
    desk = ScheduleDesk()
    for key in ("a", "b"):
        desk.repeat(key)
    with pytest.raises(PreconditionFailed, match="2 schedules"):
        desk.repeat("c")
    desk.repeat("b", every_ms=5_000)
    desk.ask(StopRecurring(1, "a"))
    desk.repeat("c", headers=NIL)


def test_many_changes_leave_no_heap_of_what_was() -> None:
    desk = ScheduleDesk()
    for step in range(500):
        desk.repeat(every_ms=1_000 + step)
    assert len(desk.state.contents.schedules._queue) < 200

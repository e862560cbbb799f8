"""Recurring schedules in the delay scheduler: on time, once, through crashes, downtime and a clock that steps."""

from __future__ import annotations

from typing import Any, final

import pytest

from posthouse.actors.actor import Actor, Context
from posthouse.actors.delay import DelayActor, DelayLimits
from posthouse.transport.batch import headers_of
from posthouse.transport.errors import (
    DiskSpaceLow,
    InvalidArgument,
    PreconditionFailed,
    UnknownDelayed,
    UnknownExchange,
)
from posthouse.transport.messages import Batch, ExchangeSpec, Receipt, TopologyChange
from posthouse.transport.messages_delay import DelayedInfo, ListDelayed
from posthouse.transport.messages_recurring import ListRecurring, PauseRecurring, RecurringInfo, StopRecurring
from tests.support import actor_bench
from tests.support.actor_bench import WALL_MS, ActorBench, result_of
from tests.support.queue_bench import failed
from tests.support.schedule_desk import asked

MINUTE = 60_000


@final
class RepeatWorld:
    """The scheduler with a registry that knows the exchange `flights`, that exchange, and a client."""

    def __init__(self, disk_free_bytes_min: int = 0) -> None:
        def make(context: Context) -> Actor:
            return DelayActor(context, DelayLimits(disk_free_bytes_min=disk_free_bytes_min))

        self.bench = ActorBench("delay", make)
        self.registry = self.bench.actor("registry")
        self.learn(is_snapshot=True, put_exchanges=(ExchangeSpec(name="flights", kind="fanout"),))
        self.exchange = self.bench.actor("exchange:flights")
        self.client = self.bench.client("client", client_id=7)
        self.seen: dict[tuple[int, int], str] = {}

    def learn(self, **change: Any) -> None:
        self.bench.deliver(self.registry, TopologyChange(version=1, **change))

    def ask(self, request: Any, kind: Any = Any) -> Any:
        return result_of(self.bench.deliver(self.client, request)[-1], kind)

    def repeat(self, key: str = "k", **wishes: Any) -> RecurringInfo:
        found: RecurringInfo = self.ask(asked(key, **wishes), RecurringInfo)
        return found

    def listed(self) -> list[RecurringInfo]:
        found: list[RecurringInfo] = self.ask(ListRecurring(1), list[RecurringInfo])
        return found

    def refusal(self, request: Any) -> str:
        return failed(self.bench.deliver(self.client, request)).code

    def crash(self, downtime_ms: int = 0) -> None:
        self.bench.now_ms += downtime_ms
        self.bench.crash()
        self.learn(is_snapshot=True, put_exchanges=(ExchangeSpec(name="flights", kind="fanout"),))

    def published(self) -> list[str]:
        """The instants of new messages; a repetition of what a queue would recognise is none."""
        found = []
        for message in self.exchange.take_heard():
            assert isinstance(message, Batch)
            headers = headers_of(message)
            assert headers is not None
            assert headers["x-schedule-key"] == "k"
            name = (message.stream, message.first_seq)
            instant = headers["x-scheduled-for"][11:23]
            assert self.seen.setdefault(name, instant) == instant
            found.append(instant)
        return found


def test_it_publishes_at_each_instant_and_not_a_millisecond_before() -> None:
    world = RepeatWorld()
    world.repeat(every_ms=MINUTE)
    for minute in (14, 15, 16):
        world.bench.advance(MINUTE - 1)
        assert world.published() == []
        world.bench.advance(1)
        assert world.published() == [f"22:{minute}:20.000"]
    assert world.listed()[0].count == 3


def test_a_firing_is_one_sync_and_none_at_the_moment_it_is_due() -> None:
    world = RepeatWorld()
    world.repeat(every_ms=MINUTE)
    world.bench.advance(MINUTE - 100)
    world.bench.tape.clear()
    world.bench.advance(99)
    assert world.bench.tape.count("fdatasync") == 1
    world.bench.tape.clear()
    world.bench.advance(1)
    assert world.published() == ["22:14:20.000"]
    assert "fdatasync" not in world.bench.tape


def test_the_answer_leaves_when_the_schedule_is_synced() -> None:
    world = RepeatWorld()
    world.bench.tape.clear()
    world.repeat()
    assert world.bench.tape.index("fdatasync") < world.bench.tape.index("say Reply")


def test_a_crash_at_any_moment_around_an_instant_publishes_it_once() -> None:
    for before in range(25):
        world = RepeatWorld()
        world.repeat(every_ms=MINUTE, misfire="all")
        world.bench.advance(MINUTE - before)
        early = world.published()
        world.crash()
        world.bench.advance(2_000)
        late = world.published()
        assert set(early + late) == {"22:14:20.000"}, before
        assert len(world.seen) == 1, before


@pytest.mark.parametrize(
    ("misfire", "after", "goes_on"),
    [
        ("all", ["22:14:20.000", "22:15:20.000", "22:16:20.000"], ["22:17:20.000"]),
        ("once", ["22:14:20.000"], ["22:17:20.000"]),
        ("skip", [], ["22:17:20.000"]),
    ],
)
def test_after_a_downtime_the_policy_decides(misfire: str, after: list[str], goes_on: list[str]) -> None:
    world = RepeatWorld()
    world.repeat(every_ms=MINUTE, misfire=misfire)
    world.crash(3 * MINUTE + 30_000)
    world.bench.advance(50)
    assert world.published() == after
    world.bench.advance(29_950)
    assert world.published() == goes_on


def test_a_clock_that_steps_forward_has_missed_what_lies_between_and_a_step_back_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = RepeatWorld()
    world.repeat(every_ms=MINUTE, misfire="all")
    monkeypatch.setattr(actor_bench, "WALL_MS", WALL_MS + 2 * MINUTE)
    world.bench.advance(200)
    assert world.published() == ["22:14:20.000", "22:15:20.000"]
    monkeypatch.setattr(actor_bench, "WALL_MS", WALL_MS)
    world.bench.advance(2 * MINUTE + 59_000)
    assert world.published() == []
    world.bench.advance(1_000)
    assert world.published() == ["22:16:20.000"]


def test_it_survives_segments_that_come_and_go() -> None:
    world = RepeatWorld()
    world.repeat(every_ms=1_000, body=memoryview(b"x" * 200), misfire="all")
    found = []
    for _ in range(200):
        world.bench.advance(1_000)
        found += world.published()
    assert len(found) == len(set(found)) == 200
    assert world.bench.cell.journal.first_position > 100
    world.crash()
    assert world.listed()[0].count == 200
    world.bench.advance(1_000)
    assert len(set(world.published()) - set(found)) == 1


def test_stopped_is_stopped_and_paused_is_paused() -> None:
    world = RepeatWorld()
    world.repeat(every_ms=MINUTE)
    world.ask(PauseRecurring(1, "k"))
    world.bench.advance(MINUTE)
    assert world.published() == []
    world.ask(PauseRecurring(1, "k", False))
    world.bench.advance(MINUTE)
    assert world.published() == ["22:15:20.000"]
    world.ask(StopRecurring(1, "k"))
    world.bench.advance(10 * MINUTE)
    assert world.published() == []
    assert world.refusal(StopRecurring(1, "k")) == UnknownDelayed.code


def test_what_its_exchange_refuses_is_kept_as_failed_and_only_the_last() -> None:
    world = RepeatWorld()
    world.repeat(every_ms=MINUTE)
    world.exchange.settles_at_once = False
    for _ in range(3):
        world.bench.advance(MINUTE)
        sent = world.exchange.hears()
        assert isinstance(sent, Batch)
        world.exchange.say(Receipt(sent.stream, sent.first_seq, 1, code="unroutable", text="no queue"))
        world.exchange.settle()
        world.bench.run()
    found = world.ask(ListDelayed(1), list[DelayedInfo])
    assert [(info.state, info.code) for info in found] == [("failed", "unroutable")]


def test_what_cannot_be_is_refused_and_nothing_changes() -> None:
    world = RepeatWorld()
    world.learn(put_exchanges=(ExchangeSpec(name="inner", kind="fanout", internal=True),))
    for wish, error in (
        ({"exchange": "nowhere"}, UnknownExchange),
        ({"exchange": "inner"}, PreconditionFailed),
        ({"every_ms": 5}, InvalidArgument),
        ({"cron": "0 0 30 2 *"}, InvalidArgument),
        ({"cron": "* * * * *", "zone": "Mars/Olympus"}, InvalidArgument),
        ({"until_ms": WALL_MS - 1}, InvalidArgument),
        ({"misfire": "perhaps"}, InvalidArgument),
        ({"max_count": 0}, InvalidArgument),
    ):
        assert world.refusal(asked(**wish)) == error.code
    assert world.listed() == []


def test_with_the_disk_nearly_full_no_schedule_is_made() -> None:
    world = RepeatWorld(disk_free_bytes_min=1 << 60)
    assert world.refusal(asked()) == DiskSpaceLow.code

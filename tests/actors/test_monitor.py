"""The monitor: what it samples, what it tells, whom it lets wait."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.actors import measures
from posthouse.actors.actor import Actor, Context
from posthouse.actors.monitor import BrokerFacts, MonitorActor, Senses
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.figures import MachineFigures, ProcessFigures
from posthouse.supervisor.meter import Meter
from posthouse.transport.messages import Failed, Peek
from posthouse.transport.messages_monitor import BrokerEvent, Overview, ReadEvents, ReadOverview
from tests.support.actor_bench import WALL_MS, ActorBench, Setting, result_of

NODES = [
    control.NodeInfo(id="queue:a", kind="queue", group="queues", state="up", generation=3, pid=7, meter=0),
    control.NodeInfo(id="door", kind="door", group="edge", state="up", generation=4, pid=8, meter=1),
]
MACHINE = MachineFigures(2, 0.5, 100, 50, 1_000, 500)
FACTS = BrokerFacts("0.1", "/data", 5, 1.5)


class World:
    """A monitor, pages, and a supervisor that answers when it is asked."""

    def __init__(self) -> None:
        self.pages = [Meter(), Meter()]

        def make(context: Context) -> Actor:
            senses = Senses(
                lambda page: self.pages[page].read(), lambda pid: ProcessFigures(1.0, 10, 3), lambda: MACHINE
            )
            return MonitorActor(context, FACTS, senses)

        self.bench = ActorBench("monitor", make, Setting(has_journal=False))
        self.answer()
        self.reader = self.bench.client("reader", 1)

    def answer(self) -> list[control.FromChild]:
        """The supervisor answers what it was asked; returns all orders."""
        orders = self.bench.take_orders()
        for order in orders:
            if isinstance(order, control.DescribeTree):
                self.bench.notice(control.Tree(order.request, NODES))
        return orders

    def overview(self, *wishes: Any) -> Overview:
        found: Overview = result_of(self.bench.deliver(self.reader, ReadOverview(1, *wishes))[-1], Overview)
        return found

    def happens(self, kind: str, actor: str = "queue:a", **more: Any) -> None:
        self.bench.notice(control.Happened(WALL_MS, kind, actor, 3, **more))

    def events(self, **wishes: Any) -> list[BrokerEvent]:
        heard = self.bench.deliver(self.reader, ReadEvents(2, **wishes))
        return [] if not heard else result_of(heard[-1], list[BrokerEvent])


def test_at_its_start_it_follows_and_asks_for_the_tree_and_then_every_second() -> None:
    world = World()
    world.bench.crash()
    orders = world.bench.take_orders()
    assert control.Follow() in orders
    assert sum(isinstance(order, control.DescribeTree) for order in orders) == 1
    world.bench.advance(3_000)
    assert sum(isinstance(order, control.DescribeTree) for order in world.bench.take_orders()) == 3


def test_an_overview_has_the_facts_the_machine_and_every_actor() -> None:
    world = World()
    world.pages[0].set(measures.READY, 4)
    world.bench.advance(1_000)
    world.answer()
    overview = world.overview()
    assert (overview.version, overview.data, overview.pid, overview.started_at) == ("0.1", "/data", 5, 1.5)
    assert (overview.machine.cores, overview.machine.disk_free_bytes) == (2, 500)
    assert [actor.id for actor in overview.actors] == ["queue:a", "door"]
    assert overview.actors[0].values["ready"] == 4
    assert overview.history == []


def test_of_some_kinds_only_and_with_the_last_minutes() -> None:
    world = World()
    world.bench.advance(1_000)
    world.answer()
    overview = world.overview(["door"], True)
    assert [actor.id for actor in overview.actors] == ["door"]
    assert len(overview.history) == 2


def test_the_answer_to_an_older_question_is_not_taken() -> None:
    world = World()
    world.bench.advance(1_000)
    world.bench.notice(control.Tree(1, []))
    assert [actor.id for actor in world.overview().actors] == ["queue:a", "door"]


def test_events_are_numbered_and_read_after_a_number() -> None:
    world = World()
    world.happens("exited", signal=9)
    world.happens("restarting", delay_ms=0)
    found = world.events()
    assert [event.kind for event in found] == ["exited", "restarting"]
    assert [event.kind for event in world.events(after=found[0].number)] == ["restarting"]
    assert world.events(after=found[1].number) == []


def test_a_reader_that_waits_hears_at_once_what_happens_and_nothing_twice() -> None:
    world = World()
    world.happens("ready")
    assert world.events(wait_ms=5_000, after=world.events()[-1].number) == []
    world.happens("exited", signal=9)
    heard = world.reader.take_heard()
    assert [event.kind for event in result_of(heard[0], list[BrokerEvent])] == ["exited"]
    world.happens("ready")
    assert world.reader.take_heard() == []


def test_a_reader_that_waited_long_enough_hears_that_there_is_nothing() -> None:
    world = World()
    assert world.events(wait_ms=2_000) == []
    world.bench.advance(1_900)
    assert world.reader.take_heard() == []
    world.bench.advance(200)
    assert [result_of(answer) for answer in world.reader.take_heard()] == [[]]


def test_a_reader_that_leaves_is_forgotten() -> None:
    world = World()
    world.events(wait_ms=2_000)
    world.bench.leave(world.reader)
    world.happens("exited", signal=9)
    world.bench.advance(3_000)


def test_alarms_stand_in_the_overview_until_they_are_over() -> None:
    world = World()
    world.bench.notice(control.Alarmed(WALL_MS, "queue:a", control.Alarm("breaker_opened", {"ready": 1})))
    assert [event.kind for event in world.overview().standing] == ["breaker_opened"]
    world.bench.notice(control.Alarmed(WALL_MS, "queue:a", control.Alarm("breaker_opened", {}, is_over=True)))
    assert world.overview().standing == []


def test_events_are_counted_on_its_page_and_a_crash_takes_nothing_back() -> None:
    world = World()
    world.happens("exited", signal=9)
    world.happens("exited", signal=9)
    world.happens("something new")
    world.bench.notice(control.Alarmed(WALL_MS, "q", control.Alarm("x", {})))
    for _ in range(2):
        assert world.bench.meter.get(measures.EVENTS["exited"]) == 2
        assert world.bench.meter.get(measures.EVENTS["other"]) == 1
        assert world.bench.meter.get(measures.EVENTS["alarm"]) == 1
        world.bench.crash()


@pytest.mark.parametrize("wishes", [{"limit": 0}, {"limit": 10_001}, {"wait_ms": -1}, {"wait_ms": 60_001}], ids=str)
def test_absurd_wishes_are_refused(wishes: dict[str, int]) -> None:
    world = World()
    heard = world.bench.deliver(world.reader, ReadEvents(2, **wishes))
    assert isinstance(heard[-1], Failed)
    assert heard[-1].code == "invalid_argument"


def test_what_it_does_not_understand_ends_the_session() -> None:
    world = World()
    world.bench.deliver(world.reader, Peek(1, 1))
    assert world.reader.endings == ["protocol_violation"]

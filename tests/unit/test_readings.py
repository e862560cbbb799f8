"""Readings: pages and the tree turned into what people and rules look at."""

from __future__ import annotations

import pytest

from posthouse.actors import measures
from posthouse.actors.measure import MICRO
from posthouse.actors.readings import POINTS_MAX, Readings
from posthouse.actors.tallies import Tally
from posthouse.supervisor.control_messages import NodeInfo
from posthouse.supervisor.figures import ProcessFigures
from posthouse.supervisor.meter import Meter

NOW = 1_700_000_000_000


def node(actor: str, kind: str, page: int, pid: int = 10) -> NodeInfo:
    return NodeInfo(id=actor, kind=kind, group="g", state="up", generation=2, pid=pid, meter=page)


class House:
    """Pages, and processes that have used what the test says."""

    def __init__(self, per_sample: int = 100) -> None:
        self.pages = [Meter() for _ in range(4)]
        self.figures: dict[int, ProcessFigures] = {}
        self.asked: list[int] = []
        self.readings = Readings(lambda page: self.pages[page].read(), self._process, per_sample)

    def _process(self, pid: int) -> ProcessFigures:
        self.asked.append(pid)
        return self.figures.get(pid, ProcessFigures())


def test_words_become_values_in_the_units_of_their_names() -> None:
    house = House()
    page = house.pages[1]
    page.set(measures.READY, 5)
    page.set(measures.BUSY, 2_500_000)
    page.set(measures.OLDEST_READY, NOW - 1_500)
    page.set(measures.MEASURED, NOW + 50)
    tally = Tally(measures.ATTEMPT)
    tally.observe(2 * MICRO, 3)
    tally.show(page)
    house.readings.take([node("queue:a", "queue", 1)], NOW)
    reading = house.readings.actors["queue:a"]
    assert (reading.name, reading.generation, reading.state) == ("a", 2, "up")
    assert reading.values["ready"] == 5
    assert reading.values["busy_seconds"] == 2.5
    assert reading.values["oldest_ready_age_seconds"] == 1.5
    assert reading.values["measured_age_seconds"] == 0
    assert "oldest_unacked_age_seconds" not in reading.values
    assert reading.histograms["delivery_attempts"] == [0, 3, 0, 0, 0, 0, 0, 0, 6.0]
    assert reading.rates == {}


def test_rates_are_per_second_and_never_negative() -> None:
    house = House()
    house.readings.take([node("queue:a", "queue", 1)], NOW)
    house.pages[1].add(measures.ACKED, 30)
    house.readings.take([node("queue:a", "queue", 1)], NOW + 2_000)
    assert house.readings.actors["queue:a"].rates["acked"] == 15
    house.pages[1].clear()
    house.readings.take([node("queue:a", "queue", 1)], NOW + 3_000)
    assert house.readings.actors["queue:a"].rates["acked"] == 0
    house.pages[1].add(measures.ACKED, 30)
    house.readings.take([node("queue:a", "queue", 1)], NOW + 1_000)
    assert house.readings.actors["queue:a"].rates["acked"] == 0


def test_a_child_without_a_page_or_a_process_is_there_all_the_same() -> None:
    house = House()
    house.readings.take([node("web", "web", -1, pid=0)], NOW)
    reading = house.readings.actors["web"]
    assert (reading.values, reading.rss_bytes) == ({}, 0)
    assert house.asked == []


def test_the_share_of_a_core_is_of_one_life() -> None:
    house = House()
    house.figures = {10: ProcessFigures(1.0, 500, 7)}
    house.readings.take([node("door", "door", 1)], NOW)
    assert house.readings.actors["door"].cpu == 0
    house.figures = {10: ProcessFigures(1.5, 600, 8), 11: ProcessFigures(0.1, 100, 3)}
    house.readings.take([node("door", "door", 1)], NOW + 1_000)
    reading = house.readings.actors["door"]
    assert (reading.cpu, reading.rss_bytes, reading.descriptors) == (0.5, 600, 8)
    house.readings.take([node("door", "door", 1, pid=11)], NOW + 2_000)
    assert house.readings.actors["door"].cpu == 0


def test_of_many_processes_some_are_asked_at_a_time_the_new_ones_first() -> None:
    house = House(per_sample=2)
    nodes = [node(f"queue:{pid}", "queue", 0, pid=pid) for pid in (1, 2, 3)]
    house.readings.take(nodes[:2], NOW)
    house.readings.take(nodes, NOW + 1_000)
    assert house.asked[2] == 3
    house.readings.take(nodes, NOW + 2_000)
    assert sorted(house.asked) == [1, 1, 2, 2, 3, 3] or house.asked.count(3) == 1
    assert set(house.asked) == {1, 2, 3}


def test_a_point_sums_the_broker_and_old_points_go() -> None:
    house = House()
    house.pages[1].set(measures.READY, 4)
    house.pages[2].set(measures.LETTERS, 6)
    nodes = [node("queue:a", "queue", 1), node("dead-letter", "dead-letter", 2), node("exchange:", "exchange", 3)]
    house.readings.take(nodes, NOW)
    house.pages[3].add(measures.PUBLISHED, 100)
    house.pages[1].add(measures.DELIVERED, 50)
    house.readings.take(nodes, NOW + 1_000)
    last = house.readings.history[-1]
    assert (last.ready, last.dead, last.published, last.delivered) == (4, 6, 100, 50)
    for second in range(2, POINTS_MAX + 5):
        house.readings.take([], NOW + 1_000 * second)
    assert len(house.readings.history) == POINTS_MAX
    assert house.readings.actors == {}


@pytest.mark.parametrize("kind", ["queue", "exchange", "delay", "dead-letter", "registry", "door", "monitor"])
def test_every_kind_shows_all_its_measures(kind: str) -> None:
    house = House()
    for word in range(256):
        house.pages[1].set(word, 1)
    house.readings.take([node("x", kind, 1)], NOW)
    reading = house.readings.actors["x"]
    assert {*reading.values, *reading.histograms} == {measure.key for measure in measures.measures_of(kind)}

"""Deadlines by example."""

from __future__ import annotations

from posthouse.supervisor.deadlines import Deadlines


def test_due_keys_come_earliest_first_and_once() -> None:
    deadlines = Deadlines()
    for key, at in (("late", 30), ("early", 10), ("middle", 20)):
        deadlines.arm(key, at)
    assert deadlines.take_due(9) == []
    assert deadlines.take_due(20) == ["early", "middle"]
    assert deadlines.take_due(20) == []
    assert deadlines.next_ms() == 30


def test_a_moved_deadline_comes_at_its_new_time_only() -> None:
    deadlines = Deadlines()
    deadlines.arm("a", 10)
    deadlines.arm("a", 50)
    assert deadlines.next_ms() == 50
    assert deadlines.take_due(49) == []
    assert deadlines.take_due(50) == ["a"]


def test_a_dropped_deadline_never_comes() -> None:
    deadlines = Deadlines()
    deadlines.arm("a", 10)
    deadlines.disarm("a")
    deadlines.disarm("never there")
    assert deadlines.next_ms() is None
    assert deadlines.take_due(100) == []


def test_a_deadline_moved_many_times_costs_no_memory() -> None:
    deadlines = Deadlines()
    for at in range(10_000):
        deadlines.arm("a", at)
    assert len(deadlines._heap) < 200
    assert deadlines.take_due(10_000) == ["a"]

"""The beacon, and what the hang watch reads from it."""

from __future__ import annotations

import os

import pytest

from posthouse.supervisor.beacon import Beacons
from posthouse.supervisor.child_spec import ChildSpec, GroupSpec, RestartIntensity, Strategy
from posthouse.supervisor.hang_watch import CLOSED_SCANS_MAX, STARVED_TURNS_MAX, SUSPECT_MS, Reading, is_suspect, judge
from posthouse.supervisor.node import Child, Group, State

MS = 1_000_000


def test_a_slot_says_what_its_loop_is_doing() -> None:
    slot = Beacons(4).slot(2)
    assert slot.read() == Reading(0, 0, 0)
    slot.busy(7)
    first = slot.read()
    assert first.busy_since_ns > 0
    assert first.operation == 7
    slot.idle()
    assert slot.read() == Reading(0, 1, 7)
    slot.busy()
    assert slot.read().busy_since_ns >= first.busy_since_ns


def test_a_slot_is_cleared_for_the_next_life_and_shared_with_nobody() -> None:
    beacons = Beacons(2)
    first, second = beacons.take(), beacons.take()
    assert first != second
    beacons.slot(first).busy(3)
    assert beacons.slot(second).read() == Reading(0, 0, 0)
    beacons.give_back(first)
    assert beacons.take() == first
    assert beacons.slot(first).read() == Reading(0, 0, 0)


def test_what_a_forked_child_writes_its_supervisor_reads() -> None:
    slot = Beacons(1).slot(0)
    pid = os.fork()
    if pid == 0:
        slot.busy(9)
        os._exit(0)
    os.waitpid(pid, 0)
    assert slot.read().operation == 9


def child_in(*states: State) -> Child:
    group = Group(GroupSpec("g", Strategy.ONE_FOR_ONE, RestartIntensity(1, 1.0)), None)
    child = Child(ChildSpec("a", "kind", lambda life: 0, busy_limit_ms=100), group)
    for state in states:
        child.move_to(state)
    return child


def test_a_child_busy_for_longer_than_its_limit_is_hung() -> None:
    child = child_in(State.STARTING, State.UP)
    assert judge(child, Reading(1, 5, 7), 0, 100 * MS + 1) == ""
    assert judge(child, Reading(1, 5, 7), 0, 101 * MS + 1) == "busy for 101 ms with operation 7 after 5 loops"


def test_a_child_that_got_no_processor_is_not_hung() -> None:
    child = child_in(State.STARTING, State.UP)
    assert judge(child, Reading(1, 5, 7), 0, 300 * MS + 1, starved_ns=200 * MS) == ""
    assert judge(child, Reading(1, 5, 7), 0, 301 * MS + 1, starved_ns=200 * MS) != ""


def test_not_even_a_starved_child_may_be_busy_for_ever() -> None:
    child = child_in(State.STARTING, State.UP)
    end_ns = STARVED_TURNS_MAX * 100 * MS + 1
    assert judge(child, Reading(1, 5, 7), 0, end_ns, starved_ns=end_ns) == ""
    assert judge(child, Reading(1, 5, 7), 0, end_ns + MS, starved_ns=end_ns) != ""


def test_a_turn_is_suspect_when_it_takes_long() -> None:
    assert not is_suspect(Reading(0, 5, 7), 10**18)
    assert not is_suspect(Reading(1, 5, 7), SUSPECT_MS * MS + 1)
    assert is_suspect(Reading(1, 5, 7), SUSPECT_MS * MS + 2)


def test_a_child_that_waits_for_work_is_never_hung() -> None:
    assert judge(child_in(State.STARTING, State.UP), Reading(0, 5, 7), 0, 10**18) == ""


@pytest.mark.parametrize("states", [(State.STARTING,), (State.STARTING, State.STOPPING)])
def test_other_limits_hold_for_a_child_that_starts_or_stops(states: tuple[State, ...]) -> None:
    assert judge(child_in(*states), Reading(1, 0, 0), 0, 10**18) == ""


def test_a_child_that_lives_on_without_its_channel_is_at_fault() -> None:
    child = child_in(State.STARTING)
    assert judge(child, Reading(0, 0, 0), CLOSED_SCANS_MAX, 0) == ""
    assert judge(child, Reading(0, 0, 0), CLOSED_SCANS_MAX + 1, 0) == "closed its control channel"
    child.move_to(State.STOPPING)
    assert judge(child, Reading(0, 0, 0), CLOSED_SCANS_MAX + 1, 0) == ""

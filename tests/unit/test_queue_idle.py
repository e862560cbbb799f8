"""When a queue that nobody uses is to go."""

from __future__ import annotations

from posthouse.actors.queue_idle import REMIND_MS, Idleness


def test_a_queue_is_idle_when_nobody_used_it_for_its_time() -> None:
    idle = Idleness(500, 1_000)
    assert idle.next_ms() == 1_500
    assert not idle.is_over(1_499)
    assert not idle.is_to_be_said(1_499)
    assert idle.is_over(1_500)
    assert idle.is_to_be_said(1_500)


def test_every_use_begins_the_time_anew() -> None:
    idle = Idleness(500, 0)
    idle.used(400)
    assert not idle.is_over(899)
    assert idle.is_to_be_said(900)
    idle.used(901)
    assert not idle.is_over(901)
    assert idle.next_ms() == 1_401


def test_the_registry_is_reminded_while_the_queue_is_still_there() -> None:
    idle = Idleness(500, 0)
    assert idle.is_to_be_said(500)
    assert not idle.is_to_be_said(501)
    assert idle.next_ms() == 500 + REMIND_MS
    assert idle.is_to_be_said(500 + REMIND_MS)

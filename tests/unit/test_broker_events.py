"""The broker's events: numbered, in order, and readable."""

from __future__ import annotations

import pytest

from posthouse.actors.broker_events import EVENTS_MAX, BrokerEvents
from posthouse.supervisor.control_messages import Alarm, Alarmed, Happened


def happened(kind: str, **more: object) -> Happened:
    return Happened(5, kind, "queue:a", 2, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("news", "severity", "text"),
    [
        (happened("exited", signal=9), "warning", "queue:a was killed by signal 9"),
        (happened("exited", code=0), "info", "queue:a ended with exit code 0"),
        (happened("exited", code=1), "warning", "queue:a ended with exit code 1"),
        (happened("restarting", delay_ms=200), "warning", "queue:a is started again in 200 ms"),
        (happened("restarting"), "warning", "queue:a is started again in 0 ms"),
        (
            happened("quarantined", reason="too often"),
            "error",
            "queue:a is quarantined and started again by an operator only: too often",
        ),
        (
            happened("quarantined", reason="too often", delay_ms=50),
            "error",
            "queue:a is quarantined and started again in 50 ms: too often",
        ),
        (happened("started", pid=7), "info", "queue:a started as process 7"),
        (happened("hung", reason="busy"), "error", "queue:a hangs and is killed: busy"),
        (happened("ready"), "info", "queue:a ready"),
        (happened("all_up", reason="why"), "info", "queue:a all up: why"),
    ],
)
def test_news_become_sentences(news: Happened, severity: str, text: str) -> None:
    event = BrokerEvents(0).happened(news)
    assert (event.severity, event.text, event.actor, event.at_ms) == (severity, text, "queue:a", 5)


def test_fields_are_those_that_were_said() -> None:
    event = BrokerEvents(0).happened(happened("exited", pid=7, signal=9))
    assert event.fields == {"generation": 2, "pid": 7, "signal": 9}


def test_an_alarm_stands_until_it_is_over() -> None:
    events = BrokerEvents(0)
    alarm = Alarm("breaker_opened", {"ready": 3}, key="breaker")
    first = events.alarmed(Alarmed(5, "queue:a", alarm))
    assert (first.text, first.severity) == ("queue:a: breaker opened: ready 3", "error")
    assert events.standing == [first]
    over = events.alarmed(Alarmed(6, "queue:a", Alarm("breaker_closed", {}, is_over=True, key="breaker")))
    assert (over.text, over.severity) == ("queue:a: breaker closed", "info")
    assert events.standing == []


def test_the_end_of_an_alarm_has_its_name_and_may_come_to_a_monitor_that_never_knew_it() -> None:
    events = BrokerEvents(0)
    over = Alarmed(6, "dead-letter", Alarm("dead_letters_full", {}, is_over=True))
    assert events.alarmed(over).text == "dead-letter: dead letters full is over"
    events.alarmed(Alarmed(7, "dead-letter", Alarm("dead_letters_full", {})))
    assert events.alarmed(over).text == "dead-letter: dead letters full is over"
    assert events.standing == []


def test_readers_get_what_comes_after_a_number_oldest_first() -> None:
    events = BrokerEvents(100)
    assert events.after(100, 10) == []
    numbers = [events.add(5, f"k{index}", "a").number for index in range(5)]
    assert numbers == [101, 102, 103, 104, 105]
    assert [event.number for event in events.after(102, 2)] == [103, 104]
    assert [event.number for event in events.after(-1, 2)] == [104, 105]
    assert [event.number for event in events.after(0, 10)] == numbers
    assert events.after(105, 10) == []
    assert events.after(10**15, 10) == []


def test_the_oldest_events_go() -> None:
    events = BrokerEvents(0)
    for index in range(EVENTS_MAX + 3):
        events.add(5, "k", str(index))
    assert [event.number for event in events.after(0, 2)] == [4, 5]
    assert events.last == EVENTS_MAX + 3

"""News: who follows what happens in the tree, and which alarms stand."""

from __future__ import annotations

from posthouse.supervisor.control_messages import Alarm, Alarmed, Happened
from posthouse.supervisor.effects import Event, EventKind
from posthouse.supervisor.news import STANDING_MAX, News

FULL = Alarm("store_full", {"reason": "no room"})


def test_a_follower_is_told_first_what_stands() -> None:
    news = News()
    told = news.alarmed("dead-letter", FULL, 5)
    assert told == Alarmed(5, "dead-letter", FULL)
    assert news.follow("monitor") == [told]
    assert news.followers == ("monitor",)


def test_an_alarm_that_is_over_or_was_said_again_stands_once_or_not_at_all() -> None:
    news = News()
    news.alarmed("q", FULL, 1)
    news.alarmed("q", FULL, 2)
    assert [standing.at_ms for standing in news.follow("monitor")] == [2]
    over = news.alarmed("q", Alarm("store_full", {}, is_over=True), 3)
    assert over.alarm.is_over
    assert news.follow("monitor") == []


def test_alarms_with_a_key_are_one_whatever_their_event() -> None:
    news = News()
    news.alarmed("q", Alarm("breaker_opened", {}, key="breaker"), 1)
    news.alarmed("q", Alarm("breaker_closed", {}, is_over=True, key="breaker"), 2)
    assert news.follow("monitor") == []


def test_the_dead_follow_nothing_and_their_alarms_are_over() -> None:
    news = News()
    news.follow("monitor")
    news.alarmed("q", FULL, 1)
    told = news.happened(Event(EventKind.EXITED, "q", 3, pid=9, signal=9), 7)
    assert told[0] == Happened(7, "exited", "q", 3, 9, "", None, 9, None)
    assert told[1:] == [Alarmed(7, "q", Alarm("store_full", {"reason": "no room"}, is_over=True))]
    news.happened(Event(EventKind.EXITED, "monitor", 2, pid=8, code=1), 8)
    assert news.followers == ()
    assert news.follow("monitor") == []


def test_other_events_leave_alarms_standing() -> None:
    news = News()
    news.alarmed("q", FULL, 1)
    assert len(news.happened(Event(EventKind.RESTARTING, "q", delay_ms=0), 7)) == 1
    assert len(news.follow("monitor")) == 1


def test_the_oldest_alarms_give_way() -> None:
    news = News()
    for number in range(STANDING_MAX + 2):
        news.alarmed(f"q{number}", FULL, number)
    standing = news.follow("monitor")
    assert len(standing) == STANDING_MAX
    assert standing[0].id == "q2"

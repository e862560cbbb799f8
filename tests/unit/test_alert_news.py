"""The watch over lives: events, states and alarms, judged when they come and again with each sample."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.actors.alert_finding import Verdict
from posthouse.actors.alert_news import AlertNews
from posthouse.actors.alert_rules import Alarms, Events, State
from posthouse.supervisor.control_messages import Alarm, Alarmed, Happened
from posthouse.transport.messages_monitor import ActorReading
from tests.support.alert_bench import queue

CRASH = Events(name="crash", summary="ended", events=("restarting", "quarantined"), ignore_codes=(20,))
LOOP = Events(name="loop", summary="keeps ending", events=("restarting",), count=3, window_s=10.0)
DOWN = State(name="down", summary="is down", states=("quarantined",), ignore_codes=(20,))
DAMAGE = State(name="damage", summary="is damaged", states=("quarantined",), codes=(20,))
FULL = Alarms(name="full", summary="takes nothing", alarms=("store_full",))


def happened(kind: str, actor: str = "queue:q", **facts: Any) -> Happened:
    return Happened(0, kind, actor, **facts)


def reading(state: str, last_exit: str = "") -> dict[str, ActorReading]:
    return {"queue:q": ActorReading(id="queue:q", kind="queue", name="q", state=state, last_exit=last_exit)}


def test_an_event_is_bad_at_once_and_says_why() -> None:
    news = AlertNews([CRASH])
    (finding,) = news.happened(happened("restarting", reason="signal 9"), 0).values()
    assert (finding.key, finding.verdict, finding.name) == (("crash", "queue:q"), Verdict.BAD, "q")
    assert finding.text == "queue:q: ended: signal 9"
    assert news.happened(happened("started"), 1) == {}


def test_events_are_counted_within_their_window() -> None:
    news = AlertNews([LOOP])
    found = [bool(news.happened(happened("restarting"), at_ms)) for at_ms in (0, 9_000, 10_500, 11_000)]
    assert found == [False, False, False, True]
    assert not news.happened(happened("restarting", "queue:other"), 11_000), "each actor by itself"


def test_an_event_is_undecided_until_its_actor_is_up() -> None:
    news = AlertNews([CRASH])
    news.happened(happened("restarting"), 0)
    active = {("crash", "queue:q")}
    assert [finding.verdict for finding in news.take(reading("restarting"), 1, active).values()] == [Verdict.UNDECIDED]
    assert news.take(reading("up"), 2, active) == {}
    assert news.take({}, 3, active) == {}, "what is gone is well"


def test_a_loop_is_undecided_while_its_window_has_enough() -> None:
    news = AlertNews([LOOP])
    for at_ms in (0, 1, 2):
        news.happened(happened("restarting"), at_ms)
    active = {("loop", "queue:q")}
    assert news.take(reading("up"), 9_000, active) != {}
    assert news.take(reading("up"), 10_001, active) == {}


def test_states_are_told_apart_by_exit_codes_in_news_and_in_samples() -> None:
    news = AlertNews([DOWN, DAMAGE])
    news.happened(happened("exited", code=20), 0)
    assert list(news.happened(happened("quarantined"), 0)) == [("damage", "queue:q")]
    assert list(news.take(reading("quarantined", "exit code 20"), 1, ())) == [("damage", "queue:q")]
    news.happened(happened("exited", code=None, signal=9), 2)
    assert list(news.happened(happened("quarantined"), 2)) == [("down", "queue:q")]
    assert list(news.take(reading("quarantined", "not ready in time; signal 6"), 3, ())) == [("down", "queue:q")]


@pytest.mark.parametrize(("state", "is_undecided"), [("starting", True), ("up", False), ("stopped", False)])
def test_a_state_is_over_when_the_actor_is_up_and_not_before(state: str, is_undecided: bool) -> None:
    found = AlertNews([DOWN]).take(reading(state), 0, {("down", "queue:q")})
    assert bool(found) == is_undecided


def test_an_alarm_stands_until_it_is_taken_back() -> None:
    news = AlertNews([FULL])
    alarmed = Alarmed(0, "dead-letter", Alarm("store_full", {"messages": 5}))
    (finding,) = news.alarmed(alarmed).values()
    assert finding.text == "dead-letter: takes nothing: messages 5"
    assert list(news.take({}, 1, ())) == [("full", "dead-letter")]
    assert news.alarmed(Alarmed(2, "dead-letter", Alarm("store_full", {}, is_over=True))) == {}
    assert news.take({}, 3, ()) == {}
    assert news.alarmed(Alarmed(4, "dead-letter", Alarm("other", {}))) == {}


def test_an_alarm_is_known_by_its_key_too() -> None:
    rule = Alarms(name="open", summary="is open", alarms=("breaker",), actors="queue")
    news = AlertNews([rule])
    assert news.alarmed(Alarmed(0, "queue:q", Alarm("breaker_opened", {}, key="breaker")))
    assert not news.alarmed(Alarmed(0, "door", Alarm("breaker_opened", {}, key="breaker")))


def test_what_is_gone_is_forgotten() -> None:
    news = AlertNews([LOOP])
    for number in range(10):
        news.happened(happened("restarting", f"queue:{number}"), 0)
    news.take({"queue:q": queue()}, 1, ())
    assert news.happened(happened("restarting", "queue:3"), 2) == {}
    assert news.happened(happened("restarting", "queue:3"), 3) == {}, "two of three"

"""Silences, the pace of notices, the outbox, and what survives a monitor."""

from __future__ import annotations

import pytest

from posthouse.actors import alert_memory
from posthouse.actors.alert_memory import Memory
from posthouse.actors.alert_outbox import (
    FIRST_PAUSE_MS,
    KEPT_MS,
    PAUSE_MS_MAX,
    WAITING_MAX,
    AlertOutbox,
    Notice,
    Outcome,
    TargetFacts,
)
from posthouse.actors.alert_pace import BURST, GATHER_MS, PAUSE_MS, AlertPace
from posthouse.actors.alert_silences import SILENCES_MAX, Silences
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_alerts import Alert, AlertTested
from tests.support.alert_bench import WALL_MS

ALERT = Alert(rule="deep", subject="queue:q", name="q")


def notice(number: int, kind: str = "alerts", at_ms: int = WALL_MS) -> Notice:
    return Notice(number=number, at_ms=at_ms, kind=kind, firing=[ALERT])


def outbox(*names: str) -> AlertOutbox:
    return AlertOutbox([TargetFacts(name, "webhook", "http://x/***") for name in names or ("a",)])


# ---- the outbox ----


def test_each_target_gets_one_notice_at_a_time_in_order() -> None:
    box = outbox("a", "b")
    for number in (1, 2):
        box.add("a", notice(number))
    assert [(one.target, one.notice.number) for one in box.dispatch(WALL_MS, 0)] == [("a", 1)]
    assert box.dispatch(WALL_MS, 1) == [], "the first is on its way"
    box.ended(Outcome("a", 1, ""), WALL_MS, 2, 0.0)
    assert [one.notice.number for one in box.dispatch(WALL_MS, 3)] == [2]


def test_what_fails_is_tried_again_after_growing_pauses_up_to_a_bound() -> None:
    box = outbox()
    box.add("a", notice(1))
    now_ms, pauses = 0, []
    for _ in range(15):
        (dispatch,) = box.dispatch(WALL_MS, now_ms)
        assert dispatch.notice.number == 1
        box.ended(Outcome("a", 1, "answered 500"), WALL_MS, now_ms, 1.0)
        (target,) = box.listing(WALL_MS, now_ms)
        pauses.append(target.next_ms - WALL_MS)
        assert box.dispatch(WALL_MS, now_ms + pauses[-1] - 1) == []
        now_ms += pauses[-1]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_MS, PAUSE_MS_MAX)
    assert (target.waiting, target.attempts, target.failed, target.error) == (1, 15, 15, "answered 500")
    (dispatch,) = box.dispatch(WALL_MS, now_ms)
    box.ended(Outcome("a", 1, ""), WALL_MS + 5, now_ms, 0.0)
    (target,) = box.listing(WALL_MS, now_ms)
    assert (target.waiting, target.attempts, target.error, target.delivered) == (0, 0, "", 1)
    assert target.delivered_ms == WALL_MS + 5


def test_a_line_has_a_bound_and_the_oldest_gives_way() -> None:
    box = outbox()
    box.add("a", notice(0))
    box.dispatch(WALL_MS, 0)
    for number in range(1, WAITING_MAX + 3):
        box.add("a", notice(number))
    box.ended(Outcome("a", 0, ""), WALL_MS, 1, 0.0)
    (target,) = box.listing(WALL_MS, 1)
    assert (target.waiting, target.dropped) == (WAITING_MAX, 3)
    assert box.dispatch(WALL_MS, 2)[0].notice.number == 3


def test_news_of_yesterday_is_no_news() -> None:
    box = outbox()
    box.add("a", notice(1, at_ms=WALL_MS - KEPT_MS - 1))
    assert box.dispatch(WALL_MS, 0) == []
    assert box.listing(WALL_MS, 0)[0].dropped == 1


def test_a_test_passes_what_waits_and_is_tried_once() -> None:
    box = outbox()
    box.add("a", notice(1))
    box.dispatch(WALL_MS, 0)
    box.ended(Outcome("a", 1, "no"), WALL_MS, 0, 0.0)
    box.add("a", notice(2, "test"))
    assert box.dispatch(WALL_MS, 1)[0].notice.number == 2
    assert box.ended(Outcome("a", 2, "still no"), WALL_MS, 2, 0.0) == AlertTested(target="a", error="still no")
    assert box.dispatch(WALL_MS, 3) == [], "and the other keeps its pause"


def test_an_outcome_that_nobody_waits_for_changes_nothing() -> None:
    box = outbox()
    assert box.ended(Outcome("a", 9, ""), WALL_MS, 0, 0.0) is None
    assert box.listing(WALL_MS, 0)[0].delivered == 0


def test_what_an_earlier_life_delivered_is_not_told_again() -> None:
    box = outbox("a", "b")
    box.restore({"a": [notice(1), notice(2)], "b": [notice(1)], "gone": [notice(1)]}, {"a": [1]})
    assert {name: [one.number for one in waiting] for name, waiting in box.waiting().items()} == {"a": [2], "b": [1]}


# ---- the pace ----


def test_what_comes_together_is_one_notice_and_not_late() -> None:
    pace = AlertPace()
    assert not pace.is_due(True, 0)
    assert not pace.is_due(True, GATHER_MS - 1)
    assert pace.is_due(True, GATHER_MS)
    assert not pace.is_due(False, GATHER_MS + 1)


def test_there_are_a_few_notices_at_once_and_then_one_in_a_while() -> None:
    pace = AlertPace()
    times = [at_ms for at_ms in range(0, 120_000, 100) if pace.is_due(True, at_ms)]
    assert BURST <= sum(at_ms <= BURST * (GATHER_MS + 100) for at_ms in times) <= BURST + 1
    assert len(times) <= BURST + 120_000 / PAUSE_MS + 1
    assert times[-1] >= 110_000, "and they never end"


# ---- silences ----


def test_a_silence_means_what_its_patterns_say_until_it_ends() -> None:
    silences = Silences()
    silence = silences.add("de*", "q", 1_000, "why", WALL_MS)
    assert silences.of(ALERT, WALL_MS + 999) == silence.number == 1
    assert silences.of(ALERT, WALL_MS + 1_000) == 0
    assert silences.standing(WALL_MS + 1_000) == []


@pytest.mark.parametrize(("rule", "subject"), [("other", "*"), ("*", "queue:other"), ("*", "exchange:*")])
def test_others_are_not_silenced(rule: str, subject: str) -> None:
    silences = Silences()
    silences.add(rule, subject, 1_000, "", WALL_MS)
    assert silences.of(ALERT, WALL_MS) == 0


def test_a_silence_can_be_ended_and_its_number_is_not_used_again() -> None:
    silences = Silences()
    silences.add("*", "*", 1_000, "", WALL_MS)
    assert silences.end(1)
    assert not silences.end(1)
    again = Silences()
    again.restore(silences.standing(WALL_MS), silences.last)
    assert again.add("*", "*", 1_000, "", WALL_MS).number == 2


@pytest.mark.parametrize(
    ("rule", "subject", "for_ms", "comment"),
    [("", "*", 1, ""), ("*", "x" * 513, 1, ""), ("*", "*", 0, ""), ("*", "*", 1 << 60, ""), ("*", "*", 1, "x" * 1_001)],
)
def test_absurd_silences_are_refused(rule: str, subject: str, for_ms: int, comment: str) -> None:
    with pytest.raises(InvalidArgument):
        Silences().add(rule, subject, for_ms, comment, WALL_MS)


def test_there_is_a_bound_of_silences() -> None:
    silences = Silences()
    for _ in range(SILENCES_MAX):
        silences.add("*", "*", 1_000, "", WALL_MS)
    with pytest.raises(InvalidArgument, match="unsilence"):
        silences.add("*", "*", 1_000, "", WALL_MS)
    silences.add("*", "*", 1_000, "", WALL_MS + 1_000)


# ---- what survives ----


def test_what_is_remembered_is_read_as_it_was() -> None:
    memory = Memory(boot="x", last_notice=7, firing=[ALERT], waiting={"a": [notice(1)]}, restarts={"queue:q": 2})
    assert alert_memory.decode(alert_memory.encode(memory)) == memory


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"version": 9}', b"\xff\xfe", b'{"firing": [1]}', b"[" * 100_000])
def test_what_cannot_be_read_is_said(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="alerts' file"):
        alert_memory.decode(data)

"""The outage breaker: when it opens, what it tries, and when it closes again."""

from __future__ import annotations

from typing import Any

import pytest

import posthouse
from posthouse.actors.breaker import WINDOW_MAX, Breaker, Recent, check_breaker, probe_of
from posthouse.errors import InvalidArgument
from posthouse.transport.descriptions import BreakerSpec

POLICY = BreakerSpec(window=5, failure_share=0.6, probe_after_ms=100, max_probe_after_ms=350)


def opened(now_ms: int = 1_000) -> Breaker:
    """A breaker that has just opened."""
    breaker = Breaker(POLICY)
    assert breaker.failed([(1, 5)], now_ms)
    return breaker


def test_it_opens_when_the_share_of_failures_among_the_last_messages_is_reached() -> None:
    breaker = Breaker(POLICY)
    breaker.succeeded([(1, 2)])
    assert [breaker.failed([(offset, offset)], 10) for offset in (3, 4)] == [False, False]
    assert (breaker.state, breaker.may_deliver, breaker.next_ms(), breaker.opened) == ("closed", True, None, 0)
    assert breaker.failed([(5, 5)], 10)
    assert (breaker.state, breaker.may_deliver, breaker.next_ms(), breaker.opened) == ("open", False, 110, 1)
    assert breaker.share == pytest.approx(0.6)


def test_few_messages_never_open_it_however_often_they_fail() -> None:
    breaker = Breaker(POLICY)
    for _ in range(100):
        assert not breaker.failed([(1, 4)], 0)
    assert breaker.failed([(9, 9)], 0)


def test_a_long_range_counts_for_no_more_than_the_window() -> None:
    breaker = Breaker(POLICY)
    breaker.succeeded([(1, 1_000_000)])
    assert not breaker.failed([(2_000_000, 2_000_001)], 0)
    assert breaker.failed([(2_000_002, 9_000_000)], 0)


def test_a_share_that_floats_cannot_hold_is_reached_all_the_same() -> None:
    breaker = Breaker(BreakerSpec(window=10, failure_share=0.1 + 0.2, probe_after_ms=1))
    breaker.succeeded([(1, 7)])
    assert not breaker.failed([(8, 9)], 0)
    assert breaker.failed([(10, 10)], 0)


def test_while_open_nothing_goes_and_every_failure_is_excused() -> None:
    breaker = opened()
    breaker.pass_time(1_099)
    assert not breaker.may_deliver
    assert breaker.failed([(6, 9)], 1_050)
    assert not breaker.succeeded([(10, 12)])
    assert (breaker.state, breaker.next_ms(), breaker.opened) == ("open", 1_100, 1)


def test_after_the_wait_one_message_goes_and_its_ack_closes() -> None:
    breaker = opened()
    breaker.pass_time(1_100)
    assert (breaker.state, breaker.may_deliver, breaker.next_ms()) == ("probing", True, None)
    breaker.probed(7, 1_200)
    assert (breaker.state, breaker.may_deliver, breaker.next_ms()) == ("probing", False, 1_550)
    assert not breaker.succeeded([(1, 6), (8, 9)])
    assert breaker.succeeded([(6, 7)])
    assert (breaker.state, breaker.may_deliver, breaker.share) == ("closed", True, 0.0)
    assert not breaker.failed([(1, 4)], 1_300)


def test_a_failed_probe_doubles_the_wait_up_to_the_longest_and_an_ack_resets_it() -> None:
    breaker = opened(0)
    now_ms, waits = 100, []
    for offset in range(4):
        breaker.pass_time(now_ms)
        breaker.probed(offset, now_ms)
        assert breaker.failed([(offset, offset)], now_ms)
        assert breaker.state == "open"
        due_ms = breaker.next_ms()
        assert due_ms is not None
        waits.append(due_ms - now_ms)
        now_ms = due_ms
    assert waits == [200, 350, 350, 350]
    breaker.pass_time(now_ms)
    breaker.probed(9, now_ms)
    assert breaker.succeeded([(9, 9)])
    assert breaker.failed([(1, 5)], 5_000)
    assert (breaker.next_ms(), breaker.opened) == (5_100, 2)


def test_a_probe_that_comes_back_without_an_outcome_is_followed_by_another_at_once() -> None:
    breaker = opened()
    breaker.pass_time(1_100)
    breaker.probed(7, 1_100)
    breaker.returned([(1, 6)])
    assert not breaker.may_deliver
    breaker.returned([(7, 7)])
    assert (breaker.state, breaker.may_deliver) == ("probing", True)
    closed = Breaker(POLICY)
    closed.returned([(1, 9)])
    assert closed.state == "closed"


def test_a_probe_that_nobody_settles_is_followed_by_another_and_either_may_close() -> None:
    breaker = opened()
    breaker.pass_time(1_100)
    breaker.probed(7, 1_100)
    heard: list[bool] = []
    for now_ms in (1_449, 1_450):
        breaker.pass_time(now_ms)
        heard.append(breaker.may_deliver)
    assert heard == [False, True]
    breaker.probed(8, 1_450)
    assert breaker.succeeded([(7, 7)])
    assert breaker.failed([(8, 8)], 1_500) is False


def test_the_probe_is_the_message_that_was_delivered_fewest_times_and_the_first_of_those() -> None:
    assert probe_of([(1, 3, 2), (4, 4, 1), (9, 9, 1)]) == 4
    assert probe_of([(5, 9, 3), (1, 2, 0), (3, 3, 0)]) == 1


def test_probes_go_round_so_that_one_good_message_among_poison_closes() -> None:
    times = {offset: 3 for offset in range(1, 21)}
    breaker = opened(0)
    tried: list[int] = []
    while breaker.state != "closed":
        due_ms = breaker.next_ms()
        assert due_ms is not None
        breaker.pass_time(due_ms)
        offset = probe_of((offset, offset, number) for offset, number in times.items())
        breaker.probed(offset, due_ms)
        times[offset] += 1
        tried.append(offset)
        if offset == 20:
            breaker.succeeded([(20, 20)])
        else:
            breaker.failed([(offset, offset)], due_ms)
    assert tried == list(range(1, 21))


def test_of_a_message_only_the_last_attempt_counts() -> None:
    recent = Recent(4)
    recent.add(1, 4, is_failure=True)
    recent.add(2, 3, is_failure=False)
    assert (recent.count, recent.failures) == (4, 2)
    recent.add(2, 2, is_failure=True)
    assert (recent.count, recent.failures) == (4, 3)
    recent.add(7, 7, is_failure=False)
    assert (recent.count, recent.failures) == (4, 2)
    recent.add(100, 200, is_failure=False)
    assert (recent.count, recent.failures) == (4, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0}, {"window": WINDOW_MAX + 1}, {"window": True}, {"window": 2.5}, {"window": "20"},
        {"failure_share": 0.0}, {"failure_share": 1.1}, {"failure_share": float("nan")}, {"failure_share": True},
        {"probe_after_s": 0}, {"probe_after_s": -1}, {"probe_after_s": float("nan")}, {"probe_after_s": 1e12},
        {"max_probe_after_s": float("inf")}, {"max_probe_after_s": "1m"}, {"probe_after_s": 61.0},
    ],
)  # fmt: skip
def test_a_breaker_that_makes_no_sense_is_refused_where_it_is_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        posthouse.Breaker(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0}, {"window": WINDOW_MAX + 1}, {"failure_share": 0.0}, {"failure_share": float("nan")},
        {"probe_after_ms": 0}, {"max_probe_after_ms": 1 << 60}, {"probe_after_ms": 60_001},
    ],
)  # fmt: skip
def test_a_breaker_from_another_program_is_refused_by_the_broker_too(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="breaker"):
        check_breaker(BreakerSpec(**wrong))


def test_a_breaker_travels_in_milliseconds() -> None:
    spec = posthouse.Breaker(window=7, failure_share=1, probe_after_s=0.25).spec()
    assert spec == BreakerSpec(window=7, failure_share=1.0, probe_after_ms=250, max_probe_after_ms=60_000)
    check_breaker(spec)
    check_breaker(posthouse.Breaker().spec())

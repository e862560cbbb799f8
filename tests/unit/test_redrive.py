"""A redrive by example: how many may go, when it waits, and when it stops."""

from __future__ import annotations

import math

import pytest

from posthouse.actors.redrive import Canary, Job, check_redrive
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_dead import DeadLetterFilter, Redrive

ALL = DeadLetterFilter()


def job(matched: int = 100, **asked: float) -> Job:
    return Job(1, Redrive(1, ALL, **asked), matched, up_to=matched, begun_ms=0, paid=1.0)  # type: ignore[arg-type]


def test_without_a_rate_everything_may_go_at_once() -> None:
    plain = job()
    assert (plain.allowance(0), plain.next_ms(0)) == (None, None)
    plain.went(100, 100)
    plain.has_walked = True
    plain.settle()
    assert plain.info().state == "running"
    plain.moved = 100
    plain.settle()
    assert (plain.info().state, plain.allowance(0)) == ("done", 0)


def test_a_rate_lets_so_many_go_a_second_and_never_saves_up_for_a_flood() -> None:
    slow = job(rate=10.0)
    assert slow.allowance(0) == 1
    slow.went(1, 1)
    assert (slow.allowance(50), slow.next_ms(50)) == (0, 100)
    assert slow.allowance(100) == 1
    slow.went(1, 2)
    assert slow.allowance(60_000) == 1
    fast = job(rate=1_000.0)
    assert fast.allowance(60_000) == 100


def test_canaries_go_first_and_the_rest_waits_for_their_outcome() -> None:
    careful = job(canary=2)
    assert careful.allowance(0) == 2
    one = careful.canaries["q", 1] = Canary("q", 2, first_offset=1)
    careful.went(2, 2)
    careful.moved = 2
    assert (careful.allowance(0), careful.info().state) == (0, "canary")
    careful.judge(one, 1, 0)
    assert careful.allowance(0) == 0
    careful.judge(one, 0, 0)
    assert careful.allowance(0) is None


def test_failing_canaries_stop_it() -> None:
    careful = job(canary=2)
    one = careful.canaries["q", 1] = Canary("q", 2, first_offset=1)
    careful.went(2, 2)
    careful.moved = 2
    careful.judge(one, 2, 1)
    careful.settle()
    assert (careful.info().state, careful.info().failed) == ("stopped", 1)
    assert "1 of 2 canaries failed" in careful.info().text
    careful.stop("again")
    assert "canaries" in careful.text


def test_a_share_of_the_canaries_may_fail() -> None:
    careful = job(canary=4, failure_share=0.25)
    one = careful.canaries["q", 1] = Canary("q", 4, first_offset=1)
    careful.went(4, 4)
    careful.died_again(one, 1)
    assert not careful.text
    careful.judge(one, 0, 0)
    assert careful.allowance(0) is None
    careful.died_again(one, 9)
    assert one.failed == 4
    assert careful.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": -1.0}, {"rate": math.nan}, {"rate": math.inf}, {"rate": 1e9}, {"canary": -1}, {"canary": 10**6},
        {"failure_share": 1.0}, {"failure_share": -0.1}, {"failure_share": math.nan},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        check_redrive(Redrive(1, ALL, **wrong))  # type: ignore[arg-type]

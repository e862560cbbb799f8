"""A redrive by example: how many may go, when it waits, and when it stops."""

from __future__ import annotations

import math

import pytest

from posthouse.actors.dead_letter_records import RedriveRecord
from posthouse.actors.redrive import Canary, Job, check_redrive
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_dead import DeadLetterFilter, Redrive

ALL = DeadLetterFilter()


def job(matched: int = 100, **asked: float) -> Job:
    return Job(RedriveRecord(1, Redrive(1, ALL, **asked), matched, matched, 0))  # type: ignore[arg-type]


def went(some: Job, count: int, last_id: int = 0, key: str = "q") -> None:
    """So many were chosen, and intended."""
    some.went(count)
    some.record.went(key, some.record.sent + 1, count, last_id)


def test_without_a_rate_everything_may_go_at_once() -> None:
    plain = job()
    assert (plain.allowance(0), plain.next_ms(0)) == (None, None)
    went(plain, 100, 100)
    plain.has_walked = True
    assert not plain.settle()
    assert (plain.info(0).state, plain.info(0).remaining) == ("running", 100)
    plain.record.moved = 100
    assert plain.settle()
    assert not plain.settle(), "it ends once"
    assert (plain.info(0).state, plain.allowance(0), plain.info(0).remaining) == ("done", 0, 0)


def test_a_rate_lets_so_many_go_a_second_and_never_saves_up_for_a_flood() -> None:
    slow = job(rate=10.0)
    assert slow.allowance(0) == 1
    slow.went(1)
    assert (slow.allowance(50), slow.next_ms(50)) == (0, 100)
    assert slow.allowance(100) == 1
    slow.went(1)
    assert slow.allowance(60_000) == 1
    fast = job(rate=1_000.0)
    assert fast.allowance(60_000) == 100


def test_it_says_how_fast_it_is() -> None:
    some = job()
    some.began_ms, some.began_with, some.record.moved = 1_000, 10, 60
    assert some.info(3_000).rate == 25.0


def test_the_numbers_it_used_are_ranges_for_each_destination() -> None:
    record = job().record
    record.went("q", 1, 3, 10)
    record.went("q", 4, 2, 20)
    record.went("p", 1, 1, 5)
    record.went("q", 9, 1, 21)
    assert record.streams == {"q": [1, 5, 9, 9], "p": [1, 1]}
    assert (record.sent, record.cursor) == (7, 21)


def test_canaries_go_first_and_the_rest_waits_for_their_outcome() -> None:
    careful = job(canary=2)
    assert careful.allowance(0) == 2
    one = careful.canaries["q", 1] = Canary("q", 2, first_offset=1)
    went(careful, 2)
    careful.record.moved = 2
    assert (careful.allowance(0), careful.info(0).state) == (0, "canary")
    careful.judge(one, 1)
    assert careful.allowance(0) == 0
    careful.judge(one, 0)
    assert careful.allowance(0) is None
    careful.record.is_past_canaries = True
    assert not careful.is_canary


def test_canaries_that_die_again_stop_it() -> None:
    careful = job(canary=2)
    one = careful.canaries["q", 1] = Canary("q", 2, first_offset=1)
    went(careful, 2)
    careful.record.moved = 2
    careful.died_again(one, 1)
    careful.settle()
    assert (careful.info(0).state, careful.info(0).failed) == ("stopped", 1)
    assert "1 of 2 canaries failed" in careful.info(0).text
    careful.stop("again")
    assert "canaries" in careful.record.text


def test_a_share_of_the_canaries_may_fail() -> None:
    careful = job(canary=4, failure_share=0.25)
    one = careful.canaries["q", 1] = Canary("q", 4, first_offset=1)
    went(careful, 4)
    careful.died_again(one, 1)
    assert not careful.record.text
    careful.judge(one, 0)
    assert careful.allowance(0) is None
    careful.died_again(one, 9)
    assert one.dead == 4
    assert careful.record.text


def test_fewer_letters_than_canaries_are_waited_for_all_the_same() -> None:
    careful = job(matched=1, canary=5)
    one = careful.canaries["q", 1] = Canary("q", 1, first_offset=1)
    went(careful, 1)
    careful.record.moved, careful.has_walked = 1, True
    assert not careful.settle()
    careful.judge(one, 0)
    assert careful.settle()
    assert careful.info(0).state == "done"


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": -1.0}, {"rate": math.nan}, {"rate": math.inf}, {"rate": 1e9}, {"canary": -1}, {"canary": 10**6},
        {"failure_share": 1.0}, {"failure_share": -0.1}, {"failure_share": math.nan}, {"to": ""}, {"to": "\n"},
        {"to": "q", "to_exchange": "x"}, {"to_exchange": "x", "canary": 1}, {"to_exchange": "\n"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        check_redrive(Redrive(1, ALL, **wrong))  # type: ignore[arg-type]

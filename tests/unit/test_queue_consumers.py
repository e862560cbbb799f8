"""Who may consume, and whose turn it is."""

from __future__ import annotations

import pytest

from posthouse.actors.queue_consumers import AUTO_ACK_ROUND_MAX, GETTER, Consumer, Consumers
from posthouse.transport.errors import InvalidArgument, ResourceLocked
from posthouse.transport.limits import PREFETCH_MAX


def consumer(number: int = 1, session: int = 1, exclusive: bool = False, prefetch: int = 10) -> Consumer:
    return Consumer(
        session=session,
        consumer=number,
        client_id=session,
        client_name=f"program {session}",
        prefetch=prefetch,
        auto_ack=False,
        exclusive=exclusive,
        credit=prefetch,
    )


def consumers_with(*members: Consumer, is_single_active: bool = False) -> Consumers:
    consumers = Consumers("ewr", is_single_active)
    for member in members:
        consumers.admit(member)
    return consumers


def test_consumers_stand_in_the_line_in_the_order_they_came() -> None:
    first, second = consumer(1), consumer(2)
    consumers = consumers_with(first, second)
    assert list(consumers) == list(consumers.line) == [first, second]
    assert len(consumers) == 2
    assert consumers.find(1, 2) is second
    assert consumers.find(2, 2) is None


@pytest.mark.parametrize("number", [GETTER, -1])
def test_consumer_numbers_start_at_one(number: int) -> None:
    with pytest.raises(InvalidArgument, match="from 1"):
        consumers_with(consumer(number))


@pytest.mark.parametrize("prefetch", [0, -1, PREFETCH_MAX + 1])
def test_a_prefetch_out_of_range_is_refused(prefetch: int) -> None:
    with pytest.raises(InvalidArgument, match="prefetch"):
        consumers_with(consumer(prefetch=prefetch))


def test_a_number_is_used_once_in_a_session() -> None:
    consumers = consumers_with(consumer(1))
    with pytest.raises(InvalidArgument, match="open already"):
        consumers.admit(consumer(1))
    consumers.admit(consumer(1, session=2))
    assert len(consumers) == 2


def test_an_exclusive_consumer_must_be_alone_and_stays_alone() -> None:
    consumers = consumers_with(consumer(1))
    with pytest.raises(ResourceLocked, match="must be alone"):
        consumers.admit(consumer(2, exclusive=True))
    consumers.leave(1, 1)
    consumers.admit(consumer(2, exclusive=True))
    with pytest.raises(ResourceLocked, match="exclusive consumer 'program 1'"):
        consumers.admit(consumer(3))
    with pytest.raises(ResourceLocked):
        consumers.getter(1, 1)
    assert len(consumers) == 1


def test_a_consumer_without_credit_comes_back_to_the_end_of_the_line() -> None:
    first, second = consumer(1), consumer(2)
    consumers = consumers_with(first, second)
    assert consumers.line.popleft() is first
    first.credit, first.in_line = 0, False
    consumers.regain(first, 3)
    consumers.regain(first, 1)
    assert list(consumers.line) == [second, first]
    assert first.credit == 4


def test_a_consumer_that_leaves_is_out_of_the_line() -> None:
    first, second = consumer(1), consumer(2)
    consumers = consumers_with(first, second)
    assert consumers.leave(1, 1) is first
    assert consumers.leave(1, 1) is None
    assert list(consumers.line) == [second]
    second.in_line = False
    consumers.line.clear()
    assert consumers.leave(1, 2) is second


def test_only_the_oldest_is_active_and_the_next_takes_over() -> None:
    first, second, third = consumer(1), consumer(2), consumer(3)
    consumers = consumers_with(first, second, third, is_single_active=True)
    assert list(consumers.line) == [first]
    assert [consumers.is_active(member) for member in consumers] == [True, False, False]
    consumers.regain(second, 1)
    consumers.leave(1, 3)
    assert list(consumers.line) == [first]
    consumers.leave(1, 1)
    assert list(consumers.line) == [second]
    consumers.leave(1, 2)
    assert not consumers.line


def test_a_getter_is_one_per_session_and_no_consumer() -> None:
    consumers = consumers_with(consumer(1))
    getter = consumers.getter(1, client_id=1)
    assert consumers.getter(1, client_id=1) is getter is consumers.find(1, GETTER)
    assert len(consumers) == 1
    assert list(consumers.holders()) == [consumers.find(1, 1), getter]
    assert consumers.of_session(1) == [1, GETTER]
    assert consumers.of_session(2) == []
    assert consumers.leave(1, GETTER) is getter
    assert consumers.of_session(1) == [1]


def test_a_getter_goes_when_it_holds_nothing_more() -> None:
    consumers = consumers_with()
    getter = consumers.getter(1, client_id=1)
    getter.unacked.put(1, 1, 1)
    consumers.regain(getter, 1)
    assert consumers.find(1, GETTER) is getter
    getter.unacked.take(1, 1)
    consumers.regain(getter, 1)
    assert consumers.find(1, GETTER) is None
    assert not consumers.line


def test_nobody_gets_past_a_single_active_consumer() -> None:
    consumers = consumers_with(consumer(1), is_single_active=True)
    with pytest.raises(ResourceLocked, match="single active"):
        consumers.getter(2, client_id=2)
    consumers.leave(1, 1)
    assert consumers.getter(2, client_id=2).session == 2


def test_spent_auto_ack_consumers_are_back_after_the_round() -> None:
    spent = consumer(1)
    consumers = consumers_with(spent)
    consumers.line.clear()
    spent.credit, spent.in_line = 0, False
    consumers.refill([spent])
    assert (spent.credit, list(consumers.line)) == (AUTO_ACK_ROUND_MAX, [spent])


def test_the_consumers_of_a_paused_session_stand_in_no_line_until_it_goes_on() -> None:
    first, second, other = consumer(1), consumer(2), consumer(1, session=2)
    consumers = consumers_with(first, other)
    consumers.pause(1, is_paused=True)
    consumers.pause(1, is_paused=True)
    consumers.admit(second)
    consumers.regain(first, 1)
    assert list(consumers.line) == [other]
    consumers.pause(1, is_paused=False)
    assert list(consumers.line) == [other, first, second]


def test_a_paused_single_active_consumer_stays_the_active_one() -> None:
    first, second = consumer(1), consumer(1, session=2)
    consumers = consumers_with(first, second, is_single_active=True)
    consumers.pause(1, is_paused=True)
    assert not consumers.line
    assert consumers.is_active(first)

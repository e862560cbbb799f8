"""A subscription: what was delivered, and how settlements are gathered."""

from __future__ import annotations

import msgspec
import pytest

from posthouse.subscription import SETTLE_RANGES_MAX, Subscription
from posthouse.transport import messages
from posthouse.transport.errors import InvalidArgument, UnknownQueue
from posthouse.transport.messages import Consume, Deliver, Outcome, Settle
from tests.support.actor_bench import batch


def delivery(first_offset: int, *bodies: bytes) -> Deliver:
    return Deliver(3, first_offset, 1, msgspec.Raw(messages.encode(batch(*bodies))))


def opened(*, auto_ack: bool = False) -> Subscription:
    subscription = Subscription("q", 3, 100, auto_ack=auto_ack, exclusive=False)
    assert subscription.open(9) == Consume(9, 3, 100, auto_ack, False)
    return subscription


def test_what_is_delivered_is_ready_in_order() -> None:
    subscription = opened()
    subscription.deliver(delivery(1, b"a", b"b"))
    subscription.deliver(delivery(7, b"c"))
    assert [(message.body, message.offset) for message in subscription.ready] == [(b"a", 1), (b"b", 2), (b"c", 7)]


def test_neighbours_are_gathered_into_ranges_one_way_of_settling_at_a_time() -> None:
    subscription = opened()
    subscription.deliver(delivery(1, *[b"x"] * 8))
    taken = list(subscription.ready)
    for index in (0, 1, 2, 5):
        taken[index].ack()
    taken[3].nack()
    taken[4].nack(requeue=False)
    taken[6].reject("bad")
    taken[7].reject("bad")
    assert subscription.unsettled == 8
    settles = subscription.take_settlements()
    assert sorted(settles, key=lambda settle: settle.ranges) == [
        Settle(3, Outcome.ACK, [1, 3, 6, 6], 0, False),
        Settle(3, Outcome.NACK, [4, 4], 0, True),
        Settle(3, Outcome.NACK, [5, 5], 0, False),
        Settle(3, Outcome.REJECT, [7, 8], 0, False, "bad"),
    ]
    assert (subscription.unsettled, subscription.take_settlements()) == (0, [])


def test_settling_in_any_other_order_is_as_right_and_only_longer() -> None:
    subscription = opened()
    subscription.deliver(delivery(1, b"a", b"b", b"c"))
    subscription.ack_all(list(subscription.ready)[::-1])
    (settle,) = subscription.take_settlements()
    assert settle.ranges == [3, 3, 2, 2, 1, 1]


def test_very_many_ranges_travel_in_several_messages() -> None:
    subscription = opened()
    for offset in range(1, 2 * SETTLE_RANGES_MAX + 4, 2):
        subscription.deliver(delivery(offset, b"x"))
    subscription.ack_all(list(subscription.ready))
    first, second = subscription.take_settlements()
    assert (len(first.ranges), len(second.ranges)) == (2 * SETTLE_RANGES_MAX, 4)
    assert second.ranges[-1] == 2 * SETTLE_RANGES_MAX + 3


def test_a_new_session_forgets_what_the_old_one_delivered_and_drops_its_settlements() -> None:
    subscription = opened()
    subscription.deliver(delivery(1, b"a", b"b", b"c"))
    noted, late, _ = subscription.ready
    noted.ack()
    noted_otherwise = subscription.ready[2]
    noted_otherwise.reject()
    subscription.open(10)
    assert (len(subscription.ready), subscription.unsettled) == (0, 0)
    late.ack()
    assert subscription.take_settlements() == []
    subscription.deliver(delivery(1, b"a"))
    subscription.ready[0].ack()
    assert [settle.ranges for settle in subscription.take_settlements()] == [[1, 1]]


def test_with_auto_ack_there_is_nothing_to_settle() -> None:
    subscription = opened(auto_ack=True)
    subscription.deliver(delivery(1, b"a"))
    with pytest.raises(InvalidArgument, match="nothing to settle"):
        subscription.ready[0].ack()


def test_a_failure_is_kept_and_what_was_not_taken_is_forgotten() -> None:
    subscription = opened()
    subscription.deliver(delivery(1, b"a"))
    error = UnknownQueue("it was deleted")
    subscription.fail(error)
    assert subscription.failure is error
    assert len(subscription.ready) == 0


def test_a_get_takes_its_own_message_and_gives_back_one_that_came_too_late_for_an_earlier_get() -> None:
    subscription = Subscription("q", 0, 1, auto_ack=False, exclusive=False)
    for offset in (4, 9):
        subscription.deliver(delivery(offset, b"x"))
    found = subscription.take(9)
    assert found is not None
    assert found.offset == 9
    (returned,) = subscription.take_settlements()
    assert (returned.outcome, returned.ranges, returned.requeue) == (Outcome.RELEASE, [4, 4], True)
    assert subscription.take(9) is None

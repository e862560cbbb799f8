"""The client's session: consumers and single messages, whatever becomes of the queue."""

from __future__ import annotations

import pytest

from posthouse.asking import result_of
from posthouse.transport import messages
from posthouse.transport.errors import UnknownQueue
from posthouse.transport.messages import (
    NIL,
    Batch,
    Cancel,
    Consume,
    ConsumerCancelled,
    Get,
    Outcome,
    Settle,
)
from tests.support.client_bench import QUEUE, ClientBench, bodies, delivery, raw, subscribe

EXCHANGE = "exchange:ex"
KEY = ("k", NIL, None)


@pytest.fixture(params=[False, True], ids=["direct", "door"])
def bench(request: pytest.FixtureRequest) -> ClientBench:
    """A session that is connected to its registry."""
    made = ClientBench(is_behind_door=request.param)
    made.begin()
    return made


def test_a_queue_and_an_exchange_of_the_same_name_are_not_mixed_up(bench: ClientBench) -> None:
    subscription = subscribe(bench)
    bench.say(QUEUE, delivery(1, b"a", consumer=subscription.number))
    bench.live("exchange:q")
    stream = bench.session.stream("q")
    stream.add(b"x", KEY)
    stream.close_batch()
    assert [type(message) for message in bench.heard("exchange:q")] == [Batch]
    assert bodies(subscription) == [b"a"]
    bench.die("exchange:q", "unknown", "")
    assert subscription.failure is None


def test_deliveries_reach_their_consumer_and_settlements_go_back_as_ranges(bench: ClientBench) -> None:
    subscription = subscribe(bench)
    bench.say(QUEUE, delivery(1, b"a", b"b", b"c", consumer=subscription.number), delivery(9, b"?", consumer=99))
    assert bodies(subscription) == [b"a", b"b", b"c"]
    while subscription.ready:
        subscription.ready.popleft().ack()
    assert bench.heard(QUEUE) == [Settle(subscription.number, Outcome.ACK, [1, 3], 0, False)]


def test_a_consumer_is_opened_again_in_the_next_life_and_old_messages_count_for_nothing(bench: ClientBench) -> None:
    subscription = subscribe(bench)
    bench.say(QUEUE, delivery(1, b"a", b"b", consumer=subscription.number))
    held = subscription.ready.popleft()
    bench.die(QUEUE)
    bench.live(QUEUE)
    (consume,) = bench.heard(QUEUE)
    assert isinstance(consume, Consume)
    assert consume.consumer == subscription.number
    assert bodies(subscription) == []
    held.ack()
    assert bench.heard(QUEUE) == []
    bench.say(QUEUE, delivery(1, b"a", attempt=2, consumer=subscription.number))
    again = subscription.ready.popleft()
    assert again.redelivered
    again.ack()
    assert bench.heard(QUEUE) == [Settle(subscription.number, Outcome.ACK, [1, 1], 0, False)]


def test_a_consumer_is_opened_again_when_only_the_connection_broke(bench: ClientBench) -> None:
    subscription = subscribe(bench)
    bench.cut(QUEUE)
    if bench.is_behind_door:
        bench.session.registry_at(0, "memory://registry", bench.now_ms)
    bench.advance(2_000)
    opened = [message for message in bench.heard(QUEUE) if isinstance(message, Consume)]
    assert [consume.consumer for consume in opened] == [subscription.number]


def test_a_consumer_that_is_being_opened_is_asked_for_once(bench: ClientBench) -> None:
    subscription, _ = bench.session.subscribe("q", 5, auto_ack=True, exclusive=True)
    bench.run()
    bench.live(QUEUE)
    assert [type(message) for message in bench.heard(QUEUE)] == [Consume]
    bench.die(QUEUE)
    bench.live(QUEUE)
    (consume,) = bench.heard(QUEUE)
    assert isinstance(consume, Consume)
    assert (consume.consumer, consume.auto_ack, consume.exclusive) == (subscription.number, True, True)


def test_unsubscribing_settles_first_and_opens_nothing_again(bench: ClientBench) -> None:
    subscription = subscribe(bench)
    bench.say(QUEUE, delivery(4, b"a", consumer=subscription.number))
    subscription.ready.popleft().nack()
    call = bench.session.unsubscribe(subscription)
    assert bench.heard(QUEUE) == [
        Settle(subscription.number, Outcome.NACK, [4, 4], 0, True),
        Cancel(call.number, subscription.number),
    ]
    bench.reply(QUEUE, call)
    bench.live(QUEUE)
    assert bench.heard(QUEUE) == []


def test_a_cancelled_consumer_and_those_of_a_deleted_queue_fail(bench: ClientBench) -> None:
    first, second = subscribe(bench), subscribe(bench)
    bench.say(QUEUE, ConsumerCancelled(first.number, "unknown_queue", "deleted"))
    bench.say(QUEUE, ConsumerCancelled(first.number, "unknown_queue", "deleted"))
    assert isinstance(first.failure, UnknownQueue)
    assert second.failure is None
    bench.die(QUEUE, "unknown", "deleted")
    assert isinstance(second.failure, UnknownQueue)


def test_single_messages_come_to_the_consumer_zero_and_are_settled_there(bench: ClientBench) -> None:
    bench.live(QUEUE)
    getter = bench.session.getter("q", auto_ack=False)
    assert bench.session.getter("q", auto_ack=False) is getter
    call = bench.session.call(QUEUE, Get)
    assert bench.heard(QUEUE) == [Get(call.number)]
    bench.say(QUEUE, delivery(5, b"a", consumer=0), messages.Reply(call.number, raw(5)))
    assert result_of(call, int) == 5
    getter.ready.popleft().ack()
    assert bench.heard(QUEUE) == [Settle(0, Outcome.ACK, [5, 5], 0, False)]
    bench.run()


def test_a_single_message_of_an_earlier_session_is_forgotten_before_the_request_is_repeated(bench: ClientBench) -> None:
    bench.live(QUEUE)
    getter = bench.session.getter("q", auto_ack=False)
    call = bench.session.call(QUEUE, Get)
    bench.run()
    bench.say(QUEUE, delivery(5, b"a", consumer=0))
    held = getter.ready[0]
    bench.die(QUEUE)
    bench.live(QUEUE)
    assert bench.heard(QUEUE) == [Get(call.number)]
    bench.say(QUEUE, delivery(5, b"a", attempt=2, consumer=0), messages.Reply(call.number, raw(5)))
    assert [message.attempt for message in getter.ready] == [2]
    held.ack()
    assert bench.heard(QUEUE) == []

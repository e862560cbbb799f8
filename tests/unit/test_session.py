"""The client's session: requests, streams and consumers that survive the deaths of those they talk to."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.session import REGISTRY, Call, result_of
from posthouse.subscription import Subscription
from posthouse.transport import messages
from posthouse.transport.errors import ActorDown, OutcomeUnknown, PosthouseError, UnknownExchange, UnknownQueue
from posthouse.transport.messages import (
    NIL,
    Batch,
    Cancel,
    Consume,
    ConsumerCancelled,
    Deliver,
    Get,
    ListQueues,
    Outcome,
    Purge,
    QueueUnused,
    Receipt,
    Settle,
)
from tests.support.actor_bench import batch
from tests.support.client_bench import ClientBench, raw

QUEUE = "queue:q"
EXCHANGE = "exchange:ex"
KEY = ("k", NIL, None)


@pytest.fixture(params=[False, True], ids=["direct", "door"])
def bench(request: pytest.FixtureRequest) -> ClientBench:
    """A session that is connected to its registry."""
    made = ClientBench(is_behind_door=request.param)
    made.begin()
    return made


def ask(bench: ClientBench, target: str = REGISTRY, **wishes: Any) -> Call:
    call = bench.session.call(target, ListQueues if target == REGISTRY else Purge, **wishes)
    bench.run()
    return call


def delivery(first_offset: int, *bodies: bytes, attempt: int = 1, consumer: int = 1) -> Deliver:
    return Deliver(consumer, first_offset, attempt, raw_batch(*bodies))


def raw_batch(*bodies: bytes) -> Any:
    return raw(batch(*bodies))


def subscribe(bench: ClientBench, prefetch: int = 10) -> Subscription:
    """An open consumer of the queue."""
    if QUEUE not in bench.actors:
        bench.live(QUEUE)
    subscription, call = bench.session.subscribe("q", prefetch, auto_ack=False, exclusive=False)
    assert bench.heard(QUEUE) == [Consume(call.number, subscription.number, prefetch)]
    bench.reply(QUEUE, call)
    assert call.is_done
    return subscription


def bodies(subscription: Subscription) -> list[bytes]:
    return [message.body for message in subscription.ready]


# ---- requests ----


def test_a_request_is_asked_once_and_its_answer_decoded(bench: ClientBench) -> None:
    call = ask(bench)
    assert bench.heard(REGISTRY) == [ListQueues(call.number)]
    assert not call.is_done
    bench.reply(REGISTRY, call, [1, 2])
    assert call.is_done
    assert result_of(call, list[int]) == [1, 2]
    bench.advance(2_000)
    assert bench.heard(REGISTRY) == []


def test_a_refusal_is_raised_as_the_error_it_was(bench: ClientBench) -> None:
    call = ask(bench)
    bench.fail(REGISTRY, call, "unknown_queue")
    with pytest.raises(UnknownQueue, match="this is unknown_queue"):
        result_of(call, None)


def test_an_unanswered_request_is_asked_again_of_the_next_life(bench: ClientBench) -> None:
    call = ask(bench)
    assert bench.heard(REGISTRY) == [ListQueues(call.number)]
    bench.live(REGISTRY)
    assert bench.heard(REGISTRY) == [ListQueues(call.number)]
    bench.reply(REGISTRY, call, [])
    bench.live(REGISTRY)
    assert bench.heard(REGISTRY) == []


def test_a_request_waits_for_an_actor_that_does_not_live_yet(bench: ClientBench) -> None:
    call = ask(bench, QUEUE)
    assert not call.is_done
    bench.live(QUEUE)
    assert bench.heard(QUEUE) == [Purge(call.number)]
    bench.reply(QUEUE, call, 3)
    assert result_of(call, int) == 3


def test_a_request_that_was_given_up_is_not_asked_again_and_a_late_answer_is_passed_over(bench: ClientBench) -> None:
    call = ask(bench)
    bench.session.forget(call)
    bench.session.forget(call)
    bench.reply(REGISTRY, call, 1)
    assert not call.is_done
    bench.live(REGISTRY)
    assert bench.heard(REGISTRY) == []


def test_a_removal_that_finds_nothing_when_asked_again_is_done() -> None:
    for code in ("unknown_queue", "unknown_exchange", "unknown_binding"):
        bench = ClientBench()
        bench.begin()
        call = ask(bench, is_removal=True)
        bench.live(REGISTRY)
        bench.fail(REGISTRY, call, code)
        assert result_of(call, None) is None


def test_a_removal_that_finds_nothing_at_once_is_refused_and_so_is_another_refusal_later() -> None:
    bench = ClientBench()
    bench.begin()
    first = ask(bench, is_removal=True)
    bench.fail(REGISTRY, first, "unknown_binding")
    assert isinstance(first.error, PosthouseError)
    second = ask(bench, is_removal=True)
    other = ask(bench)
    bench.live(REGISTRY)
    bench.fail(REGISTRY, second, "precondition_failed")
    bench.fail(REGISTRY, other, "unknown_queue")
    assert second.error is not None
    assert other.error is not None


def test_a_request_to_an_actor_that_does_not_exist_fails(bench: ClientBench) -> None:
    call = ask(bench, QUEUE)
    bench.die(QUEUE, "unknown", "")
    assert isinstance(call.error, UnknownQueue)


def test_a_request_to_a_quarantined_actor_fails_and_its_consumers_wait(bench: ClientBench) -> None:
    subscription = subscribe(bench)
    call = ask(bench, QUEUE)
    bench.die(QUEUE, "quarantined", "its journal is corrupt")
    assert isinstance(call.error, ActorDown)
    assert subscription.failure is None
    bench.live(QUEUE)
    assert [type(message) for message in bench.heard(QUEUE)] == [Consume]


def test_bytes_that_are_no_message_end_the_session_with_that_actor(bench: ClientBench) -> None:
    bench.live(QUEUE)
    call = ask(bench, QUEUE)
    bench.actors[QUEUE].say_raw(messages.encode([199, 1]))
    bench.run()
    assert call.error is not None
    assert call.error.code == "protocol_violation"
    assert not bench.session.links.is_open(QUEUE)


def test_a_message_for_somebody_else_ends_the_session_with_that_actor(bench: ClientBench) -> None:
    subscription = subscribe(bench)
    bench.say(QUEUE, QueueUnused("q", 1))
    assert subscription.failure is not None
    assert subscription.failure.code == "protocol_violation"


def test_a_violation_of_the_registry_fails_what_waits_for_it_and_nothing_else(bench: ClientBench) -> None:
    subscription = subscribe(bench)
    call = ask(bench)
    bench.say(REGISTRY, QueueUnused("q", 1))
    assert call.error is not None
    assert subscription.failure is None
    assert bench.session.links.is_open(REGISTRY)


# ---- publishing ----


def test_what_is_unconfirmed_is_sent_again_to_the_next_life_in_order(bench: ClientBench) -> None:
    exchange = bench.live(EXCHANGE)
    exchange.settles_at_once = False
    stream = bench.session.stream("ex")
    for body in (b"a", b"b"):
        stream.add(body, KEY)
        stream.close_batch()
    assert [bytes(sent.bodies) for sent in bench.heard(EXCHANGE) if isinstance(sent, Batch)] == [b"a", b"b"]
    assert not bench.session.is_settled
    bench.die(EXCHANGE)
    stream.add(b"c", KEY)
    stream.close_batch()
    bench.live(EXCHANGE)
    assert [bytes(sent.bodies) for sent in bench.heard(EXCHANGE) if isinstance(sent, Batch)] == [b"a", b"b", b"c"]
    bench.say(EXCHANGE, Receipt(stream.number, 1, 3, ("q",)))
    assert stream.is_quiet
    assert bench.session.is_settled


def test_a_batch_that_waits_to_be_sent_keeps_the_session_unsettled() -> None:
    bench = ClientBench()
    stream = bench.session.stream("ex")
    stream.add(b"a", KEY)
    assert not bench.session.is_settled
    assert bench.session.streams() == [stream]


def test_a_receipt_finds_its_stream_and_one_for_a_stream_that_is_gone_is_passed_over(bench: ClientBench) -> None:
    bench.live(EXCHANGE)
    first, second = bench.session.stream("ex"), bench.session.stream("ex")
    for stream in (first, second):
        stream.add(b"x", KEY)
        stream.close_batch()
    bench.session.drop_stream(second)
    bench.run()
    bench.say(EXCHANGE, Receipt(second.number, 1, 1), Receipt(first.number, 1, 1))
    assert first.is_quiet
    assert not second.is_quiet
    assert bench.session.streams() == [first]


def test_streams_of_an_exchange_that_does_not_exist_fail_and_the_others_go_on(bench: ClientBench) -> None:
    bench.live("exchange:other")
    lost, kept = bench.session.stream("ex"), bench.session.stream("other")
    lost.add(b"x", KEY)
    lost.close_batch()
    bench.die(EXCHANGE, "unknown", "")
    assert isinstance(lost.failure, UnknownExchange)
    assert [number for number, _ in lost.refused] == [1]
    assert kept.failure is None
    again = bench.session.stream("ex")
    bench.live(EXCHANGE)
    again.add(b"y", KEY)
    again.close_batch()
    assert [bytes(sent.bodies) for sent in bench.heard(EXCHANGE) if isinstance(sent, Batch)] == [b"y"]


def test_streams_of_an_exchange_that_ends_the_session_are_told_that_the_outcome_is_unknown(bench: ClientBench) -> None:
    bench.live(EXCHANGE)
    stream = bench.session.stream("ex")
    stream.add(b"x", KEY)
    stream.close_batch()
    bench.run()
    bench.say(EXCHANGE, QueueUnused("q", 1))
    assert isinstance(stream.failure, OutcomeUnknown)
    assert [number for number, _ in stream.refused] == [1]
    assert stream.is_quiet


# ---- consuming ----


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


# ---- ways to the actors ----


def test_every_new_session_with_the_registry_asks_for_all_targets_again(bench: ClientBench) -> None:
    subscribe(bench)
    bench.session.stream("ex")
    bench.run()
    bench.located.clear()
    bench.live(REGISTRY)
    assert sorted(bench.located) == [EXCHANGE, QUEUE]


def test_a_moved_actor_is_reached_at_its_new_place_and_the_old_connection_closed() -> None:
    bench = ClientBench()
    bench.begin()
    subscribe(bench)
    bench.session.to_connect.clear()
    bench.live(QUEUE)
    assert set(bench.session.to_connect) == {(b"queue:q/2", "memory://queue:q")}
    assert bench.session.to_disconnect == [b"queue:q/1"]


def test_news_of_actors_that_nobody_asked_for_are_passed_over(bench: ClientBench) -> None:
    bench.say(REGISTRY, messages.ActorUp("queue:ghost", 1, "memory://ghost"))
    assert not bench.session.links.is_open("queue:ghost")


def test_a_tick_too_soon_costs_nothing_and_frames_of_strangers_are_harmless(bench: ClientBench) -> None:
    bench.session.tick(bench.now_ms)
    bench.session.tick(bench.now_ms)
    bench.session.frame(b"stranger", b"garbage", bench.now_ms)
    call = ask(bench)
    bench.reply(REGISTRY, call, 1)
    assert call.is_done

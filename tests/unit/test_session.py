"""The client's session: requests and streams that survive the deaths of those they talk to."""

from __future__ import annotations

import pytest

from posthouse.asking import result_of
from posthouse.transport import messages
from posthouse.transport.errors import ActorDown, OutcomeUnknown, PosthouseError, UnknownExchange, UnknownQueue
from posthouse.transport.messages import (
    NIL,
    Batch,
    Consume,
    ListQueues,
    Purge,
    QueueUnused,
    Receipt,
)
from posthouse.transport.names import REGISTRY
from tests.support.client_bench import QUEUE, ClientBench, ask, subscribe

EXCHANGE = "exchange:ex"
KEY = ("k", NIL, None)


@pytest.fixture(params=[False, True], ids=["direct", "door"])
def bench(request: pytest.FixtureRequest) -> ClientBench:
    """A session that is connected to its registry."""
    made = ClientBench(is_behind_door=request.param)
    made.begin()
    return made


# ---- requests ----


def test_a_request_is_asked_once_and_its_answer_decoded(bench: ClientBench) -> None:
    call = ask(bench)
    assert bench.heard(REGISTRY) == [ListQueues(call.number)]
    assert call.error is None
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


def test_a_request_made_after_the_quarantine_was_told_fails_too(bench: ClientBench) -> None:
    subscribe(bench)
    bench.die(QUEUE, "quarantined", "its journal is corrupt")
    call = ask(bench, QUEUE)
    assert isinstance(call.error, ActorDown)


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


def test_what_has_its_receipt_is_not_sent_again_although_the_exchange_died_before_it_settled_it(
    bench: ClientBench,
) -> None:
    exchange = bench.live(EXCHANGE)
    exchange.settles_at_once = False
    stream = bench.session.stream("ex")
    for body in (b"refused", b"open", b"confirmed"):
        stream.add(body, KEY)
        stream.close_batch()
    bench.heard(EXCHANGE)
    bench.say(EXCHANGE, Receipt(stream.number, 1, 1, (), code="hold_full", text="no"))
    bench.say(EXCHANGE, Receipt(stream.number, 3, 1, ("q",)))
    bench.die(EXCHANGE)
    bench.live(EXCHANGE)
    assert [bytes(sent.bodies) for sent in bench.heard(EXCHANGE) if isinstance(sent, Batch)] == [b"open"]
    assert [number for number, _ in stream.refused] == [1]


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


def test_late_news_of_an_earlier_life_change_nothing() -> None:
    bench = ClientBench()
    bench.begin()
    subscribe(bench)
    bench.live(QUEUE)
    bench.heard(QUEUE)
    bench.session.to_connect.clear()
    bench.session.to_disconnect.clear()
    bench.say(REGISTRY, messages.ActorUp(QUEUE, 1, "memory://queue:q"))
    assert (bench.session.to_connect, bench.session.to_disconnect) == ([], [])
    assert bench.heard(QUEUE) == []


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

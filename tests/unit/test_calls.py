"""The calling side: what is asked of the broker, and what ends a call."""

from __future__ import annotations

import math
from typing import Any

import pytest

from posthouse.calls import CALL_S_MAX, Calls, Outgoing, check_call_seconds, not_sent, timed_out
from posthouse.transport.errors import (
    BrokerNotRunning,
    CallFailed,
    CallTimeout,
    InvalidArgument,
    NoResponders,
    NotDone,
    OutcomeUnknown,
    UnknownExchange,
)
from posthouse.transport.messages import NIL, Durability, Failed, Options, Receipt, Reply
from posthouse.transport.messages_calls import ReceiveReplies, reply_key
from tests.support.call_bench import DEFAULT, RPC, batches, correlation_of, listening_bench, reply_to
from tests.support.client_bench import ClientBench

DEADLINE_MS = 1_700_000_005_000


@pytest.fixture
def bench() -> ClientBench:
    return listening_bench()


def begin(calls: Calls, *, exchange: str = "rpc", message_id: str | None = None, **options: Any) -> Outgoing:
    body, key = calls.make_key(exchange, b"ask", "sum", {"unit": "m"}, options)
    return calls.begin(exchange, body, key, message_id, DEADLINE_MS - 0.5)


# ---- the request ----


def test_a_request_says_where_its_reply_goes_and_when_it_is_worth_nothing(bench: ClientBench) -> None:
    calls = Calls(bench.session)
    first, second = begin(calls, content_type="text/plain"), begin(calls, durability="sync", message_id="m")
    sent = batches(bench, RPC)
    where = reply_key(bench.session.client_id)
    assert [batch.options for batch in sent] == [
        Options(durability=Durability.MEMORY, content_type="text/plain", reply_to=where, deadline_ms=DEADLINE_MS),
        Options(durability=Durability.SYNC, reply_to=where, deadline_ms=DEADLINE_MS),
    ]
    assert [correlation_of(batch) for batch in sent] == [first.awaited.correlation_id, second.awaited.correlation_id]
    assert not calls.is_over(first)


@pytest.mark.parametrize("option", ["reply_to", "correlation_id", "dedup_id", "delay_s", "ttl_s", "colour"])
def test_a_call_takes_no_other_options(bench: ClientBench, option: str) -> None:
    with pytest.raises(InvalidArgument, match=option):
        begin(Calls(bench.session), **{option: "x"})
    assert batches(bench, RPC) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"exchange": "a\nb"},
        {"exchange": 5},
        {"body": "text"},
        {"body": None},
        {"key": 5},
        {"headers": {"x": object()}},
        {"options": {"durability": "stone"}},
        {"options": {"message_id": ""}},
    ],
)
def test_what_no_broker_could_take_is_refused_before_it_is_sent(bench: ClientBench, wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"exchange": "rpc", "body": b"", "key": "k", "headers": None, "options": {}, **wrong}
    with pytest.raises(InvalidArgument):
        Calls(bench.session).make_key(*given.values())


@pytest.mark.parametrize("value", [0, 0.0, -1, math.nan, math.inf, -math.inf, "5", None, True, CALL_S_MAX * 2])
def test_a_caller_waits_more_than_nothing_and_not_for_ever(value: object) -> None:
    with pytest.raises(InvalidArgument, match="timeout_s is"):
        check_call_seconds(value)


def test_a_caller_may_wait_for_a_moment_or_a_year() -> None:
    assert (check_call_seconds(1e-9), check_call_seconds(CALL_S_MAX)) == (1e-9, CALL_S_MAX)


# ---- the end of a call ----


def test_its_reply_ends_it(bench: ClientBench) -> None:
    calls = Calls(bench.session)
    call = begin(calls)
    [request] = batches(bench, RPC)
    bench.say(RPC, Receipt(request.stream, 1, 1, ("q",), Durability.MEMORY))
    assert not calls.is_over(call)
    bench.say(DEFAULT, reply_to(request, b"6"))
    assert calls.is_over(call)
    assert calls.result(call).body == b"6"
    calls.end(call)
    bench.say(DEFAULT, reply_to(request, b"6"))
    assert calls.late_replies == 1


def test_a_reply_that_overtakes_the_receipt_ends_it_too(bench: ClientBench) -> None:
    calls = Calls(bench.session)
    call = begin(calls)
    [request] = batches(bench, RPC)
    bench.say(DEFAULT, reply_to(request, b"6"))
    assert calls.result(call).body == b"6"
    calls.end(call)
    bench.say(RPC, Receipt(request.stream, 1, 1, ("q",), Durability.MEMORY))
    assert bench.session.is_settled


def test_an_error_of_whoever_serves_it_is_raised(bench: ClientBench) -> None:
    calls = Calls(bench.session)
    call = begin(calls)
    [request] = batches(bench, RPC)
    bench.say(DEFAULT, reply_to(request, b"", headers={"posthouse-error": "KeyError", "posthouse-error-text": "'x'"}))
    with pytest.raises(CallFailed, match="KeyError: 'x'") as caught:
        calls.result(call)
    assert (caught.value.error_type, caught.value.error_text, caught.value.traceback) == ("KeyError", "'x'", None)


def test_a_refusal_ends_it_at_once(bench: ClientBench) -> None:
    calls = Calls(bench.session)
    call = begin(calls)
    [request] = batches(bench, RPC)
    bench.say(RPC, Receipt(request.stream, 1, 1, code="no_responders", text="nobody"))
    assert calls.is_over(call)
    with pytest.raises(NoResponders, match="nobody"):
        calls.result(call)
    calls.end(call)
    assert bench.session.is_settled


def test_a_refusal_by_a_later_life_of_the_exchange_is_no_certain_refusal(bench: ClientBench) -> None:
    calls = Calls(bench.session)
    first = begin(calls)
    bench.run()
    bench.live(RPC)
    second = begin(calls)
    stream = batches(bench, RPC)[0].stream
    bench.say(RPC, Receipt(stream, 1, 2, code="no_responders", text="nobody"))
    with pytest.raises(OutcomeUnknown, match="died meanwhile"):
        calls.result(first)
    with pytest.raises(NoResponders):
        calls.result(second)


def test_an_exchange_that_does_not_exist_ends_it_and_the_next_call_asks_anew(bench: ClientBench) -> None:
    calls = Calls(bench.session)
    call = begin(calls, exchange="new")
    bench.run()
    bench.die("exchange:new", "unknown", "")
    assert calls.is_over(call)
    with pytest.raises(UnknownExchange):
        calls.result(call)
    calls.end(call)
    bench.live("exchange:new")
    assert not calls.is_over(begin(calls, exchange="new"))
    assert len(batches(bench, "exchange:new")) == 1


def test_the_deadline_of_a_call_is_an_unknown_outcome_of_its_own_kind() -> None:
    error = timed_out(2.0, OutcomeUnknown("x"))
    assert isinstance(error, CallTimeout)
    assert isinstance(error, OutcomeUnknown)
    assert isinstance(timed_out(2.0, BrokerNotRunning("x")), BrokerNotRunning)


def test_a_call_that_was_not_sent_certainly_had_no_effect() -> None:
    assert type(not_sent(2.0, OutcomeUnknown("x"))) is NotDone
    assert isinstance(not_sent(2.0, BrokerNotRunning("x")), BrokerNotRunning)


# ---- lives of the broker ----


def test_the_client_asks_for_replies_once_and_again_in_every_new_session(bench: ClientBench) -> None:
    assert bench.session.listen().is_done
    bench.run()
    assert bench.heard(DEFAULT) == []
    bench.live(DEFAULT)
    asked = [message for message in bench.heard(DEFAULT) if isinstance(message, ReceiveReplies)]
    assert len(asked) == 1
    assert not bench.session.listen().is_done
    bench.live(DEFAULT)
    assert [type(message) for message in bench.heard(DEFAULT)] == [ReceiveReplies], "the unanswered one, no other"
    bench.say(DEFAULT, Reply(bench.session.listen().number, NIL))
    assert bench.session.listen().is_done


def test_a_refusal_to_pass_replies_is_asked_again_with_the_next_call(bench: ClientBench) -> None:
    bench.live(DEFAULT)
    call = bench.session.listen()
    bench.say(DEFAULT, Failed(call.number, "precondition_failed", "no"))
    assert call.error is not None
    assert bench.session.listen() is not call


def test_a_program_that_never_calls_asks_for_no_replies() -> None:
    bench = ClientBench()
    bench.begin()
    bench.live(DEFAULT)
    bench.session.stream("")
    bench.live(DEFAULT)
    assert bench.heard(DEFAULT) == []

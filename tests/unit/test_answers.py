"""The serving side: what is worth handling, what the caller is told, and how the request is settled."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest

from posthouse.answers import REPLIES_UNCONFIRMED_MAX, Answer, Answers
from posthouse.message import Message
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import Batch, Durability, Options, Outcome, Receipt
from tests.support.call_bench import DEFAULT, batches, correlation_of, request_message, shown_headers
from tests.support.client_bench import LIMITS, ClientBench
from tests.support.recording_broker import Settlements


@pytest.fixture
def bench() -> ClientBench:
    made = ClientBench()
    made.begin()
    made.live(DEFAULT)
    return made


def serve(answers: Answers, request: Message, handler: Callable[[Message], object]) -> None:
    """What both servers do with a request."""
    with Answer(request) as answer:
        answer.body = handler(answer.shown)
    answers.give(answer)


def reply_of(bench: ClientBench) -> Batch:
    [reply] = batches(bench, DEFAULT)
    return reply


def test_what_the_handler_returns_goes_back_and_the_request_is_acked(bench: ClientBench) -> None:
    answers, settled = Answers(bench.session, tells_traceback=False), Settlements()
    serve(answers, request_message(b"a", settlements=settled), lambda message: message.body.upper())
    reply = reply_of(bench)
    assert (reply.routing_key, bytes(reply.bodies), correlation_of(reply)) == ("back", b"A", "c1")
    assert reply.options == Options(durability=Durability.MEMORY)
    assert settled.noted == [(1, Outcome.ACK, False)]
    assert (answers.served, answers.failed, answers.late, answers.dropped) == (1, 0, 0, 0)


def fail(message: Message) -> bytes:
    raise ValueError(f"no: {message.body!r}")


def test_an_error_of_the_handler_goes_back_without_its_traceback_and_the_request_is_acked(bench: ClientBench) -> None:
    answers, settled = Answers(bench.session, tells_traceback=False), Settlements()
    serve(answers, request_message(settlements=settled), fail)
    reply = reply_of(bench)
    assert shown_headers(reply) == {"posthouse-error": "ValueError", "posthouse-error-text": "no: b'ask'"}
    assert bytes(reply.bodies) == b""
    assert settled.noted == [(1, Outcome.ACK, False)]
    assert (answers.served, answers.failed) == (0, 1)


def test_the_traceback_is_told_where_that_is_wanted(bench: ClientBench) -> None:
    answers = Answers(bench.session, tells_traceback=True)
    serve(answers, request_message(), fail)
    assert "in fail" in shown_headers(reply_of(bench))["posthouse-error-traceback"]


class Unspeakable(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


def test_an_error_that_cannot_be_put_into_words_is_told_all_the_same(bench: ClientBench) -> None:
    answers = Answers(bench.session, tells_traceback=True)

    def speechless(message: Message) -> bytes:
        raise Unspeakable

    serve(answers, request_message(), speechless)
    assert shown_headers(reply_of(bench))["posthouse-error"] == "Unspeakable"


def test_a_handler_that_ends_the_program_ends_its_call(bench: ClientBench) -> None:
    answers = Answers(bench.session, tells_traceback=False)
    serve(answers, request_message(), lambda message: sys.exit("done"))
    assert shown_headers(reply_of(bench)) == {"posthouse-error": "SystemExit", "posthouse-error-text": "done"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError])
def test_what_interrupts_a_handler_is_no_answer(bench: ClientBench, error: type[BaseException]) -> None:
    answers, settled = Answers(bench.session, tells_traceback=False), Settlements()

    def interrupted(message: Message) -> bytes:
        raise error

    with pytest.raises(error):
        serve(answers, request_message(settlements=settled), interrupted)
    assert batches(bench, DEFAULT) == []
    assert settled.noted == []


@pytest.mark.parametrize(("returned", "kind"), [(None, "NoneType"), ("text", "str"), (5, "int"), ([b""], "list")])
def test_a_handler_that_returns_no_bytes_has_failed(bench: ClientBench, returned: object, kind: str) -> None:
    answers = Answers(bench.session, tells_traceback=False)
    serve(answers, request_message(), lambda message: returned)
    told = shown_headers(reply_of(bench))
    assert told["posthouse-error"] == "InvalidArgument"
    assert told["posthouse-error-text"] == f"the handler returned {kind}; a reply is bytes"


@pytest.mark.parametrize("returned", [bytearray(b"x"), memoryview(b"x")])
def test_anything_that_is_bytes_in_another_dress_is_a_reply(bench: ClientBench, returned: object) -> None:
    answers = Answers(bench.session, tells_traceback=False)
    serve(answers, request_message(), lambda message: returned)
    assert bytes(reply_of(bench).bodies) == b"x"


def test_a_reply_over_the_limit_is_a_failure_that_says_so(bench: ClientBench) -> None:
    answers = Answers(bench.session, tells_traceback=False)
    serve(answers, request_message(), lambda message: bytes(LIMITS.body_bytes_max + 1))
    assert "body_bytes_max" in shown_headers(reply_of(bench))["posthouse-error-text"]
    assert answers.failed == 1


def test_a_handler_cannot_settle_its_request(bench: ClientBench) -> None:
    answers, settled = Answers(bench.session, tells_traceback=False), Settlements()

    def meddle(message: Message) -> bytes:
        message.ack()
        return b""

    serve(answers, request_message(settlements=settled), meddle)
    assert shown_headers(reply_of(bench))["posthouse-error"] == InvalidArgument.__name__
    assert settled.noted == [(1, Outcome.ACK, False)]


@pytest.mark.parametrize(("handler", "outcome"), [(lambda message: b"", Outcome.ACK), (fail, Outcome.REJECT)])
def test_a_message_without_a_caller_is_handled_and_rejected_if_that_fails(
    bench: ClientBench, handler: Callable[[Message], bytes], outcome: Outcome
) -> None:
    answers, settled = Answers(bench.session, tells_traceback=False), Settlements()
    serve(answers, request_message(reply_to=None, settlements=settled), handler)
    assert batches(bench, DEFAULT) == []
    assert settled.noted == [(1, outcome, False)]


def test_a_request_whose_deadline_has_passed_is_settled_unhandled() -> None:
    bench = ClientBench()
    bench.begin()
    answers, settled = Answers(bench.session, tells_traceback=False), Settlements()
    assert not answers.drop_late(request_message(deadline_ms=100, settlements=settled), 99)
    assert not answers.drop_late(request_message(deadline_ms=None, settlements=settled), 1 << 60)
    assert settled.noted == []
    assert answers.drop_late(request_message(deadline_ms=100, settlements=settled), 100)
    assert (answers.late, settled.noted) == (1, [(1, Outcome.ACK, False)])


def test_a_reply_that_is_refused_is_counted_and_stops_nobody(bench: ClientBench) -> None:
    answers = Answers(bench.session, tells_traceback=False)
    serve(answers, request_message(reply_to="no such queue"), lambda message: b"")
    reply = reply_of(bench)
    bench.say(DEFAULT, Receipt(reply.stream, 1, 1, code="unroutable", text="nowhere"))
    assert answers.dropped == 1
    serve(answers, request_message(), lambda message: b"")
    assert (answers.served, answers.dropped) == (2, 1)


def test_replies_that_nobody_takes_are_bounded_and_their_requests_settled(bench: ClientBench) -> None:
    bench.die(DEFAULT)
    answers, settled = Answers(bench.session, tells_traceback=False), Settlements()
    for _ in range(REPLIES_UNCONFIRMED_MAX + 5):
        serve(answers, request_message(settlements=settled), lambda message: b"")
    assert not answers.has_room
    assert answers.dropped == 4
    assert len(settled.noted) == REPLIES_UNCONFIRMED_MAX + 5


def test_a_session_that_the_exchange_ended_does_not_silence_the_server(bench: ClientBench) -> None:
    answers = Answers(bench.session, tells_traceback=False)
    serve(answers, request_message(), lambda message: b"1")
    bench.run()
    bench.actors[DEFAULT].say_raw(b"\xff")
    bench.run()
    bench.live(DEFAULT)
    serve(answers, request_message(), lambda message: b"2")
    assert bytes(batches(bench, DEFAULT)[-1].bodies) == b"2"


def test_a_server_that_is_done_leaves_no_stream(bench: ClientBench) -> None:
    answers = Answers(bench.session, tells_traceback=False)
    assert len(bench.session.streams()) == 1
    answers.finish()
    assert bench.session.streams() == []

"""Calls on the client's bench: what callers and servers said to the exchanges, and replies as the broker passes them.

It plays exchanges that settle at once; receipts and refusals are the test's to send.
"""

from __future__ import annotations

from typing import Any

from posthouse.message import Message, Slice
from posthouse.replies import Replies
from posthouse.transport import messages
from posthouse.transport.batch import headers_of, properties_of, slice_batch
from posthouse.transport.messages import NIL, Batch, Options, Reply
from posthouse.transport.messages_calls import ReceiveReplies
from tests.support.client_bench import ClientBench, raw
from tests.support.recording_broker import Settlements

DEFAULT = "exchange:"
RPC = "exchange:rpc"


def listening_bench() -> ClientBench:
    """A client that takes replies, and the exchanges it needs."""
    bench = ClientBench()
    bench.begin()
    bench.live(DEFAULT)
    bench.live(RPC)
    call = bench.session.listen()
    assert bench.heard(DEFAULT) == [ReceiveReplies(call.number)]
    bench.say(DEFAULT, Reply(call.number, NIL))
    assert call.is_done
    return bench


def batches(bench: ClientBench, exchange: str) -> list[Batch]:
    """What an exchange was sent since the last look, each message as a batch of its own."""
    sent = [heard for heard in bench.heard(exchange) if isinstance(heard, Batch)]
    return [slice_batch(batch, index, index + 1) for batch in sent for index in range(batch.count)]


def correlation_of(batch: Batch) -> str:
    """Of its one message."""
    found = properties_of(batch)
    assert found is not None
    assert found[0] is not None
    assert found[0][1] is not None
    return found[0][1]


def reply_to(request: Batch, *bodies: bytes, headers: dict[str, Any] | None = None) -> Batch:
    """Replies to one request, as a server publishes them and the default exchange passes them on."""
    assert request.options is not None
    assert request.options.reply_to is not None
    return played_batch(*bodies, key=request.options.reply_to, headers=headers, correlation_id=correlation_of(request))


def played_batch(
    *bodies: bytes,
    key: str = "q",
    headers: dict[str, Any] | None = None,
    correlation_id: str | None = None,
    options: Options | None = None,
) -> Batch:
    """A batch of somebody else's."""
    return Batch(
        exchange="",
        routing_key=key,
        stream=99,
        first_seq=1,
        count=len(bodies),
        published_ms=0,
        headers=NIL if headers is None else raw(headers),
        lengths=memoryview(b"".join(len(body).to_bytes(4, "little") for body in bodies)),
        bodies=memoryview(b"".join(bodies)),
        properties=memoryview(messages.encode([(None, correlation_id)] * len(bodies))),
        options=options,
    )


def request_message(
    body: bytes = b"ask",
    *,
    reply_to: str | None = "back",
    deadline_ms: int | None = None,
    settlements: Settlements | None = None,
) -> Message:
    """A request as its server holds it, with correlation id `c1`."""
    options = Options(reply_to=reply_to, deadline_ms=deadline_ms)
    batch = played_batch(body, correlation_id="c1", options=options)
    [message] = Slice(batch, 1, 1, 1).messages(settlements or Settlements())
    return message


def taken(replies: Replies, *batches: Batch) -> int:
    """Hand replies over; returns how many of all so far were late."""
    for batch in batches:
        replies.take(batch)
    return replies.late


def shown_headers(batch: Batch) -> dict[str, Any]:
    return headers_of(batch) or {}

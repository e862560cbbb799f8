"""Events as messages: the routing key under which each is published, and its body.

Pure. The key is as `exited.queue.newark` or `started.door`: a name may hold dots and so be several words, so patterns
end with `#`. The body is a JSON object; `docs/events.md` lists what is in it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from posthouse.transport import messages
from posthouse.transport.batch import pack_lengths
from posthouse.transport.messages import Batch, Options
from posthouse.transport.messages_monitor import BrokerEvent
from posthouse.transport.names import EVENTS

_OPTIONS: Final = Options(content_type="application/json")


def body_of(event: BrokerEvent) -> bytes:
    """The event as a JSON object, with its time in ISO 8601 as well."""
    at = datetime.fromtimestamp(event.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return msgspec.json.encode({"at": at, **msgspec.structs.asdict(event)})


def batch_of(event: BrokerEvent, stream: int, sequence: int) -> Batch:
    """The event as a batch of one message."""
    body = body_of(event)
    headers = {"kind": event.kind, "actor": event.actor, "severity": event.severity}
    return Batch(
        exchange=EVENTS,
        routing_key=event.routing_key,
        stream=stream,
        first_seq=sequence,
        count=1,
        published_ms=event.at_ms,
        headers=msgspec.Raw(messages.encode(headers)),
        lengths=pack_lengths([len(body)]),
        bodies=memoryview(body),
        options=_OPTIONS,
    )

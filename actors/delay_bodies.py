"""The bodies of delayed messages: cut out of the batch they came in, and put together into the batch they leave in.

What a batch shares is kept once, as a *template*; messages with the same template that fall due together leave
together, whatever batches they came in. Only bodies that are wanted soon are in memory, within a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple, final

import msgspec

from posthouse.transport import messages
from posthouse.transport.batch import lengths_of, pack_lengths
from posthouse.transport.messages import Batch, Options

TEMPLATES_MAX: Final = 4_096

_raw_list = msgspec.msgpack.Decoder(list[msgspec.Raw])
_NIL: Final = b"\xc0"


@final
class Template:
    """What the messages of a batch share. Compared by identity: equal ones are made the same one."""

    __slots__ = ("exchange", "headers", "is_single", "options", "routing_key", "schedule_key")

    def __init__(self, exchange: str, routing_key: str, headers: bytes, options: Options) -> None:
        self.exchange = exchange
        self.routing_key = routing_key
        self.headers = headers
        self.schedule_key = options.schedule_key
        plain = msgspec.structs.replace(options, deliver_at_ms=None, schedule_key=None)
        self.options = None if plain == Options() else plain
        # Queues take a dedup_id only in a batch of its own.
        self.is_single = options.dedup_id is not None


@final
class Body(NamedTuple):
    """One message: its template, its bytes, its encoded properties or None."""

    template: Template
    data: bytes
    properties: bytes | None


@final
class Bodies:
    """Bodies in memory, by message id, and the templates of late."""

    __slots__ = ("_by_id", "_templates", "size")

    def __init__(self) -> None:
        self._by_id: dict[int, Body] = {}
        self._templates: dict[tuple[str, str, bytes, Options], Template] = {}
        self.size = 0

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._by_id

    def keep(self, message_id: int, body: Body) -> None:
        """Keep a body until it is taken."""
        if message_id not in self._by_id:
            self._by_id[message_id] = body
            self.size += len(body.data)

    def take(self, message_id: int) -> Body | None:
        """The body, which is kept no longer; None when it is not here."""
        body = self._by_id.pop(message_id, None)
        if body is not None:
            self.size -= len(body.data)
        return body

    def template_of(self, batch: Batch) -> Template:
        """What this batch's messages share."""
        assert batch.options is not None
        # What differs from message to message must not tell templates apart.
        options = msgspec.structs.replace(batch.options, deliver_at_ms=0)
        key = (batch.exchange, batch.routing_key, bytes(batch.headers), options)
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= TEMPLATES_MAX:
                self._templates.clear()
            template = self._templates[key] = Template(*key)
        return template

    def cut(self, batch: Batch, indexes: Iterable[int]) -> list[Body]:
        """Messages of a batch, as bodies that hold on to nothing else."""
        template = self.template_of(batch)
        lengths = lengths_of(batch)
        ends = list(accumulate(lengths))
        bodies = batch.bodies
        properties = None if batch.properties is None else _raw_list.decode(batch.properties)
        return [
            Body(
                template,
                bytes(bodies[ends[index] - lengths[index] : ends[index]]),
                None if properties is None else bytes(properties[index]),
            )
            for index in indexes
        ]


def joined(bodies: Sequence[Body], stream: int, first_seq: int, now_ms: int) -> bytes:
    """The batch that messages of one template leave in, as MessagePack."""
    template = bodies[0].template
    return messages.encode(_batch(bodies, stream, first_seq, now_ms, template.options))


def kept(bodies: Sequence[Body]) -> bytes:
    """The batch in which messages of one template are copied forward in the journal."""
    template = bodies[0].template
    options = msgspec.structs.replace(template.options or Options(), deliver_at_ms=0)
    if template.schedule_key is not None:
        options = msgspec.structs.replace(options, schedule_key=template.schedule_key)
    return messages.encode(_batch(bodies, 0, 1, 0, options))


def _batch(bodies: Sequence[Body], stream: int, first_seq: int, now_ms: int, options: Options | None) -> Batch:
    template = bodies[0].template
    properties: memoryview | None = None
    if any(body.properties is not None for body in bodies):
        properties = memoryview(messages.encode([msgspec.Raw(body.properties or _NIL) for body in bodies]))
    return Batch(
        exchange=template.exchange,
        routing_key=template.routing_key,
        stream=stream,
        first_seq=first_seq,
        count=len(bodies),
        published_ms=now_ms,
        headers=msgspec.Raw(template.headers),
        lengths=pack_lengths([len(body.data) for body in bodies]),
        bodies=memoryview(b"".join([body.data for body in bodies])),
        properties=properties,
        options=options,
    )

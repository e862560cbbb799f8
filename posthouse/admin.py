"""What operators do to queues: look into them, pause them, let them go on.

Both clients have one of these: `broker.admin` asks with the blocking client, and with the other each call is awaited.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, final

import msgspec

from posthouse.arguments import check_count
from posthouse.message import Message, Slice
from posthouse.requests import Ask, AskAsync, Request
from posthouse.transport import messages
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_definitions import Definitions, DescribeTopology
from posthouse.transport.messages_looking import (
    LOOK_BODY_BYTES_MAX,
    LOOK_MESSAGES_MAX,
    LookedAt,
    LookInto,
    PauseQueue,
)
from posthouse.transport.names import REGISTRY, actor_of_queue, check_name, shown

PLACES: Final = ("ready", "unacked", "waiting", "leaving")
OFFSET_MAX: Final = (1 << 63) - 1
BODY_BYTES_DEFAULT: Final = 4_096


@final
class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a queue. `message.body` is the beginning of its body, whose size is `size`.

    `place`: ready, unacked (held by `client` since `since`), waiting for another attempt (until `due`), or leaving for
    the dead letters. `consumer` is the number of the consumer, 0 for one who asked for a single message.
    """

    message: Message
    size: int
    place: str
    client: str = ""
    consumer: int = 0
    since: datetime | None = None
    due: datetime | None = None


# ---- requests ----


def request_pause(queue: str, is_paused: bool) -> Request[None]:
    target = actor_of_queue(check_name("queue", queue))
    return Request(target, lambda number: PauseQueue(number, is_paused))


def request_look(queue: str, count: int, after: int, place: str | None, body_bytes: int) -> Request[list[LookedAt]]:
    """`looked` makes messages of the answer."""
    target = actor_of_queue(check_name("queue", queue))
    check_count("count", count, 1, LOOK_MESSAGES_MAX)
    check_count("after", after, 0, OFFSET_MAX)
    check_count("body_bytes", body_bytes, 0, LOOK_BODY_BYTES_MAX)
    if place is not None and place not in PLACES:
        raise InvalidArgument(f"place is {shown(place)}; it is one of {', '.join(PLACES)}")
    return Request(target, lambda number: LookInto(number, count, after, place or "", body_bytes), list[LookedAt])


def looked(found: list[LookedAt]) -> list[Looked]:
    """The messages of a look, one by one."""
    every: list[Looked] = []
    for one in found:
        batch = messages.decode(one.batch)
        assert isinstance(batch, messages.Batch)
        parts = Slice(batch, one.first_offset, one.attempt, 0).messages(None)
        every += [
            Looked(
                message=message,
                size=size,
                place=one.place,
                client=one.client,
                consumer=one.consumer,
                since=_moment(one.since_ms),
                due=_moment(one.due_ms),
            )
            for message, size in zip(parts, one.sizes, strict=True)
        ]
    return every


def _moment(at_ms: int) -> datetime | None:
    return datetime.fromtimestamp(at_ms / 1_000, UTC) if at_ms else None


def request_topology() -> Request[Definitions]:
    return Request(REGISTRY, DescribeTopology, Definitions)


def queue_names(topology: Definitions) -> list[str]:
    return sorted(queue.name for queue in topology.queues)


# ---- the clients' ----


@final
class Admin:
    """The blocking client's `broker.admin`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def pause_queue(self, queue: str) -> None:
        """Deliver nothing until `resume_queue`, restarts included. Messages still come in. Raises UnknownQueue."""
        self._ask(request_pause(queue, True))

    def resume_queue(self, queue: str) -> None:
        """Let a paused queue deliver again."""
        self._ask(request_pause(queue, False))

    def queue_names(self) -> list[str]:
        """The names of all queues, without asking any of them: where they are many, `queues(names)` asks a few."""
        return queue_names(self._ask(request_topology()))

    def look(
        self,
        queue: str,
        count: int = 10,
        *,
        after: int = 0,
        place: str | None = None,
        body_bytes: int = BODY_BYTES_DEFAULT,
    ) -> list[Looked]:
        """Look at messages above the offset `after`, in that order, wherever they are; changes nothing.

        `place`: only what is ready, unacked, waiting or leaving. `body_bytes`: of each body. Fewer than `count` come
        where the answer would be too large.
        """
        return looked(self._ask(request_look(queue, count, after, place, body_bytes)))


@final
class AioAdmin:
    """The asyncio client's `broker.admin`."""

    def __init__(self, ask: AskAsync) -> None:
        self._ask = ask

    async def pause_queue(self, queue: str) -> None:
        """As `Admin.pause_queue`."""
        await self._ask(request_pause(queue, True))

    async def resume_queue(self, queue: str) -> None:
        """As `Admin.resume_queue`."""
        await self._ask(request_pause(queue, False))

    async def queue_names(self) -> list[str]:
        """As `Admin.queue_names`."""
        return queue_names(await self._ask(request_topology()))

    async def look(
        self,
        queue: str,
        count: int = 10,
        *,
        after: int = 0,
        place: str | None = None,
        body_bytes: int = BODY_BYTES_DEFAULT,
    ) -> list[Looked]:
        """As `Admin.look`."""
        return looked(await self._ask(request_look(queue, count, after, place, body_bytes)))

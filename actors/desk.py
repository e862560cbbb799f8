"""Where a queue answers who looks at it, and who pauses it.

A part of the queue actor's shell: it journals the pause and reads bodies back.

Fails with: DiskFault (its journal; the supervisor decides).
"""

from __future__ import annotations

from typing import Final, final

import msgspec

from posthouse.actors import queue_look
from posthouse.actors.actor import Context
from posthouse.actors.queue_records import Kind, encode_paused
from posthouse.actors.queue_state import QueueState
from posthouse.actors.stored_bytes import StoredBytes
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.links import Link
from posthouse.transport.messages import Deliver, Peek
from posthouse.transport.messages_looking import LookInto, PauseQueue

PEEK_MESSAGES_MAX: Final = 1_000


@final
class Desk:
    """Of one queue."""

    def __init__(self, context: Context, state: QueueState, stored: StoredBytes, is_durable: bool) -> None:
        self._context = context
        self._state = state
        self._stored = stored
        self._is_durable = is_durable

    def answer(self, link: Link, message: Peek | LookInto | PauseQueue) -> None:
        """Raises InvalidArgument."""
        match message:
            case Peek(request, count):
                self._context.reply(link, request, self._peek(count))
            case LookInto(request):
                queue_look.check_look(message)
                look = self._state.look(message, self._stored.of)
                self._context.reply(link, request, look)
            case PauseQueue(request, is_paused):
                # The answer waits for the sync, so whoever was told that it is paused finds it so after any crash.
                if self._state.pause_all(is_paused) and self._is_durable:
                    self._context.append(Kind.PAUSED, encode_paused(is_paused))
                self._context.reply(link, request, None)

    def _peek(self, count: int) -> list[Deliver]:
        if not 1 <= count <= PEEK_MESSAGES_MAX:
            raise InvalidArgument(f"peek shows 1 to {PEEK_MESSAGES_MAX} messages, not {count}")
        return [
            Deliver(0, part.first_offset, part.attempt, msgspec.Raw(self._stored.of_slice(part)))
            for part in self._state.peek(count)
        ]

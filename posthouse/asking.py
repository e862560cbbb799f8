"""A request on its way to an actor, and how its answer is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import msgspec

from posthouse.transport.errors import PosthouseError
from posthouse.transport.messages import Message


@final
class Call:
    """A request on its way."""

    __slots__ = ("error", "is_done", "is_removal", "make", "number", "result", "target", "times_asked")

    def __init__(self, number: int, target: str, make: Callable[[int], Message], is_removal: bool) -> None:
        self.number = number
        self.is_removal = is_removal
        self.times_asked = 0
        self.target = target
        self.make = make
        self.is_done = False
        self.result: msgspec.Raw | None = None
        self.error: PosthouseError | None = None

    def finish(self, result: msgspec.Raw | None, error: PosthouseError | None) -> None:
        self.is_done = True
        self.result = result
        self.error = error


def result_of(call: Call, kind: Any) -> Any:
    """The decoded answer of a finished call. Raises the error it ended with."""
    if call.error is not None:
        raise call.error
    assert call.result is not None
    return msgspec.msgpack.decode(call.result, type=kind)

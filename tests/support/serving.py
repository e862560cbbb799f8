"""Serving calls against a real broker: a handler, a queue for one test, and how a call ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import posthouse
from posthouse.errors import PosthouseError
from posthouse.message import Message


def shout(message: Message) -> bytes:
    """The body in capitals; `fail` raises."""
    if message.body == b"fail":
        raise ValueError("it was asked to")
    return message.body.upper()


@contextlib.contextmanager
def queue_of(broker: posthouse.Broker, name: str) -> Iterator[str]:
    """A queue for one test, in a broker that is shared."""
    broker.declare_queue(name)
    try:
        yield name
    finally:
        broker.delete_queue(name)


def outcome(call: Callable[[], Message]) -> str:
    """The reply of a call, or the code of the error it ended with."""
    try:
        return call().body.decode()
    except PosthouseError as error:
        return error.code

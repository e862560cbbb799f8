"""What delivery tests do with a queue: publish numbers, take so many messages, hold some, look at the counts."""

from __future__ import annotations

from typing import Final

import posthouse

HOLDER: Final = """
import sys, threading
import posthouse

address, queue, count = sys.argv[1:]
with posthouse.connect(address, name="holder") as broker, broker.consume(queue, prefetch=int(count)) as messages:
    held = []
    while len(held) < int(count):
        held += messages.batch(int(count) - len(held), timeout_s=20.0)
    print("holds", *(message.body.decode() for message in held), flush=True)
    threading.Event().wait()
"""
"""A consumer that takes so many messages of a queue, says which, and never settles them."""


def publish(broker: posthouse.Broker, queue: str, count: int) -> None:
    """Bodies 0, 1, 2 …"""
    with broker.publisher("") as out:
        for number in range(count):
            out.send(b"%d" % number, queue)


def take(messages: posthouse.Consumer, count: int) -> list[posthouse.Message]:
    taken: list[posthouse.Message] = []
    while len(taken) < count:
        batch = messages.batch(count - len(taken), timeout_s=15.0)
        assert batch, f"{count} messages were due, {len(taken)} came"
        taken += batch
    return taken


def numbers(messages: list[posthouse.Message]) -> list[int]:
    return [int(message.body) for message in messages]


def ready(broker: posthouse.Broker, queue: str) -> int:
    return int(broker.queue_info(queue).ready)

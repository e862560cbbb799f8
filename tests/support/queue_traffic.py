"""What delivery tests say to a queue: publish numbers, take so many messages, look at the counts."""

from __future__ import annotations

import posthouse


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

"""A program that settles a message and does something else for long: the settlement leaves all the same."""

from __future__ import annotations

import pytest

from posthouse.message import Message
from posthouse.testing.broker import BrokerProcess
from posthouse.testing.waiting import eventually

SETTLE = {"ack": Message.ack, "nack": Message.nack, "reject": Message.reject}


@pytest.mark.parametrize("way", SETTLE)
@pytest.mark.parametrize("how", ["consume", "get"])
def test_a_settlement_leaves_while_the_program_is_away(shared: BrokerProcess, how: str, way: str) -> None:
    queue = f"away-{how}-{way}"
    with shared.connect() as program, shared.connect() as watcher:
        watcher.declare_queue(queue)
        watcher.publish("", b"x", queue)
        messages = program.consume(queue) if how == "consume" else None
        message = program.get(queue) if messages is None else messages.get(timeout_s=30)
        assert message is not None
        SETTLE[way](message)

        # Neither the consumer nor its connection is touched from here on.
        def has_left() -> bool:
            info = watcher.queue_info(queue)
            return info.acked + info.rejected + info.waiting + info.redelivered > 0

        eventually(has_left, what=way)

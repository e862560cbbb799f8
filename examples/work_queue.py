"""A work queue: each message goes to one consumer, and comes again if that consumer dies before it acks.

Start a broker with `posthouse serve`, run this as often as you like at the same time.
"""

from __future__ import annotations

import posthouse

with posthouse.connect() as broker:
    broker.declare_queue("letters")
    with broker.publisher("") as out:
        for number in range(100):
            out.send(f"letter {number}".encode(), routing_key="letters")
    with broker.consume("letters") as messages:
        while message := messages.get(timeout_s=1.0):
            print(message.body.decode(), "again" if message.redelivered else "")
            message.ack()

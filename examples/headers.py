"""A headers exchange: what a message says about itself decides, not its routing key.

Booleans, numbers and strings only equal their own kind. Start a broker with `posthouse serve` first.
"""

from __future__ import annotations

import posthouse

with posthouse.connect() as broker:
    broker.declare_exchange("example-notices", "headers", unrouted="drop")
    broker.declare_queue("example-cancelled")
    wanted = {"x-match": "all", "carrier": "UA", "cancelled": True}
    broker.bind("example-notices", "example-cancelled", arguments=wanted)
    broker.publish("example-notices", b"1545", headers={"carrier": "UA", "cancelled": False})
    receipt = broker.publish("example-notices", b"623", headers={"carrier": "UA", "cancelled": True})
    print("reached", receipt.queues)
    while message := broker.get("example-cancelled"):
        print(message.body.decode(), message.headers)
        message.ack()

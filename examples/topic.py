"""A topic exchange: a message reaches every queue whose pattern its routing key matches, once.

`*` stands for one word, `#` for any number of words. Start a broker with `posthouse serve` first.
"""

from __future__ import annotations

import posthouse

with posthouse.connect() as broker:
    broker.declare_exchange("example-flights", "topic", unrouted="drop")
    broker.declare_queue("example-united")
    broker.bind("example-flights", "example-united", "UA.#")
    broker.publish("example-flights", b"1545", routing_key="UA.EWR.IAH")
    broker.publish("example-flights", b"1141", routing_key="AA.JFK.MIA")
    while message := broker.get("example-united"):
        print(message.routing_key, message.body.decode())
        message.ack()

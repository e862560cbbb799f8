"""Ask where a message would go, and why, without publishing it.

Start a broker with `posthouse serve` first; `posthouse explain` shows the same on the command line.
"""

from __future__ import annotations

import posthouse

with posthouse.connect() as broker:
    broker.declare_exchange("example-airports", "direct", unrouted="return")
    broker.declare_queue("example-newark")
    broker.bind("example-airports", "example-newark", "EWR")
    for key in ("EWR", "LGA"):
        found = broker.explain("example-airports", routing_key=key)
        print(key, "reaches", found.queues or f"nothing; the exchange would {found.unrouted}")

"""One sample of each message of monitoring, and of each value in them, for `wire_samples`."""

from __future__ import annotations

from typing import Final

from posthouse.transport.messages_monitor import (
    ActorReading,
    BrokerEvent,
    Machine,
    Overview,
    Point,
    ReadEvents,
    ReadOverview,
)

SAMPLES: Final = (
    ReadOverview(9, ["queue"], True),
    ReadEvents(10, 4_711, 50, 1_000),
)

VALUES: Final = (
    ActorReading(
        id="queue:billing",
        kind="queue",
        name="billing",
        group="queues",
        state="up",
        generation=7,
        pid=4_711,
        restarts=1,
        started_at=1_700_000_000.5,
        ready_ms=3,
        last_exit="signal 9",
        cpu=0.25,
        rss_bytes=1_000_000,
        descriptors=17,
        values={"ready": 3.0},
        rates={"acked": 1.5},
        histograms={"delivery_seconds": [1.0, 0.0, 0.5]},
    ),
    Machine(cores=2, load=0.5, memory_bytes=100, memory_free_bytes=50, disk_bytes=1_000, disk_free_bytes=500),
    BrokerEvent(
        number=5,
        at_ms=1_700_000_000_000,
        kind="exited",
        actor="door",
        severity="warning",
        text="gone",
        fields={"code": 1},
    ),
    Point(at_ms=1_700_000_000_000, published=1.0, delivered=2.0, acked=3.0, ready=4, unacked=5, dead=6),
    Overview(at_ms=1_700_000_000_000, version="0.1.0", data="/data", pid=1, started_at=1.5),
)

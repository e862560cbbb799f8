"""Samples of the messages by which a broker is looked at and laid down as a whole, for `wire_samples.py`."""

from __future__ import annotations

from typing import Any, Final

from posthouse.transport.messages import BindingSpec, ExchangeSpec, Message, QueueSpec
from posthouse.transport.messages_definitions import Define, Defined, Definitions, DescribeTopology
from posthouse.transport.messages_sessions import ConnectionInfo, ListConnections, ListSessions, SessionInfo

DEFINITIONS: Final = Definitions(
    exchanges=(ExchangeSpec(name="orders", kind="topic"),),
    queues=(QueueSpec(name="billing"),),
    bindings=(BindingSpec(source="orders", destination="billing", key="eu.*"),),
)

SESSION: Final = SessionInfo(
    actor="queue:billing",
    client_id=77,
    client="shop",
    program="shop.py",
    host="alpha",
    pid=4_711,
    remote="192.0.2.7",
    since_ms=1_700_000_000_000,
    received=9,
    sent=1_000,
    waiting=12,
    silent_ms=40,
)

SAMPLES: Final[tuple[Message, ...]] = (
    DescribeTopology(40),
    Define(41, DEFINITIONS, True),
    ListSessions(42),
    ListConnections(43),
)

VALUES: Final[tuple[Any, ...]] = (
    DEFINITIONS,
    Defined(what="queue", place=3, state="refused", code="precondition_failed", text="it exists otherwise"),
    SESSION,
    ConnectionInfo(
        client_id=77,
        client="shop",
        via="door",
        state="slow",
        program="shop.py",
        host="alpha",
        pid=4_711,
        remote="192.0.2.7",
        since_ms=1_700_000_000_000,
        received=9,
        sent=1_000,
        waiting=12,
        sessions=(SESSION,),
    ),
)

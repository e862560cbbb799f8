"""Who is there: the connections, and the consumers of the queues."""

from __future__ import annotations

import time
from typing import Final

from posthouse.cli_connection import AsJson, with_broker
from posthouse.cli_output import Cell, Column, Row, count, duration, name_of, print_json, print_table, printable
from posthouse.client import Broker
from posthouse.transport.messages import ConsumerInfo
from posthouse.transport.messages_sessions import ConnectionInfo
from posthouse.transport.names import REGISTRY

_SHOWN_ACTORS_MAX: Final = 3
_CONNECTIONS: Final = (
    Column("client", can_shrink=True),
    Column("program", can_shrink=True),
    Column("from", can_shrink=True),
    Column("via"),
    Column("for", is_number=True),
    Column("in", is_number=True),
    Column("out", is_number=True),
    Column("state"),
    Column("talks to", can_shrink=True),
)
_CONSUMERS: Final = (
    Column("queue", can_shrink=True),
    Column("client", can_shrink=True),
    Column("consumer", is_number=True),
    Column("unacked", is_number=True),
    Column("prefetch", is_number=True),
    Column("acks"),
    Column("for", is_number=True),
    Column("state"),
)
_STATES: Final = {"open": "green", "slow": "yellow", "silent": "bold yellow"}


@with_broker
def connections(broker: Broker, as_json: AsJson = False) -> None:
    """List who is connected: which program, from where, since when, and which actors it talks to.

    `in` and `out` count messages as the broker sees them, in the sessions that stand now. State `slow`: messages wait
    because the client does not read; `silent`: it has not answered for two seconds. This command is in the list too.

    \b
    Examples:
      posthouse connections
      posthouse connections --json | jq '.[] | select(.state != "open")'
    """
    found = broker.connections()
    if as_json:
        print_json(found)
        return
    now_ms = time.time() * 1000
    print_table(_CONNECTIONS, (_connection_row(one, now_ms) for one in found), "Nobody is connected.")


def _connection_row(connection: ConnectionInfo, now_ms: float) -> Row:
    actors = [printable(session.actor) for session in connection.sessions if session.actor != REGISTRY]
    more = len(actors) - _SHOWN_ACTORS_MAX
    shown = actors[:_SHOWN_ACTORS_MAX] + ([f"and {count(more)} more"] if more > 0 else [])
    return (
        printable(connection.client),
        printable(f"{connection.program} [{connection.pid}]" if connection.program else "?"),
        printable(connection.remote or connection.host),
        connection.via,
        duration((now_ms - connection.since_ms) / 1000),
        count(connection.received),
        count(connection.sent),
        Cell(connection.state, _STATES.get(connection.state, "yellow")),
        ", ".join(shown) or "the registry only",
    )


@with_broker
def consumers(broker: Broker, as_json: AsJson = False) -> None:
    """List the consumers of all queues: who takes from which, and how much it has not settled.

    State `waiting`: another one is the queue's single active consumer; `full`: it holds as much as its prefetch allows;
    `slow`: it has not read what was sent to it.

    \b
    Examples:
      posthouse consumers
      posthouse consumers --json | jq '.[] | select(.queue == "newark")'
    """
    found = sorted(broker.consumers(), key=lambda consumer: (consumer.queue, consumer.client, consumer.consumer))
    if as_json:
        print_json(found)
        return
    now_ms = time.time() * 1000
    print_table(_CONSUMERS, (_consumer_row(one, now_ms) for one in found), "There are no consumers.")


def _consumer_row(consumer: ConsumerInfo, now_ms: float) -> Row:
    return (
        name_of(consumer.queue),
        printable(consumer.client),
        str(consumer.consumer),
        count(consumer.unacked),
        count(consumer.prefetch),
        "automatic" if consumer.auto_ack else "by hand",
        duration((now_ms - consumer.since_ms) / 1000) if consumer.since_ms else "",
        _consumer_state(consumer),
    )


def _consumer_state(consumer: ConsumerInfo) -> Cell:
    if not consumer.is_active:
        return Cell("waiting", "yellow")
    if consumer.is_slow:
        return Cell("slow", "yellow")
    if not consumer.auto_ack and consumer.unacked >= consumer.prefetch:
        return Cell("full", "yellow")
    return Cell("active", "green")

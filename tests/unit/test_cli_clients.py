"""Connections and consumers on the command line: in a pipe and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from posthouse.transport.messages import ConsumerInfo
from posthouse.transport.messages_sessions import ConnectionInfo, SessionInfo
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker

NOW_S = 1_700_000_000.0


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setattr("posthouse.cli_clients.time.time", lambda: NOW_S)
    return CommandLine(monkeypatch, RecordingBroker())


def _consumer(number: int, **more: object) -> ConsumerInfo:
    fields: dict[str, Any] = {"prefetch": 4, "unacked": 0, "auto_ack": False, "is_active": True, **more}
    since_ms = int(NOW_S - 65) * 1000
    return ConsumerInfo(queue="ewr", consumer=number, client="tower", since_ms=since_ms, **fields)


def test_connections_in_a_pipe(run: CommandLine) -> None:
    sessions = tuple(SessionInfo(actor=f"queue:{name}", client_id=7, client="shop") for name in "abcde")
    run.broker.answers["connections"] = [
        ConnectionInfo(
            client_id=7, client="shop", via="door", state="slow", program="shop.py", host="alpha", pid=17,
            remote="192.0.2.7", since_ms=int(NOW_S - 3_700) * 1000, received=1_234, sent=5, sessions=sessions,
        ),
        ConnectionInfo(client_id=8, client="ot\x1bher", via="ipc", since_ms=int(NOW_S) * 1000),
    ]  # fmt: skip
    assert run("connections").out.splitlines() == [
        "CLIENT     PROGRAM       FROM       VIA         FOR     IN  OUT  STATE  TALKS TO",
        "shop       shop.py [17]  192.0.2.7  door  1 h 1 min  1,234    5  slow   queue:a, queue:b, queue:c, and 2 more",
        "ot\\x1bher  ?                        ipc         0 s      0    0  open   the registry only",
    ]


def test_consumers_in_a_pipe_with_what_each_waits_for(run: CommandLine) -> None:
    run.broker.answers["consumers"] = [
        _consumer(1),
        _consumer(2, is_active=False),
        _consumer(3, unacked=4),
        _consumer(4, is_slow=True, auto_ack=True),
    ]
    assert run("consumers").out.splitlines() == [
        "QUEUE  CLIENT  CONSUMER  UNACKED  PREFETCH  ACKS             FOR  STATE",
        "ewr    tower          1        0         4  by hand    1 min 5 s  active",
        "ewr    tower          2        0         4  by hand    1 min 5 s  waiting",
        "ewr    tower          3        4         4  by hand    1 min 5 s  full",
        "ewr    tower          4        0         4  automatic  1 min 5 s  slow",
    ]


def test_json_has_every_field_under_its_own_name(run: CommandLine) -> None:
    session = SessionInfo(actor="registry", client_id=7, client="shop")
    run.broker.answers["connections"] = [ConnectionInfo(client_id=7, client="shop", via="ipc", sessions=(session,))]
    (told,) = json.loads(run("connections", "--json").out)
    assert (told["client"], told["state"], told["sessions"][0]["actor"]) == ("shop", "open", "registry")

"""Who is connected: sessions of one actor, and the clients behind the sessions of all."""

from __future__ import annotations

from typing import Any

from posthouse.actors.connections import connections_of, sessions_of
from posthouse.transport.limits import Limits
from posthouse.transport.links import Link
from posthouse.transport.messages_sessions import SessionInfo
from posthouse.transport.wire import Hello


def _served(client_id: int, **said: Any) -> Link:
    link = Link("queue:q", is_opener=False, survives=False, limits=Limits())
    link.serve(9, 3, Hello("queue:q", client_id, "shop", **said), now_ms=1_000)
    link.heard_ms = 1_500
    return link


def _session(actor: str, client_id: int = 7, **more: Any) -> SessionInfo:
    return SessionInfo(actor=actor, client_id=client_id, client="shop", program="p", host="h", pid=1, **more)


def test_a_session_tells_what_the_hello_said_and_what_its_link_counted() -> None:
    link = _served(7, program="shop.py", host="alpha", pid=17, remote="192.0.2.7")
    link.receiver.messages, link.sender.messages, link.sender.backlog_messages = 5, 6, 2
    assert sessions_of("queue:q", [link], wall_ms=100_000, monotonic_ms=2_000) == [
        SessionInfo(
            actor="queue:q",
            client_id=7,
            client="shop",
            program="shop.py",
            host="alpha",
            pid=17,
            remote="192.0.2.7",
            since_ms=99_000,
            received=5,
            sent=6,
            waiting=2,
            silent_ms=500,
        )
    ]


def test_other_actors_are_not_clients() -> None:
    assert sessions_of("queue:q", [_served(0)], wall_ms=0, monotonic_ms=0) == []


def test_the_sessions_of_one_client_are_one_connection() -> None:
    first, second = _session("registry", since_ms=50, received=1), _session("queue:q", since_ms=40, sent=9)
    (found,) = connections_of([first, second])
    assert (found.client_id, found.client, found.via, found.state) == (7, "shop", "ipc", "open")
    assert (found.since_ms, found.received, found.sent) == (40, 1, 9)
    assert found.sessions == (second, first)


def test_the_oldest_connection_comes_first() -> None:
    found = connections_of([_session("registry", 1, since_ms=9), _session("registry", 2, since_ms=3)])
    assert [connection.client_id for connection in found] == [2, 1]


def test_an_address_means_a_door() -> None:
    (found,) = connections_of([_session("registry"), _session("queue:q", remote="192.0.2.7")])
    assert (found.via, found.remote) == ("door", "192.0.2.7")


def test_one_that_does_not_read_is_slow_and_one_that_never_answers_is_silent() -> None:
    sessions = [_session("registry", silent_ms=100), _session("queue:q", silent_ms=9_000, waiting=3)]
    assert [found.state for found in connections_of(sessions)] == ["slow"]
    sessions = [_session("registry", silent_ms=2_000), _session("queue:q", silent_ms=9_000)]
    assert [found.state for found in connections_of(sessions)] == ["silent"]

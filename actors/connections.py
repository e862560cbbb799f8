"""Who is connected: the sessions that one actor serves, and the clients behind the sessions of all actors.

Pure. What a client says of itself (its name, program, host and process) is for people and proves nothing; the address
that a door adds is where the bytes come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from posthouse.transport.links import Link
from posthouse.transport.messages_sessions import ConnectionInfo, SessionInfo

SILENT_MS: Final = 2_000
"""A client answers a PING twice a second; one that says nothing for so long is busy, stopped, or behind a dead line."""


def sessions_of(actor: str, served: Iterable[Link], *, wall_ms: int, monotonic_ms: int) -> list[SessionInfo]:
    """The sessions that clients have with this actor; those of other actors are left out."""
    found = []
    for link in served:
        hello = link.hello
        if hello is None or not link.client_id:
            continue
        found.append(
            SessionInfo(
                actor=actor,
                client_id=link.client_id,
                client=link.client_name,
                program=hello.program,
                host=hello.host,
                pid=hello.pid,
                remote=hello.remote,
                since_ms=wall_ms - (monotonic_ms - link.opened_ms),
                received=link.receiver.messages,
                sent=link.sender.messages,
                waiting=link.sender.backlog_messages,
                silent_ms=max(0, monotonic_ms - link.heard_ms),
            )
        )
    return found


def connections_of(sessions: Iterable[SessionInfo]) -> list[ConnectionInfo]:
    """The clients, oldest first, each with its sessions by actor."""
    by_client: dict[int, list[SessionInfo]] = {}
    for session in sessions:
        by_client.setdefault(session.client_id, []).append(session)
    found = [_connection(mine) for mine in by_client.values()]
    return sorted(found, key=lambda connection: (connection.since_ms, connection.client_id))


def _connection(sessions: list[SessionInfo]) -> ConnectionInfo:
    sessions.sort(key=lambda session: session.actor)
    first = sessions[0]
    remote = next((session.remote for session in sessions if session.remote), "")
    waiting = sum(session.waiting for session in sessions)
    is_silent = min(session.silent_ms for session in sessions) >= SILENT_MS
    return ConnectionInfo(
        client_id=first.client_id,
        client=first.client,
        via="door" if remote else "ipc",
        state="silent" if is_silent else "slow" if waiting else "open",
        program=first.program,
        host=first.host,
        pid=first.pid,
        remote=remote,
        since_ms=min(session.since_ms for session in sessions),
        received=sum(session.received for session in sessions),
        sent=sum(session.sent for session in sessions),
        waiting=waiting,
        sessions=tuple(sessions),
    )

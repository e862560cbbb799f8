"""The vocabulary of connections: who talks to which actor, asked of the actors and put together by the registry.

A part of `messages.py`, under the same rules: arrays that start with their number, fields are only ever appended.
"""

from __future__ import annotations

from typing import final

import msgspec


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


class _Value(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A record inside a message; it has no number of its own."""


@final
class ListSessions(_Message, frozen=True, tag=48):
    """The answer is a list of `SessionInfo`: the sessions this actor serves to clients."""

    request: int


@final
class ListConnections(_Message, frozen=True, tag=49):
    """The answer is a list of `ConnectionInfo`, from all actors."""

    request: int


@final
class SessionInfo(_Value, frozen=True):
    """One session of a client with one actor, as its HELLO and its link tell.

    `received` and `sent` count messages since `since_ms`, a batch by what is in it; `waiting` could not be sent yet.
    `program`, `host` and `pid` are what the client says of itself; `remote` is what a door says, "" without one.
    """

    actor: str
    client_id: int
    client: str
    program: str = ""
    host: str = ""
    pid: int = 0
    remote: str = ""
    since_ms: int = 0
    received: int = 0
    sent: int = 0
    waiting: int = 0
    silent_ms: int = 0


@final
class ConnectionInfo(_Value, frozen=True):
    """One client, and whom it talks to. `via`: ipc or door. `state`: open; slow, since messages wait for it; silent.

    `since_ms` is when the oldest of its sessions began, in the lives that its actors have now.
    """

    client_id: int
    client: str
    via: str
    state: str = "open"
    program: str = ""
    host: str = ""
    pid: int = 0
    remote: str = ""
    since_ms: int = 0
    received: int = 0
    sent: int = 0
    waiting: int = 0
    sessions: tuple[SessionInfo, ...] = ()


SessionMessage = ListSessions | ListConnections

"""The door: lets clients in over TCP and passes their frames to the actors they name, and back.

It reads headers only: the session's number says where a frame belongs, the HELLO says where its session begins. It
keeps no message; what is lost in a crash of the door the links on both sides send again. When a client is found to be
gone, the actors it talked to are told with a BYE in its name.

Fails with: nothing of its own. Hostile bytes are counted, answered with a RESET and dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

import msgspec

from posthouse.supervisor import control_messages as control
from posthouse.transport import wire
from posthouse.transport.errors import NotDone, ProtocolViolation
from posthouse.transport.wire import Header, Kind

SESSIONS_MAX: Final = 65_536
SESSIONS_PER_CLIENT_MAX: Final = 4_096

ToSend = tuple[bytes, bytes | memoryview]
"""A routing id and a frame."""


@final
class Session:
    """One link that passes through."""

    __slots__ = ("actor", "client", "number")

    def __init__(self, number: int, client: bytes, actor: str) -> None:
        self.number = number
        self.client = client
        self.actor = actor


@final
class Door:
    """Who talks to whom. Pure: frames in, frames out, to clients and to actors."""

    def __init__(self, address_of: Callable[[bytes], str] = lambda client: "unknown") -> None:
        self._address_of = address_of
        self.to_clients: list[ToSend] = []
        self.to_actors: list[ToSend] = []
        self.to_supervisor: list[control.FromChild] = []
        self.to_connect: list[tuple[bytes, str]] = []
        self.violations = 0
        self._sessions: dict[int, Session] = {}
        self._by_client: dict[bytes, dict[int, None]] = {}
        self._actors: dict[str, tuple[int, bytes] | None] = {}

    def from_client(self, client: bytes, frame: bytes | memoryview) -> None:
        """A frame came in over TCP."""
        try:
            header = wire.unpack_header(frame)
            if header.kind == Kind.HELLO:
                frame = self._open(client, header, frame)
        except (ProtocolViolation, NotDone) as error:
            self.violations += 1
            number, _, kind = wire.glance(frame)
            if kind not in (Kind.RESET, Kind.BYE):
                self._reset(client, number, error.code, str(error))
            return
        session = self._sessions.get(header.session)
        if session is None:
            if header.kind not in (Kind.RESET, Kind.BYE, Kind.HELLO):
                self._reset(client, header.session, wire.UNKNOWN_SESSION, "the door does not know this session")
            return
        if session.client != client:
            self._move(session, client)
        life = self._actors.get(session.actor)
        if life is None:
            return  # The actor is down; the client hears it from the registry and greets again when it is up.
        generation, route = life
        if header.generation not in (0, generation):
            self._reset(client, header.session, wire.UNKNOWN_SESSION, "the actor lives in another generation")
            self._close(session)
            return
        self.to_actors.append((route, frame))
        if header.kind == Kind.BYE:
            self._close(session)

    def from_actor(self, frame: bytes | memoryview) -> None:
        """A frame for a client came from an actor."""
        header = wire.unpack_header(frame)
        session = self._sessions.get(header.session)
        if session is not None:
            self.to_clients.append((session.client, frame))
            if header.kind in (Kind.RESET, Kind.BYE):
                self._close(session)

    def client_gone(self, client: bytes) -> None:
        """Nobody is at the other end of this connection."""
        for number in list(self._by_client.get(client, ())):
            session = self._sessions[number]
            life = self._actors.get(session.actor)
            if life is not None:
                generation, route = life
                header = Header(Kind.BYE, generation, number, 0, 0, 0, 0, 0)
                self.to_actors.append((route, wire.pack_header(header)))
            self._close(session)

    def noticed(self, message: control.FromSupervisor) -> None:
        """The supervisor said where an actor lives, or that it does not."""
        if isinstance(message, control.Up):
            route = f"{message.id}/{message.generation}".encode()
            self._actors[message.id] = (message.generation, route)
            self.to_connect.append((route, message.endpoint))
        elif isinstance(message, control.Down):
            self._actors[message.id] = None

    @property
    def session_count(self) -> int:
        return len(self._sessions)

    def _open(self, client: bytes, header: Header, frame: bytes | memoryview) -> bytes:
        """Returns the HELLO as it goes on: with the address it came from, whatever it said of that itself."""
        if header.session == 0:
            raise ProtocolViolation("a HELLO carries no session of its own")
        hello = wire.unpack_hello(frame)
        if header.session not in self._sessions:
            self._begin(client, header.session, hello.target)
        hello = msgspec.structs.replace(hello, remote=self._address_of(client)[: wire.ORIGIN_BYTES_MAX])
        body = wire.pack_body(hello)
        if len(body) > wire.HELLO_BYTES_MAX:
            body = wire.pack_body(msgspec.structs.replace(hello, program="", host=""))
        return wire.pack_header(header) + body

    def _begin(self, client: bytes, number: int, target: str) -> None:
        mine = self._by_client.setdefault(client, {})
        if len(self._sessions) >= SESSIONS_MAX or len(mine) >= SESSIONS_PER_CLIENT_MAX:
            if not mine:
                del self._by_client[client]
            raise NotDone(
                f"the door has {len(self._sessions)} sessions, {len(mine)} of them on this connection: too many"
            )
        self._sessions[number] = Session(number, client, target)
        mine[number] = None
        if target not in self._actors:
            self._actors[target] = None
            self.to_supervisor.append(control.Watch(target))

    def _move(self, session: Session, client: bytes) -> None:
        """The client came back on another connection; the end of the old one must not end the session."""
        self._leave(session)
        session.client = client
        self._by_client.setdefault(client, {})[session.number] = None

    def _close(self, session: Session) -> None:
        del self._sessions[session.number]
        self._leave(session)

    def _leave(self, session: Session) -> None:
        mine = self._by_client[session.client]
        del mine[session.number]
        if not mine:
            del self._by_client[session.client]

    def _reset(self, client: bytes, session: int, code: str, text: str) -> None:
        header = Header(Kind.RESET, 0, session, 0, 0, 0, 0, 0)
        frame = wire.pack_header(header) + wire.pack_body(wire.Reset(code, text))
        self.to_clients.append((client, frame))

"""All links of one actor or client: which session a frame belongs to, who is there, what goes out.

The side that opens a link names its target and chooses the session's number; the side that serves it has a
generation, and a frame for another life is never accepted. Pure: frames and facts in (`receive`, `peer_up`,
`peer_down`, `unreachable`, `tick`), events and frames out (`events`, `flush`). It must not know ZeroMQ: a *route* is
any hashable value by which the shell finds a connection.

Only three things can happen to a link. *Opened*: a session stands, `is_fresh` says that the other side remembers
nothing. *Ended*: the session is over, with the contexts it never settled where they are lost with it. In between,
frames *arrive* and contexts are *settled*.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Hashable
from typing import Any, Final, NamedTuple, final

import msgspec

from posthouse.transport import wire
from posthouse.transport.errors import ProtocolViolation
from posthouse.transport.limits import Limits
from posthouse.transport.link import RETRY_MS_MAX, RETRY_MS_MIN, Piece, Receiver, Sender, data_header
from posthouse.transport.wire import FLAG_GAP, FLAG_PONG, HEADER_BYTES, Header, Kind

Route = Hashable

LAZY_ACK_FRAMES: Final = 16
"""An end that only received, and settled at once, acknowledges every so many frames or at the next tick."""


class State(enum.Enum):
    """Of the opening end: nobody there, asked, or talking. A serving end is open from birth."""

    CLOSED = "closed"
    GREETING = "greeting"
    OPEN = "open"


@final
class Link:
    """One session with one peer. Made by `Links`; others only read it."""

    __slots__ = (
        "ack_due", "client_id", "client_name", "generation", "heard_ms", "is_opener", "limits", "next_wake_ms",
        "pong", "receiver", "retry_ms", "route", "sender", "session", "state", "survives", "target", "tag",
        "unacked_frames", "unsettled_bytes",
    )  # fmt: skip

    def __init__(self, target: str, *, is_opener: bool, survives: bool, limits: Limits) -> None:
        self.target = target
        self.is_opener = is_opener
        self.survives = survives
        self.limits = limits
        self.state = State.CLOSED
        self.session = 0
        self.generation = 0
        self.route: Route | None = None
        self.client_id = 0
        self.client_name = ""
        self.sender = Sender(limits)
        self.receiver = Receiver()
        self.heard_ms = 0
        self.retry_ms = RETRY_MS_MIN
        self.next_wake_ms = 0
        self.ack_due = False
        self.pong: tuple[int, int] | None = None
        self.unacked_frames = 0
        self.unsettled_bytes = 0
        self.tag: Any = None


class Opened(NamedTuple):
    link: Link


class Ended(NamedTuple):
    """`abandoned`: contexts that were offered and never settled, when nobody will send them again."""

    link: Link
    code: str
    text: str
    abandoned: list[Any]


@final
class Arrived:
    """A DATA frame in its order. It is settled when whoever handles it has let go of every hold on it."""

    __slots__ = ("frame_bytes", "holds", "is_waited_for", "link", "pieces", "sequence", "session")

    def __init__(self, link: Link, sequence: int, pieces: list[msgspec.Raw], frame_bytes: int) -> None:
        self.link = link
        self.session = link.session
        self.sequence = sequence
        self.pieces = pieces
        self.frame_bytes = frame_bytes
        self.holds = 0
        self.is_waited_for = False


class Settled(NamedTuple):
    link: Link
    contexts: list[Any]


Event = Opened | Ended | Arrived | Settled


class Identity(NamedTuple):
    """Who we are to those we open links with, and the life in which we serve others (0: we serve nobody)."""

    generation: int
    client_id: int
    client_name: str


@final
class Links:
    """The links of one actor or one client."""

    def __init__(self, identity: Identity, limits: Limits, source: random.Random) -> None:
        self.identity = identity
        self.limits = limits
        self.events: list[Event] = []
        self.violations = 0
        self._random = source
        self._opened: dict[str, Link] = {}
        self._by_session: dict[int, Link] = {}
        self._dirty: dict[Link, None] = {}
        self._control: list[tuple[Route, bytes]] = []

    # ---- what the owner asks for ----

    def open(self, target: str, *, survives: bool = True) -> Link:
        """The link to `target`. `survives`: in a new session, send again what the old one did not settle."""
        link = self._opened.get(target)
        if link is None:
            link = self._opened[target] = Link(target, is_opener=True, survives=survives, limits=self.limits)
        return link

    def close(self, link: Link) -> list[Any]:
        """Say goodbye and forget the link; returns the contexts that were never settled."""
        if link.route is not None and link.session:
            self._say(link, Kind.BYE)
        self._by_session.pop(link.session, None)
        self._dirty.pop(link, None)
        if self._opened.get(link.target) is link:
            del self._opened[link.target]
        link.state = State.CLOSED
        return link.sender.abandon()

    def send(self, link: Link, piece: Piece, size: int, messages: int = 1, context: Any = None) -> None:
        """Queue one encoded message on a link; it leaves with the next `flush` when the window has room."""
        link.sender.offer(piece, size, messages, context)
        self._dirty[link] = None

    def settle(self, arrived: Arrived) -> None:
        """Responsibility for a frame is taken. Where nobody waits for the word, it may travel later."""
        link = arrived.link
        if arrived.session != link.session:
            return
        link.receiver.settle(arrived.sequence)
        link.unsettled_bytes -= arrived.frame_bytes
        if not arrived.is_waited_for and link.unacked_frames < LAZY_ACK_FRAMES:
            return
        link.ack_due = True
        self._dirty[link] = None

    def is_open(self, target: str) -> bool:
        """There is a link to `target`, whatever its state."""
        return target in self._opened

    def all_opened(self) -> list[Link]:
        """The links this side opened."""
        return list(self._opened.values())

    @property
    def served(self) -> list[Link]:
        return [link for link in self._by_session.values() if not link.is_opener]

    # ---- facts ----

    def peer_up(self, target: str, generation: int, route: Route, now_ms: int) -> None:
        """A life of `target` can be reached by `route`. Older generations than the one we know are ignored."""
        link = self._opened.get(target)
        if link is None or generation < link.generation:
            return
        if link.state is not State.CLOSED and generation == link.generation and route == link.route:
            return
        link.generation = generation
        link.route = route
        self._greet(link, now_ms)

    def peer_down(self, target: str, text: str) -> None:
        """`target` does not live now; what is unsettled waits for its next life."""
        link = self._opened.get(target)
        if link is not None and link.state is not State.CLOSED:
            self._lose(link, "actor_down", text)

    def violate(self, link: Link, text: str) -> None:
        """The peer sent what the protocol does not allow: its session ends, and it is told why."""
        self.violations += 1
        if self._by_session.get(link.session) is link:
            self._lose(link, ProtocolViolation.code, text)
            if not link.is_opener and link.route is not None:
                self._reset(link.route, link.session, ProtocolViolation.code, text)

    def unreachable(self, route: Route) -> None:
        """The shell found nobody at `route`: every session on it is over."""
        for link in [link for link in self._by_session.values() if link.route == route]:
            self._lose(link, "unreachable", "the connection is gone")

    def receive(self, route: Route, frame: bytes | memoryview, now_ms: int) -> None:
        """One frame from the wire. Never raises: the peer's mistakes end its session and are counted."""
        try:
            header = wire.unpack_header(frame)
            if header.kind == Kind.HELLO:
                self._hello(route, header, frame, now_ms)
                return
            link = self._by_session.get(header.session)
            if link is None or not self._is_of_this_life(link, header):
                if header.kind not in (Kind.RESET, Kind.BYE):
                    self._reset(route, header.session, wire.UNKNOWN_SESSION, "no such session in this life")
                return
            link.heard_ms = now_ms
            link.route = route if not link.is_opener else link.route
            self._dispatch(link, header, frame, now_ms)
        except ProtocolViolation as error:
            self._violation(route, frame, error)

    @staticmethod
    def _is_of_this_life(link: Link, header: Header) -> bool:
        """Through a door a client learns the generation from the WELCOME; a RESET may come from no life at all."""
        if header.generation == link.generation or header.kind == Kind.RESET:
            return True
        return link.generation == 0 and header.kind == Kind.WELCOME

    def tick(self, now_ms: int) -> None:
        """Time has passed: greet again, ask silent peers, acknowledge what was put off."""
        for link in list(self._opened.values()):
            if link.state is State.GREETING and now_ms >= link.next_wake_ms:
                link.retry_ms = min(link.retry_ms * 2, RETRY_MS_MAX)
                link.next_wake_ms = now_ms + link.retry_ms
                self._say_hello(link)
        for link in list(self._by_session.values()):
            if link.unacked_frames:
                link.ack_due = True
                self._dirty[link] = None
            if link.state is State.OPEN and now_ms >= link.next_wake_ms:
                self._ask(link, now_ms)

    def flush(self, now_ms: int) -> list[tuple[Route, bytes]]:
        """Every frame that may leave now, one envelope per peer where it fits."""
        out = self._control
        self._control = []
        dirty = self._dirty
        self._dirty = {}
        for link in dirty:
            if link.state is not State.OPEN or link.route is None:
                continue
            for frame in link.sender.frames_to_send():
                header = data_header(link.session, link.generation, frame, link.receiver)
                out.append((link.route, frame.seal(header)))
                if not link.receiver.ranges():
                    link.ack_due = False
                    link.unacked_frames = 0
                link.next_wake_ms = min(link.next_wake_ms, now_ms + link.retry_ms)
            if link.ack_due or link.pong is not None:
                out.append((link.route, self._ack(link)))
        return out

    # ---- sessions ----

    def _greet(self, link: Link, now_ms: int) -> None:
        self._by_session.pop(link.session, None)
        link.session = self._random.getrandbits(63) | 1
        link.receiver = Receiver()
        link.pong = None
        link.ack_due = False
        link.unacked_frames = 0
        link.unsettled_bytes = 0
        if link.survives:
            link.sender.restart()
        else:
            link.sender.abandon()
        link.state = State.GREETING
        link.retry_ms = RETRY_MS_MIN // 2
        link.next_wake_ms = now_ms + link.retry_ms
        self._by_session[link.session] = link
        self._say_hello(link)

    def _say_hello(self, link: Link) -> None:
        hello = wire.Hello(link.target, self.identity.client_id, self.identity.client_name)
        self._say(link, Kind.HELLO, wire.pack_body(hello))

    def _hello(self, route: Route, header: Header, frame: bytes | memoryview, now_ms: int) -> None:
        hello = wire.unpack_hello(frame)
        own = self.identity.generation
        if own == 0 or header.generation not in (0, own):
            self._reset(route, header.session, wire.UNKNOWN_SESSION, f"this is generation {own}")
            return
        link = self._by_session.get(header.session)
        if link is None:
            link = Link(hello.target, is_opener=False, survives=False, limits=self.limits)
            link.session = header.session
            link.generation = own
            link.client_id = hello.client_id
            link.client_name = hello.client_name
            link.state = State.OPEN
            link.route = route
            link.next_wake_ms = now_ms + self.limits.ping_interval_ms
            self._by_session[link.session] = link
            self.events.append(Opened(link))
        link.route = route
        link.heard_ms = now_ms
        self._say(link, Kind.WELCOME, wire.pack_body(wire.Welcome(self.limits)))

    def _lose(self, link: Link, code: str, text: str) -> None:
        self._by_session.pop(link.session, None)
        self._dirty.pop(link, None)
        link.state = State.CLOSED
        abandoned = [] if link.survives else link.sender.abandon()
        self.events.append(Ended(link, code, text, abandoned))

    # ---- frames ----

    def _dispatch(self, link: Link, header: Header, frame: bytes | memoryview, now_ms: int) -> None:
        kind = header.kind
        if kind == Kind.DATA:
            self._acknowledged(link, header, [], now_ms)
            self._data(link, header, frame)
        elif kind == Kind.ACK:
            self._acknowledged(link, header, wire.unpack_ranges(frame), now_ms)
            if header.flags & (FLAG_PONG | FLAG_GAP):
                link.sender.send_again(header.sequence, now_ms)
                self._dirty[link] = None
        elif kind == Kind.PING:
            self._acknowledged(link, header, [], now_ms)
            link.pong = (FLAG_PONG, header.sequence)
            self._dirty[link] = None
        elif kind == Kind.WELCOME and link.is_opener:
            link.generation = header.generation
            self._welcomed(link, wire.unpack_welcome(frame), now_ms)
        elif kind == Kind.RESET and link.is_opener:
            self._was_reset(link, wire.unpack_reset(frame), now_ms)
        elif kind == Kind.BYE and not link.is_opener:
            self._lose(link, "goodbye", "the peer closed the link")
        else:
            raise ProtocolViolation(f"a frame of kind {kind} does not belong here")

    def _welcomed(self, link: Link, welcome: wire.Welcome, now_ms: int) -> None:
        if link.state is not State.GREETING:
            return
        link.state = State.OPEN
        link.limits = link.sender.limits = welcome.limits
        link.retry_ms = RETRY_MS_MIN
        link.next_wake_ms = now_ms + link.retry_ms
        self._dirty[link] = None
        self.events.append(Opened(link))

    def _was_reset(self, link: Link, reset: wire.Reset, now_ms: int) -> None:
        if reset.code == wire.UNKNOWN_SESSION:
            self._lose(link, reset.code, reset.text)
            self._greet(link, now_ms)
            return
        link.survives = False
        self._lose(link, reset.code, reset.text)

    def _data(self, link: Link, header: Header, frame: bytes | memoryview) -> None:
        if link.state is not State.OPEN:
            return
        accepted = link.receiver.accept(header.sequence)
        if accepted:
            link.unacked_frames += 1
            link.unsettled_bytes += len(frame)
            if link.unsettled_bytes > 2 * self.limits.window_bytes + self.limits.frame_bytes_max:
                raise ProtocolViolation(f"the peer overran its credit of {self.limits.window_bytes} bytes")
            self.events.append(Arrived(link, header.sequence, wire.unpack_pieces(frame), len(frame)))
            return
        self._dirty[link] = None
        link.ack_due = True
        if accepted is None:
            link.pong = (FLAG_GAP, header.sequence)

    def _acknowledged(self, link: Link, header: Header, ranges: list[int], now_ms: int) -> None:
        before = link.sender.received
        contexts = link.sender.acknowledged(header.received, header.settled, ranges)
        if link.sender.received > before:
            link.retry_ms = RETRY_MS_MIN
            link.next_wake_ms = now_ms + link.retry_ms
        if contexts:
            self.events.append(Settled(link, contexts))
        if link.sender.has_backlog:
            self._dirty[link] = None

    def _ask(self, link: Link, now_ms: int) -> None:
        """Nothing heard for a while: a PING finds out who is there and what arrived."""
        is_waiting = link.sender.is_waiting_for_receipt
        quiet_ms = self.limits.ping_interval_ms
        if is_waiting:
            link.retry_ms = min(link.retry_ms * 2, RETRY_MS_MAX)
        elif now_ms - link.heard_ms < quiet_ms:
            link.next_wake_ms = link.heard_ms + quiet_ms
            return
        link.next_wake_ms = now_ms + (link.retry_ms if is_waiting else quiet_ms)
        header = self._header(link, Kind.PING)._replace(sequence=link.sender.last_sequence)
        self._control.append((link.route, wire.pack_header(header)))

    def _ack(self, link: Link) -> bytes:
        flags, sequence = link.pong or (0, 0)
        link.pong = None
        link.ack_due = False
        link.unacked_frames = 0
        ranges = link.receiver.ranges()
        header = self._header(link, Kind.ACK)._replace(sequence=sequence, flags=flags)
        return wire.pack_header(header) + (wire.pack_body(ranges) if ranges else b"")

    def _header(self, link: Link, kind: Kind) -> Header:
        received, settled = link.receiver.received, link.receiver.settled
        return Header(kind, link.generation, link.session, 0, received, settled, 0, 0)

    def _say(self, link: Link, kind: Kind, body: bytes = b"") -> None:
        if link.route is not None:
            self._control.append((link.route, wire.pack_header(self._header(link, kind)) + body))

    def _reset(self, route: Route, session: int, code: str, text: str) -> None:
        header = Header(Kind.RESET, 0, session, 0, 0, 0, 0, 0)
        self._control.append((route, wire.pack_header(header) + wire.pack_body(wire.Reset(code, text))))

    def _violation(self, route: Route, frame: bytes | memoryview, error: ProtocolViolation) -> None:
        session = int.from_bytes(frame[8:16], "little") if len(frame) >= HEADER_BYTES else 0
        link = self._by_session.get(session)
        if link is not None:
            self.violate(link, str(error))
            return
        self.violations += 1
        self._reset(route, session, error.code, str(error))

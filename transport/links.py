"""All links of one actor or client: which session a frame belongs to, who is there, what goes out.

The side that opens a link names its target and chooses the session's number; the side that serves it has a
generation, and a frame for another life is never accepted. Pure: frames and facts in (`receive`, `peer_up`,
`peer_down`, `unreachable`, `tick`), events and frames out (`events`, `flush`). It must not know ZeroMQ: a *route* is
any hashable value by which the shell finds a connection.

Only three things can happen to a link. *Opened*: a session stands, and the other side remembers nothing of an earlier
one. *Ended*: the session is over, with the contexts it never settled where they are lost with it. In between, frames
*arrive* and contexts are *settled*. What is offered while no session stands waits for the next one.
"""

from __future__ import annotations

import random
from typing import Any, Final, final

from posthouse.transport import link_frames, wire
from posthouse.transport.errors import InvalidArgument, NotDone, ProtocolViolation
from posthouse.transport.limits import Limits
from posthouse.transport.link import RETRY_MS_MAX, RETRY_MS_MIN, Piece
from posthouse.transport.session import Arrived, Ended, Event, Identity, Link, Opened, Route, Settled, State
from posthouse.transport.wire import FLAG_GAP, FLAG_PONG, Header, Kind

__all__ = ["Arrived", "Ended", "Event", "Identity", "Link", "Links", "Opened", "Route", "Settled", "State"]

LAZY_ACK_CHANGES: Final = 32
"""Where nobody waits, so many frames received or settled are acknowledged at once; fewer at the next tick."""

SERVED_MAX: Final = 16_384
"""Sessions served at a time. Whoever reaches a socket can send HELLOs; the next one is refused."""

ENDED_REMEMBERED: Final = 4_096
"""Served sessions that ended and must not be opened again by a HELLO that was still on its way."""


@final
class Links:
    """The links of one actor or one client. Raises InvalidArgument for a name that no HELLO can carry."""

    def __init__(self, identity: Identity, limits: Limits, source: random.Random) -> None:
        if len(identity.client_name.encode()) > (limit := wire.CLIENT_NAME_BYTES_MAX):
            raise InvalidArgument(f"the name is over the limit of {limit} bytes; choose a shorter one")
        self.identity = identity
        self.limits = limits
        self.events: list[Event] = []
        self.violations = 0
        self.is_stirred = False
        """Something was said since the owner looked last, other than that both ends of an idle link are there."""
        self._random = source
        self._opened: dict[str, Link] = {}
        self._by_session: dict[int, Link] = {}
        self._served_count = 0
        self._ended: dict[int, None] = {}
        self._dirty: dict[Link, None] = {}
        self._control: list[tuple[Route, bytes]] = []
        self._resets: dict[tuple[Route, int], bytes] = {}

    # ---- what the owner asks for ----

    def open(self, target: str, *, survives: bool = True) -> Link:
        """The link to `target`. `survives`: in a new session, send again what the old one did not settle."""
        link = self._opened.get(target)
        if link is None:
            link = self._opened[target] = Link(target, is_opener=True, survives=survives, limits=self.limits)
        return link

    def close(self, link: Link) -> list[Any]:
        """Say goodbye and forget the link; returns the contexts that were never settled."""
        if self._by_session.get(link.session) is link:
            self._control.append((link.route, link_frames.bye(link)))
            self._forget_session(link)
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
        if arrived.is_waited_for and link.sender.has_backlog and not link.is_opener:
            # Whoever is settled must have heard our answers. Not at both ends: two full windows would stand still.
            link.unannounced.append((link.sender.offered, arrived))
        else:
            self._settle(link, arrived)

    def _settle(self, link: Link, arrived: Arrived) -> None:
        if not link.receiver.settle(arrived.sequence):
            return
        link.receiver.return_credit(arrived.messages, arrived.frame_bytes)
        link.unacked_frames += 1
        self.is_stirred = True
        if arrived.is_waited_for or link.unacked_frames >= LAZY_ACK_CHANGES:
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
        """A life of `target` can be reached by `route`; generation 0 is whichever life answers there.

        Older generations than the one we know are ignored. After `Ended` a link stays closed until this is
        said again, be it of the same life; but where the peer asked for a new session, one is opened at once.
        """
        link = self._opened.get(target)
        if link is None or 0 < generation < max(link.generation, link.told_generation):
            return
        is_known = generation in (link.generation, link.told_generation) and route == link.route
        if link.state is not State.CLOSED and is_known:
            return
        if link.session:
            # The same life may still serve the session we give up, and keep for it what it sent us.
            self._control.append((route, link_frames.bye(link)))
        if link.state is State.OPEN:
            self._lose(link, "replaced", f"{target} is reached in another way")
        link.told_generation = generation
        link.route = route
        link.retry_ms = RETRY_MS_MIN // 2
        self._number_session(link)
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
            self._reset(link.route, (link.session, link.generation), ProtocolViolation.code, text)

    def unreachable(self, route: Route) -> None:
        """The shell found nobody at `route`: every session on it is over."""
        for link in [link for link in self._by_session.values() if link.route == route]:
            self._lose(link, "unreachable", "the connection is gone")

    def receive(self, route: Route, frame: bytes | memoryview, now_ms: int) -> None:
        """One frame from the wire. Never raises: the peer's mistakes end its session and are counted."""
        try:
            header = wire.unpack_header(frame)
            self.is_stirred = self.is_stirred or header.kind not in (Kind.PING, Kind.ACK)
            link = self._by_session.get(header.session)
            if header.kind == Kind.HELLO:
                self._hello(route, header, wire.unpack_hello(frame), now_ms)
            elif link is None or header.generation != link.generation:
                self._out_of_place(route, link, header, frame, now_ms)
            else:
                link.heard_ms = now_ms
                if not link.is_opener:
                    link.route = route
                self._dispatch(link, header, frame, now_ms)
        except ProtocolViolation as error:
            self._violation(route, frame, error)

    def tick(self, now_ms: int) -> None:
        """Time has passed: greet again, ask silent peers, acknowledge what was put off."""
        for link in list(self._by_session.values()):
            if link.unacked_frames:
                link.ack_due = True
                self._dirty[link] = None
            if now_ms < link.next_wake_ms:
                continue
            if link.state is State.OPEN:
                if link.ask(now_ms):
                    self._control.append((link.route, link_frames.ping(link)))
            else:
                link.retry_ms = min(link.retry_ms * 2, RETRY_MS_MAX)
                self._greet(link, now_ms)

    def due_ms(self, at_most_ms: int) -> int:
        """When the next `tick` has something to do, unless the links are stirred before."""
        return min([at_most_ms, *(link.next_wake_ms for link in self._by_session.values())])

    def flush(self, now_ms: int) -> list[tuple[Route, bytes]]:
        """Every frame that may leave now, one envelope per peer where it fits."""
        out = self._control
        self._control = []
        out += [(route, frame) for (route, _), frame in self._resets.items()]
        self._resets.clear()
        dirty = self._dirty
        self._dirty = {}
        for link in dirty:
            if link.state is not State.OPEN:
                continue
            frames = link.sender.frames_to_send()
            while link.unannounced and link.unannounced[0][0] <= link.sender.sent:
                self._settle(link, link.unannounced.popleft()[1])
            out += [(link.route, said) for said in link_frames.data(link, frames)]
            if frames:
                self.is_stirred = True
                link.next_wake_ms = min(link.next_wake_ms, now_ms + link.retry_ms)
                if not link.receiver.has_ranges:
                    link.owe_no_ack()
            if link.ack_due or link.pong is not None:
                out.append((link.route, link_frames.ack(link)))
                link.pong = None
                link.owe_no_ack()
            self._dirty.pop(link, None)  # Settling what had waited marked it again; all of that is said now.
        return out

    # ---- sessions ----

    def _number_session(self, link: Link) -> None:
        self._by_session.pop(link.session, None)
        link.number_session(self._random.getrandbits(63) | 1)
        link.generation = link.told_generation
        link.sender.restart()
        link.state = State.GREETING
        self._by_session[link.session] = link

    def _greet(self, link: Link, now_ms: int) -> None:
        self.is_stirred = True
        link.greeted_ms = now_ms
        link.next_wake_ms = now_ms + link.retry_ms
        self._control.append((link.route, link_frames.hello(link, self.identity)))

    def _hello(self, route: Route, header: Header, hello: wire.Hello, now_ms: int) -> None:
        own = self.identity.generation
        link = self._by_session.get(header.session)
        if header.session == 0 or (link is not None and link.is_opener):
            raise ProtocolViolation("a HELLO carries no session of its own")
        sender = (header.session, header.generation)
        if own == 0 or header.generation not in (0, own) or header.session in self._ended:
            self._reset(route, sender, wire.UNKNOWN_SESSION, f"not served in generation {own}")
            return
        if link is None:
            if self._served_count >= SERVED_MAX:
                self._reset(route, sender, NotDone.code, f"{SERVED_MAX} sessions are served, which is the limit")
                return
            link = self._serve(header.session, hello, now_ms)
            link.next_wake_ms = now_ms + self.limits.ping_interval_ms
        link.route = route
        link.heard_ms = now_ms
        self._control.append((route, link_frames.welcome(link, self.limits)))

    def _serve(self, session: int, hello: wire.Hello, now_ms: int) -> Link:
        link = Link(hello.target, is_opener=False, survives=False, limits=self.limits)
        link.serve(session, self.identity.generation, hello, now_ms)
        self._by_session[session] = link
        self._served_count += 1
        self.events.append(Opened(link))
        return link

    def _lose(self, link: Link, code: str, text: str, *, is_final: bool = False) -> None:
        self._forget_session(link)
        link.state = State.CLOSED
        abandoned = link.sender.abandon() if is_final or not link.survives else []
        self.events.append(Ended(link, code, text, abandoned))

    def _forget_session(self, link: Link) -> None:
        del self._by_session[link.session]
        self._dirty.pop(link, None)
        if not link.is_opener:
            self._served_count -= 1
            self._ended[link.session] = None
            if len(self._ended) > ENDED_REMEMBERED:
                del self._ended[next(iter(self._ended))]

    # ---- frames ----

    def _dispatch(self, link: Link, header: Header, frame: bytes | memoryview, now_ms: int) -> None:
        kind = header.kind
        if kind == Kind.DATA:
            self._data(link, header, frame)
            self._acknowledged(link, header, [], now_ms)
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
            self._welcomed(link, header.generation, wire.unpack_welcome(frame), now_ms)
        elif kind == Kind.RESET:
            self._was_reset(link, wire.unpack_reset(frame), now_ms)
        elif kind == Kind.BYE:
            self._acknowledged(link, header, wire.unpack_ranges(frame), now_ms)
            self._lose(link, "goodbye", "the peer closed the link")
        else:
            raise ProtocolViolation(f"a frame of kind {kind} does not belong here")

    def _out_of_place(
        self, route: Route, link: Link | None, header: Header, frame: bytes | memoryview, now_ms: int
    ) -> None:
        """A session or a life that is not ours. One end has forgotten it, and the other should."""
        if link is None or link.generation != 0:
            if header.kind == Kind.RESET and header.generation == 0 and link is not None:
                self._was_reset(link, wire.unpack_reset(frame), now_ms)
            elif header.kind not in (Kind.RESET, Kind.BYE):
                self._reset(
                    route, (header.session, header.generation), wire.UNKNOWN_SESSION, "no such session in this life"
                )
        elif header.kind == Kind.WELCOME:
            self._welcomed(link, header.generation, wire.unpack_welcome(frame), now_ms)
        # Whatever overtook the WELCOME is sent again once that has told us the generation.

    def _welcomed(self, link: Link, generation: int, welcome: wire.Welcome, now_ms: int) -> None:
        link.heard_ms = now_ms
        if link.state is not State.GREETING:
            return
        link.generation = generation
        link.state = State.OPEN
        link.limits = link.sender.limits = welcome.limits
        link.retry_ms = RETRY_MS_MIN
        link.next_wake_ms = now_ms + link.retry_ms
        self._dirty[link] = None
        self.events.append(Opened(link))

    def _was_reset(self, link: Link, reset: wire.Reset, now_ms: int) -> None:
        if not link.is_opener:
            self._lose(link, reset.code, reset.text)
        elif reset.code != wire.UNKNOWN_SESSION:
            self._lose(link, reset.code, reset.text, is_final=True)
        elif link.state is State.GREETING:
            self._number_session(link)  # The next tick that is due greets: never at the pace of the wire.
        else:
            self._lose(link, reset.code, reset.text)
            self._number_session(link)
            link.retry_ms = RETRY_MS_MIN // 2
            link.next_wake_ms = link.greeted_ms + RETRY_MS_MIN
            if now_ms >= link.next_wake_ms:
                self._greet(link, now_ms)

    def _data(self, link: Link, header: Header, frame: bytes | memoryview) -> None:
        if link.state is not State.OPEN:
            return
        accepted = link.receiver.accept(header.sequence)
        if accepted:
            messages = header.messages or 1
            link.unacked_frames += 1
            link.receiver.take_credit(messages, len(frame), link.limits)
            self.events.append(Arrived(link, header.sequence, wire.unpack_pieces(frame), len(frame), messages))
            return
        self._dirty[link] = None
        link.ack_due = True
        if accepted is None:
            link.pong = (FLAG_GAP, header.sequence)

    def _acknowledged(self, link: Link, header: Header, ranges: list[int], now_ms: int) -> None:
        sender = link.sender
        before = (sender.received, sender.bytes_in_flight)
        settled = (0, []) if link_frames.is_early(link, header) else (header.settled, ranges)
        contexts = sender.acknowledged(header.received, *settled)
        if (sender.received, sender.bytes_in_flight) == before:
            return
        self.is_stirred = True
        if contexts:
            self.events.append(Settled(link, contexts))
        link.retry_ms = RETRY_MS_MIN
        link.next_wake_ms = now_ms + link.retry_ms
        if sender.has_backlog:
            self._dirty[link] = None

    def _reset(self, route: Route, sender: tuple[int, int], code: str, text: str) -> None:
        """One per session and round, however many frames it answers."""
        self._resets[route, sender[0]] = link_frames.reset(*sender, code, text)

    def _violation(self, route: Route, frame: bytes | memoryview, error: ProtocolViolation) -> None:
        session, generation, kind = wire.glance(frame)
        link = self._by_session.get(session)
        if link is not None:
            self.violate(link, str(error))
            return
        self.violations += 1
        if kind not in (Kind.RESET, Kind.BYE):  # Two ends of different versions would never stop.
            self._reset(route, (session, generation), error.code, str(error))

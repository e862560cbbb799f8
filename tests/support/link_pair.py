"""Two ends of a link with a wire between them that loses nothing unless a test takes a frame off it.

It does not simulate ZeroMQ: frames arrive at once, in order, and each end has one route to the other. What a
wire does to them when it is unkind is in `tests/model/test_link_model.py`.
"""

from __future__ import annotations

import random
from typing import Any, Final, NamedTuple, final

from posthouse.transport import wire
from posthouse.transport.limits import Limits
from posthouse.transport.links import Arrived, Identity, Link, Links, State
from posthouse.transport.wire import Header, Kind

LIMITS: Final = Limits(window_messages=10, window_bytes=10_000, ping_interval_ms=500)
PIECE: Final = b"\x01"


class Said(NamedTuple):
    """A frame that an end wants to send."""

    route: Any
    header: Header
    frame: bytes

    @property
    def kind(self) -> Kind:
        return Kind(self.header.kind)


def said(links: Links, now_ms: int = 0) -> list[Said]:
    """What an end wants to send now; whoever asks has taken it off the wire."""
    return [Said(route, wire.unpack_header(frame), frame) for route, frame in links.flush(now_ms)]


def kinds(links: Links, now_ms: int = 0) -> list[Kind]:
    """The same, when only the kinds matter."""
    return [one.kind for one in said(links, now_ms)]


def state_of(link: Link) -> State:
    """The state now; a type checker believes that what it once saw of an attribute stays."""
    return link.state


def times_of_asking(links: Links, times: range) -> list[int]:
    """At which of these times the end has something to say, when nobody answers."""
    asked: list[int] = []
    for now_ms in times:
        links.tick(now_ms)
        if said(links, now_ms):
            asked.append(now_ms)
    return asked


def events(links: Links) -> list[Any]:
    """What happened since the last call."""
    taken, links.events = links.events, []
    return taken


def frame(kind: int, session: int, body: bytes = b"", **fields: int) -> bytes:
    """A frame as a peer of our own making would send it, of generation 3 where nothing else is said."""
    header = Header(kind, fields.pop("generation", 3), session, 0, 0, 0, 0, 0)
    return wire.pack_header(header._replace(**fields)) + body


@final
class Pair:
    """An opening end in a client, or with `client_id` 0 in an actor, and a serving end in generation 3."""

    def __init__(self, *, survives: bool = True, told: int = 3, limits: Limits = LIMITS, client_id: int = 7) -> None:
        self.opener = Links(Identity(0, client_id, "shop"), limits, random.Random(1))
        self.server = Links(Identity(3, 0, "queue:q"), limits, random.Random(2))
        self.link = self.opener.open("queue:q", survives=survives)
        self.opener.peer_up("queue:q", told, "to-server", 0)

    def pass_on(self, now_ms: int = 0, *, once: bool = False) -> list[Kind]:
        """Deliver until both fall silent; returns what was said."""
        passed: list[Kind] = []
        while True:
            outward, back = said(self.opener, now_ms), said(self.server, now_ms)
            for one in outward:
                self.server.receive("to-client", one.frame, now_ms)
            for one in back:
                self.opener.receive("to-server", one.frame, now_ms)
            passed += [one.kind for one in outward + back]
            if once or not outward + back:
                return passed

    def standing(self) -> Link:
        """Open the session; returns the serving end's link. Nothing is left to say or to handle."""
        self.pass_on()
        events(self.opener)
        events(self.server)
        (served,) = self.server.served
        return served

    def settle_all(self, links: Links, *, is_waited_for: bool = True) -> None:
        for event in events(links):
            if isinstance(event, Arrived):
                event.is_waited_for = is_waited_for
                links.settle(event)

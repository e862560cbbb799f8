"""What a link says: the frames of one link, each with the header that tells the peer where this end stands.

Pure, and without a decision: `links.py` knows when to say what.
"""

from __future__ import annotations

from posthouse.transport.limits import Limits
from posthouse.transport.link import Frame
from posthouse.transport.session import Identity, Link
from posthouse.transport.wire import (
    RESET_TEXT_CHARACTERS_MAX,
    SENT_MASK,
    Header,
    Hello,
    Kind,
    Reset,
    Welcome,
    pack_body,
    pack_header,
)


def hello(link: Link, identity: Identity) -> bytes:
    """Please open this session."""
    body = Hello(link.target, identity.client_id, identity.client_name, *identity.origin)
    return _header(link, Kind.HELLO) + pack_body(body)


def welcome(link: Link, limits: Limits) -> bytes:
    """It is open, within these limits."""
    return _header(link, Kind.WELCOME) + pack_body(Welcome(limits))


def reset(session: int, generation: int, code: str, text: str) -> bytes:
    """It is over, or never was. Carries the generation of the frame it answers."""
    body = pack_body(Reset(code, text[:RESET_TEXT_CHARACTERS_MAX]))
    return pack_header(Header(Kind.RESET, generation, session, 0, 0, 0, 0, 0)) + body


def data(link: Link, frames: list[Frame]) -> list[bytes]:
    """Messages. The headers also carry what we acknowledge of the other direction.

    Only the last frame tells what is settled. One before it, be it sent for the first time or again, may arrive
    where the last is lost, and does not hold all that was said before the word.
    """
    receiver = link.receiver
    sealed: list[bytes] = []
    for place, frame in enumerate(frames, start=1):
        settled = receiver.settled if place == len(frames) else 0
        header = (link.generation, link.session, frame.sequence, receiver.received, settled, frame.messages, 0)
        sealed.append(frame.seal(pack_header(Header(Kind.DATA, *header))))
    return sealed


def is_early(link: Link, header: Header) -> bool:
    """What the peer says it settled counts only behind everything it said before; some of that is still missing."""
    received = link.receiver.received
    if header.kind == Kind.DATA:
        return header.sequence > received
    return 0 < (header.messages - received) & SENT_MASK < SENT_MASK // 2


def ack(link: Link) -> bytes:
    """What we received and settled, and the answer to a PING or the report of a gap where one is due."""
    flags, sequence = link.pong or (0, 0)
    return _header(link, Kind.ACK, sequence, flags) + _ranges(link)


def ping(link: Link) -> bytes:
    """Who is there, and what has arrived of our frames up to this one?"""
    return _header(link, Kind.PING, link.sender.last_sequence)


def bye(link: Link) -> bytes:
    """The session is over for us; this is the last we settled in it."""
    return _header(link, Kind.BYE) + _ranges(link)


def _header(link: Link, kind: Kind, sequence: int = 0, flags: int = 0) -> bytes:
    received, settled = link.receiver.received, link.receiver.settled
    sent = link.sender.last_sequence & SENT_MASK
    return pack_header(Header(kind, link.generation, link.session, sequence, received, settled, sent, flags))


def _ranges(link: Link) -> bytes:
    return pack_body(link.receiver.ranges()) if link.receiver.has_ranges else b""

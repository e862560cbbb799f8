"""One link as it stands: which session, with whom, in which state; and everything that can happen to it.

Records for `links.py`, which alone changes them, and for the actors and clients that read them. It promises
nothing by itself and must not know frames or time.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Hashable
from typing import Any, NamedTuple, final

import msgspec

from posthouse.transport.limits import Limits
from posthouse.transport.link import RETRY_MS_MAX, RETRY_MS_MIN, Receiver, Sender
from posthouse.transport.wire import Hello

Route = Hashable
"""How the shell finds a connection; any value it likes."""


class State(enum.Enum):
    """Of the opening end: nobody there, asked, or talking. A serving end is open from birth."""

    CLOSED = "closed"
    GREETING = "greeting"
    OPEN = "open"


class Origin(NamedTuple):
    """Which process we are, for people: its program, its host, its number there."""

    program: str = ""
    host: str = ""
    pid: int = 0


class Identity(NamedTuple):
    """Who we are to those we open links with, and the life in which we serve others (0: we serve nobody)."""

    generation: int
    client_id: int
    client_name: str
    origin: Origin = Origin()


@final
class Link:
    """One session with one peer. Made by `Links`; others only read it.

    `generation` is the life of the serving end; an opening end that was told 0 learns it from the WELCOME.
    `unannounced` holds what was settled and must not be told yet: something said before is still to be sent.
    `unacked_frames` counts what the peer has not been told: frames received and frames settled.
    """

    __slots__ = (
        "ack_due", "client_id", "client_name", "generation", "greeted_ms", "heard_ms", "hello", "is_opener",
        "limits", "next_wake_ms", "opened_ms", "pong", "receiver", "retry_ms", "route", "sender", "session", "state",
        "survives", "target", "told_generation", "unacked_frames", "unannounced",
    )  # fmt: skip

    def __init__(self, target: str, *, is_opener: bool, survives: bool, limits: Limits) -> None:
        self.target = target
        self.is_opener = is_opener
        self.survives = survives
        self.limits = limits
        self.state = State.CLOSED
        self.generation = 0
        self.told_generation = 0
        self.route: Route | None = None
        self.client_id = 0
        self.client_name = ""
        self.hello: Hello | None = None
        self.opened_ms = 0
        self.sender = Sender(limits)
        self.heard_ms = 0
        self.greeted_ms = 0
        self.retry_ms = RETRY_MS_MIN
        self.next_wake_ms = 0
        self.number_session(0)

    def serve(self, session: int, generation: int, hello: Hello, now_ms: int) -> None:
        """Somebody greeted us: this is the serving end of his session, open from now on."""
        self.session, self.generation = session, generation
        self.client_id, self.client_name = hello.client_id, hello.client_name
        self.hello, self.opened_ms = hello, now_ms
        self.state = State.OPEN

    def owe_no_ack(self) -> None:
        """The peer has been told everything."""
        self.ack_due = False
        self.unacked_frames = 0

    def ask(self, now_ms: int) -> bool:
        """No progress for a while: is it time for a PING? When the next question comes is set either way.

        In an idle session the serving end, which owns the state, asks first: one PING per interval, not two.
        """
        sender = self.sender
        wait_ms = self.limits.ping_interval_ms
        if sender.is_waiting_for_receipt:
            wait_ms = min(self.retry_ms, wait_ms)
            self.retry_ms = min(self.retry_ms * 2, RETRY_MS_MAX)
        elif not sender.has_in_flight:
            wait_ms += wait_ms // 2 if self.is_opener else 0
            if now_ms - self.heard_ms < wait_ms:
                self.next_wake_ms = self.heard_ms + wait_ms
                return False
        self.next_wake_ms = now_ms + wait_ms
        return True

    def number_session(self, session: int) -> None:
        """Begin a session that nothing was received in and nothing is owed in."""
        self.session = session
        self.receiver = Receiver()
        self.unannounced: deque[tuple[int, Arrived]] = deque()
        self.pong: tuple[int, int] | None = None
        self.owe_no_ack()


class Opened(NamedTuple):
    """A session stands, and the other side remembers nothing of an earlier one."""

    link: Link


class Ended(NamedTuple):
    """`abandoned`: contexts that were offered and never settled, when nobody will send them again."""

    link: Link
    code: str
    text: str
    abandoned: list[Any]


class Settled(NamedTuple):
    """The peer has taken responsibility for these."""

    link: Link
    contexts: list[Any]


@final
class Arrived:
    """A DATA frame in its order. It is settled when whoever handles it has let go of every hold on it."""

    __slots__ = ("frame_bytes", "holds", "is_waited_for", "link", "messages", "pieces", "sequence", "session")

    def __init__(
        self, link: Link, sequence: int, pieces: list[msgspec.Raw], frame_bytes: int, messages: int = 1
    ) -> None:
        self.link = link
        self.session = link.session
        self.sequence = sequence
        self.pieces = pieces
        self.frame_bytes = frame_bytes
        self.messages = messages
        self.holds = 0
        self.is_waited_for = False


Event = Opened | Ended | Arrived | Settled

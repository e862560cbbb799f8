"""What an actor is, and what it may ask for.

An actor is the thin part around a core: it decodes nothing, opens nothing and reads no clock. A cell (`cell.py`)
feeds it and gives it a `Context`; the same actor runs in its own process over ZeroMQ, in a test, and in the
simulator. Everything an actor sends in a round leaves only after what it appended to its journal in that round is
durable: an actor need not, and cannot, think about it.
"""

from __future__ import annotations

import random
from typing import Any, Protocol

import msgspec

from posthouse.supervisor import control_messages as control
from posthouse.supervisor.disk import Buffer
from posthouse.supervisor.journal import Journal
from posthouse.supervisor.meter import Meter
from posthouse.transport.limits import Limits
from posthouse.transport.links import Arrived, Link
from posthouse.transport.messages import Message
from posthouse.transport.messages_sessions import SessionInfo


class Context(Protocol):
    """What an actor may ask of the cell it lives in."""

    actor_id: str
    generation: int
    limits: Limits
    random: random.Random
    wall_ms: int
    """Milliseconds since the epoch, read once per round."""
    monotonic_ms: int
    """Milliseconds of a clock that never steps, read once per round."""
    monotonic_us: int
    """The same clock in microseconds, for figures only."""
    meter: Meter
    """The actor's page of figures; `measures` says which word is what."""

    @property
    def journal(self) -> Journal:
        """The actor's journal, open and recovered."""

    def append(self, kind: int, *parts: Buffer, is_durable: bool = True) -> int:
        """Append to the journal. With `is_durable` this round's words wait for the sync; else only for the write."""

    def connect(self, actor_id: str, *, survives: bool = True) -> Link:
        """The link to another actor, whatever life it is in."""

    def disconnect(self, link: Link) -> list[Any]:
        """Forget a link; returns the contexts nobody settled."""

    def send(self, link: Link, message: Message, *, context: Any = None) -> None:
        """Say one thing to a peer."""

    def forward(self, link: Link, raw: msgspec.Raw | bytes, size: int, messages: int, context: Any) -> None:
        """Pass an encoded batch on as it is."""

    def reply(self, link: Link, request: int, result: Any) -> None:
        """Answer a request."""

    def refuse(self, link: Link, request: int, error: Exception) -> None:
        """Answer a request with the reason why not. `error` is one of ours."""

    def hold(self, arrived: Arrived) -> None:
        """Do not settle this frame yet."""

    def release(self, arrived: Arrived) -> None:
        """Let go of one hold."""

    def sessions(self) -> list[SessionInfo]:
        """The sessions that clients have with this actor."""

    def is_congested(self, link: Link) -> bool:
        """So much waits for this peer that nothing more should be given to it now."""

    def set_timer(self, key: str, due_ms: int) -> None:
        """Call `wake(key)` at this monotonic time; a later call for the same key replaces it."""

    def rest_between_timers(self) -> None:
        """There is a timer for everything this actor waits for: without news it needs no round ten times a second."""

    def tell_supervisor(self, message: control.FromChild) -> None:
        """Ask the supervisor for something; the order leaves when this round is durable."""


class Actor(Protocol):
    """The handlers of an actor. None of them blocks; all of them run in one thread, one after the other."""

    def start(self) -> None:
        """Rebuild the state from the journal. After it returns the actor is ready."""

    def receive(self, arrived: Arrived, message: Message, raw: msgspec.Raw) -> None:
        """One message from a peer. Raises ProtocolViolation for what no correct peer sends."""

    def link_opened(self, link: Link) -> None:
        """A session stands, with a peer that remembers nothing of an earlier one."""

    def link_ended(self, link: Link, abandoned: list[Any]) -> None:
        """A session is over."""

    def settled(self, link: Link, contexts: list[Any]) -> None:
        """A peer took responsibility for what was sent with these contexts."""

    def wake(self, key: str) -> None:
        """A timer is due."""

    def noticed(self, message: control.FromSupervisor) -> None:
        """The supervisor said something."""

    def finish_round(self) -> None:
        """Every event of this round was handed over: append and send what follows from them."""

    def measure(self, meter: Meter) -> None:
        """Once a second: write down the figures that are not counted as they happen."""

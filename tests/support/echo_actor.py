"""A scripted actor for tests of the cell: it journals what it is asked to and remembers every call.

It is told what to do by messages that mean something else elsewhere: `Purge` is journaled and answered, `Peek` is
answered and journaled without a sync, `Get` is held unsettled, `QueueStatus` is refused, `Cancel` starts a timer.
"""

from __future__ import annotations

from typing import Any, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.meter import Meter
from posthouse.transport.errors import ProtocolViolation, UnknownQueue
from posthouse.transport.links import Arrived, Link
from posthouse.transport.messages import Batch, Cancel, Get, Message, Peek, Purge, QueueStatus

KIND = 1


@final
class EchoActor:
    """Does what it is told and keeps a diary."""

    def __init__(self, context: Context, peers: tuple[str, ...] = ()) -> None:
        self.context = context
        self.diary: list[tuple[str, Any]] = []
        self.held: list[Arrived] = []
        self.links = [context.connect(peer) for peer in peers]

    def start(self) -> None:
        self.diary.append(("start", None))

    def receive(self, arrived: Arrived, message: Message, raw: msgspec.Raw) -> None:
        self.diary.append(("receive", message))
        match message:
            case Purge(request):
                self.context.append(KIND, b"a record")
                self.context.tell_supervisor(control.Announce(f"request {request}"))
                self.context.reply(arrived.link, request, "durable")
            case Peek(request):
                self.context.append(KIND, b"a record", is_durable=False)
                self.context.reply(arrived.link, request, "written")
            case Get():
                self.context.hold(arrived)
                self.held.append(arrived)
            case QueueStatus():
                raise UnknownQueue("there is no such thing")
            case Cancel(_, consumer):
                self.context.set_timer("alarm", self.context.monotonic_ms + consumer)
            case Batch():
                raise UnknownQueue("a batch has no request to answer")
            case _:
                raise ProtocolViolation("that is no message for an echo")

    def link_opened(self, link: Link) -> None:
        self.diary.append(("opened", link))

    def link_ended(self, link: Link, abandoned: list[Any]) -> None:
        self.diary.append(("ended", abandoned))

    def settled(self, link: Link, contexts: list[Any]) -> None:
        self.diary.append(("settled", contexts))

    def wake(self, key: str) -> None:
        self.diary.append(("wake", key))

    def noticed(self, message: control.FromSupervisor) -> None:
        self.diary.append(("noticed", message))

    def finish_round(self) -> None:
        """Nothing to add."""

    def measure(self, meter: Meter) -> None:
        self.diary.append(("measure", None))

    def of(self, kind: str) -> list[Any]:
        """What the diary says about one kind of event."""
        return [value for name, value in self.diary if name == kind]

"""The exchange actor: routes batches to queues and answers publishers when every queue has them.

It owns what is on its way and what it holds for queues to come (`holding.py`): topology comes from the registry,
messages belong to the publisher until each queue on the route has settled them. A queue that restarts is the link's
business: it sends again what was not settled.

Fails with: DiskFault (its journal, where it holds messages); an assertion is ours, and publishers send again to the
next life.
"""

from __future__ import annotations

import shlex
from typing import Any, TypeGuard, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.death_headers import deaths_of, is_cycle
from posthouse.actors.declaration import may_hold
from posthouse.actors.held_moves import Direct, Onward
from posthouse.actors.held_requests import answer
from posthouse.actors.holding import Holding, HoldLimits
from posthouse.actors.receipts import Pending, Receipts
from posthouse.actors.reply_paths import ReplyPaths
from posthouse.actors.routing import Router
from posthouse.actors.topology import Topology
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.meter import Meter
from posthouse.transport import messages
from posthouse.transport.batch import (
    check_batch,
    check_readable,
    deadline_of,
    due_of,
    durability_of,
    headers_of,
    is_reply,
)
from posthouse.transport.errors import (
    ActorDown,
    InvalidArgument,
    NoResponders,
    PreconditionFailed,
    ProtocolViolation,
    Refused,
    Unavailable,
    UnknownExchange,
    Unroutable,
)
from posthouse.transport.links import Arrived, Link
from posthouse.transport.messages import (
    Batch,
    Durability,
    ExchangeSpec,
    Message,
    Receipt,
    StoreNote,
    TopologyChange,
    WatchTopology,
)
from posthouse.transport.messages_calls import ReceiveReplies, ReplyStatus
from posthouse.transport.messages_dead import Republish
from posthouse.transport.messages_delay import Scheduled
from posthouse.transport.messages_sessions import ListSessions
from posthouse.transport.names import DEAD_LETTER, DELAY, EVENTS, MONITOR, REGISTRY, actor_of_queue


@final
class ExchangeActor:
    """One exchange. Its name is "" for the default exchange."""

    def __init__(self, context: Context, spec: ExchangeSpec, limits: HoldLimits | None = None) -> None:
        self._context = context
        self._spec = spec
        self._name = name = spec.name
        self._topology = Topology()
        self._router = Router(self._topology, name)
        self._is_informed = False
        self._quarantined: dict[str, str] = {}
        self._early: list[tuple[Arrived, Batch, msgspec.Raw, Republish | None]] = []
        self._queues: dict[str, Link] = {}
        self._queue_of: dict[Link, str] = {}
        self._receipts = Receipts(context)
        self._delay: Link | None = None
        self._replies = ReplyPaths() if not name else None
        self._registry = context.connect(REGISTRY, survives=False)
        self._holding: Holding | None = None
        if may_hold(spec):
            self._holding = Holding(context, spec, limits or HoldLimits(), self._link_to)
        self.dropped = 0

    def start(self) -> None:
        """The registry tells the topology when the link opens; only what is held is rebuilt."""
        if self._holding is not None:
            self._holding.start()

    def receive(self, arrived: Arrived, message: Message, raw: msgspec.Raw) -> None:
        link = arrived.link
        if type(message) is Batch:
            self._take(arrived, message, raw)
        elif isinstance(message, StoreNote | Scheduled):
            self._note(link, message)
        elif isinstance(message, TopologyChange) and link is self._registry:
            self._apply(message)
        elif type(message) is Republish:
            batch = messages.decode(message.batch)
            if not isinstance(batch, Batch) or arrived.link.client_name != DEAD_LETTER:
                raise ProtocolViolation("a Republish comes from the dead letters and carries a Batch")
            self._take(arrived, batch, message.batch, message)
        elif isinstance(message, ReceiveReplies | ReplyStatus) and self._replies is not None:
            self._look_after_replies(self._replies, link, message)
        elif isinstance(message, ListSessions):
            self._context.reply(link, message.request, self._context.sessions())
        elif not answer(self._context, link, message, self._spec, self._holding, self._router, self._topology):
            raise ProtocolViolation(f"an exchange does not understand {type(message).__name__}")

    def link_opened(self, link: Link) -> None:
        if link is self._registry:
            if self._holding is not None:
                self._holding.is_closing = False  # A registry that had begun to delete this exchange is gone.
            self._context.send(link, WatchTopology(1))

    def link_ended(self, link: Link, abandoned: list[Any]) -> None:
        """A publisher that left gets no receipts; its batches go on to their queues. A caller gets no replies."""
        if self._replies is not None:
            self._replies.close(link)
        queue = self._queue_of.get(link)
        if queue is not None:
            self._receipts.interrupted(queue)
        if self._holding is not None and abandoned:
            self._holding.moves.lost(context for context in abandoned if type(context) is Onward)

    def settled(self, link: Link, contexts: list[Any]) -> None:
        receipts = self._receipts
        for pending in contexts:
            if type(pending) is Onward:
                assert self._holding is not None
                self._holding.moves.settled(pending)
            else:
                receipts.settled(pending)

    def wake(self, key: str) -> None:
        assert self._holding is not None, f"an exchange has no timer {key}"
        self._holding.wake(key)

    def noticed(self, message: control.FromSupervisor) -> None:
        """Which queues live is the links' business, except for those that will not live again by themselves."""
        if isinstance(message, control.Up):
            self._quarantined.pop(message.id, None)
        elif _is_quarantine(message) and message.id not in self._quarantined:
            self._quarantined[message.id] = message.reason
            if message.id == DELAY:
                self._give_up_delay()
            else:
                self._give_up(message.id)

    def finish_round(self) -> None:
        if self._holding is not None:
            self._holding.finish_round(self._router, self._topology)
        self._receipts.send()

    def measure(self, meter: Meter) -> None:
        """What is counted as it happens is on the page already."""

    # ---- publishing ----

    def _take(self, arrived: Arrived, batch: Batch, raw: msgspec.Raw, move: Republish | None = None) -> None:
        if self._is_informed:
            self._publish(arrived, batch, raw, move)
        else:
            self._context.hold(arrived)
            self._early.append((arrived, batch, raw, move))

    def _publish(self, arrived: Arrived, batch: Batch, raw: msgspec.Raw, move: Republish | None = None) -> None:
        """`move`: it comes out of the dead letters, and finds a queue or is refused."""
        if self._receipts.is_repeat(arrived, batch):
            return
        try:
            self._check(arrived.link, batch, move)
            if batch.options is not None and batch.options.deliver_at_ms is not None:
                self._schedule(arrived, batch, raw)
                return
            if self._replies is not None and is_reply(batch):
                self._pass_back(self._replies, arrived, batch, raw)
                return
            pending = self._route(arrived, batch, raw) if move is None else self._route_move(arrived, batch, move)
        except (Refused, Unavailable) as error:
            receipt = Receipt(batch.stream, batch.first_seq, batch.count, code=error.code, text=str(error))
            self._context.send(arrived.link, receipt)
            return
        self._receipts.owe(pending)
        size = len(memoryview(raw))
        holding = self._holding if self._holding is not None and self._holding.state.leaving else None
        for queue in pending.queues:
            link = self._link_to(queue)
            if holding is not None and holding.moves.must_wait(queue):
                holding.moves.wait(queue, Direct(raw, size, batch.count, pending))
            else:
                self._context.forward(link, raw, size, batch.count, pending)

    def _schedule(self, arrived: Arrived, batch: Batch, raw: msgspec.Raw) -> None:
        """The scheduler keeps it and publishes it here when it is due; only then is it decided where it goes."""
        due_of(batch)
        if DELAY in self._quarantined:
            raise ActorDown(f"the delay scheduler is quarantined: {self._quarantined[DELAY]}; nothing was stored")
        if self._delay is None:
            self._delay = self._context.connect(DELAY)
        pending = Pending(arrived, batch, (), durability_of(batch))
        pending.remaining = 1
        self._receipts.owe(pending)
        self._context.forward(self._delay, raw, len(memoryview(raw)), batch.count, pending)

    def _check(self, link: Link, batch: Batch, move: Republish | None) -> None:
        check_batch(batch, self._context.limits)
        check_readable(batch)
        if batch.exchange != self._name:
            raise InvalidArgument(f"this is exchange {self._name!r}, the message is for {batch.exchange!r}")
        spec = self._topology.exchanges.get(self._name)
        if spec is None:
            raise UnknownExchange(f"exchange {self._name!r} has just been deleted")
        is_own = self._name == EVENTS and link.client_name == MONITOR and not link.client_id
        if spec.internal and move is None and not is_own:
            raise PreconditionFailed(f"exchange {self._name!r} is internal: publish to an exchange that is bound to it")

    def _route(self, arrived: Arrived, batch: Batch, raw: msgspec.Raw) -> Pending:
        holding = self._holding
        if holding is not None and holding.has_seen(batch):
            durability = durability_of(batch) if holding.is_durable else Durability.MEMORY
            return Pending(arrived, batch, (), durability, is_held=self._spec.unrouted != "dead-letter")
        route = self._router.route_raw(batch.routing_key, batch.headers)
        if route.queues:
            return self._to_queues(arrived, batch, route.queues)
        if deadline_of(batch) is not None:
            raise NoResponders(f"exchange {self._name!r} has no queue for routing key {batch.routing_key!r}")
        if route.fallback == "drop":
            self.dropped += batch.count
            return Pending(arrived, batch, (), durability_of(batch))
        if route.fallback == "return" or holding is None:
            raise Unroutable(_nobody(self._name, batch.routing_key))
        is_held = route.fallback == "hold"
        return Pending(arrived, batch, (), holding.take(batch, raw, at_once=not is_held), is_held=is_held)

    def _route_move(self, arrived: Arrived, batch: Batch, move: Republish) -> Pending:
        """Where dead letters go; the store keeps what is refused. Raises Unroutable."""
        queues = self._router.route_raw(batch.routing_key, batch.headers).queues
        deaths = deaths_of(headers_of(batch)) if move.no_cycles else []
        left = tuple(queue for queue in queues if not is_cycle(queue, deaths))
        if left:
            return self._to_queues(arrived, batch, left)
        if queues:
            raise Unroutable(f"it would go in a circle: it died in {queues[0]!r} before, and nobody rejected it since")
        raise Unroutable(f"exchange {self._name!r} has no queue for routing key {batch.routing_key!r}")

    def _to_queues(self, arrived: Arrived, batch: Batch, queues: tuple[str, ...]) -> Pending:
        for queue in queues if self._quarantined else ():
            reason = self._quarantined.get(actor_of_queue(queue))
            if reason is not None:
                raise ActorDown(f"queue {queue!r} is quarantined: {reason}; nothing was stored, see `posthouse tree`")
        durability, specs = durability_of(batch), self._topology.queues
        if durability and not all(specs[queue].durable for queue in queues):
            durability = Durability.MEMORY
        return Pending(arrived, batch, queues, durability)

    def _note(self, link: Link, note: StoreNote | Scheduled) -> None:
        if isinstance(note, StoreNote) and self._holding is not None and self._holding.moves.noted(note):
            return
        if link not in self._queue_of and link is not self._delay:
            raise ProtocolViolation(f"an exchange does not understand {type(note).__name__} of whom it sent nothing")
        self._receipts.note(note, self._queue_of.get(link, ""))

    # ---- replies of calls ----

    def _look_after_replies(self, replies: ReplyPaths, link: Link, message: ReceiveReplies | ReplyStatus) -> None:
        if isinstance(message, ReceiveReplies):
            replies.open(link)
            self._context.reply(link, message.request, None)
        else:
            self._context.reply(link, message.request, replies.counts())

    def _pass_back(self, replies: ReplyPaths, arrived: Arrived, batch: Batch, raw: msgspec.Raw) -> None:
        """To its caller, or nowhere; whoever sent it is done with it either way."""
        link = replies.find(batch, self._context.is_congested)
        if link is not None:
            self._context.forward(link, raw, len(memoryview(raw)), batch.count, None)
        self._receipts.owe(Pending(arrived, batch, (), Durability.MEMORY))

    # ---- topology ----

    def _apply(self, change: TopologyChange) -> None:
        before = self._topology.queues if change.is_snapshot else {}
        if change.is_snapshot:
            self._topology = Topology()
            self._router = Router(self._topology, self._name)
        self._topology.apply(change)
        may_differ = self._router.refresh() or change.is_snapshot
        now = self._topology.queues
        for queue in list(self._queues):
            # The registry may have come back with another queue of the same name.
            if queue not in now or (
                change.is_snapshot and queue in before and before[queue].serial != now[queue].serial
            ):
                self._drop_queue(queue)
        if self._name not in self._topology.exchanges:
            return
        if self._holding is not None:
            self._holding.learn(self._router, self._topology, may_differ=may_differ)
        if not self._is_informed:
            self._is_informed = True
            early, self._early = self._early, []
            for arrived, batch, raw, move in early:
                self._publish(arrived, batch, raw, move)
                self._context.release(arrived)

    def _link_to(self, queue: str) -> Link:
        return self._queues.get(queue) or self._queue_link(queue)

    def _queue_link(self, queue: str) -> Link:
        link = self._queues[queue] = self._context.connect(actor_of_queue(queue))
        self._queue_of[link] = queue
        return link

    def _give_up(self, actor: str) -> None:
        """What is on its way to a quarantined queue is answered now; what other queues have of it, they keep."""
        for queue, link in list(self._queues.items()):
            if link.target == actor:
                text = f"queue {queue!r} was quarantined; other queues on the route may hold the message"
                for pending in self._unsettled(queue, link):
                    self._receipts.refused(pending, ActorDown.code, text)
                del self._queue_of[link]
                self._queue_link(queue)

    def _give_up_delay(self) -> None:
        """The scheduler will not live again by itself: its batches are refused, and publishers may try again."""
        if self._delay is not None:
            for pending in self._context.disconnect(self._delay):
                self._receipts.refused(pending, ActorDown.code, "the delay scheduler was quarantined meanwhile")
            self._delay = self._context.connect(DELAY)

    def _drop_queue(self, queue: str) -> None:
        """The queue was deleted: what was on its way to it counts as having reached the others only."""
        link = self._queues.pop(queue)
        del self._queue_of[link]
        for pending in self._unsettled(queue, link):
            pending.queues = tuple(name for name in pending.queues if name != queue)
            self.settled(link, [pending])

    def _unsettled(self, queue: str, link: Link) -> list[Pending]:
        """The link is closed: the batches that were on their way. What was held before goes back to where it was."""
        contexts = self._context.disconnect(link)
        if self._holding is None:
            return contexts
        self._holding.moves.lost(context for context in contexts if type(context) is Onward)
        contexts = [context for context in contexts if type(context) is not Onward]
        return contexts + self._holding.moves.give_up(queue)


def _nobody(exchange: str, routing_key: str) -> str:
    """Why a message is returned, and where to look."""
    if not exchange:
        return f"no queue is named {routing_key!r}, and the default exchange '' routes by name; declare the queue first"
    command = f"posthouse explain {shlex.quote(exchange)} --key {shlex.quote(routing_key)}"
    return f"exchange {exchange!r} has no queue for routing key {routing_key!r}; `{command}` shows why"


def _is_quarantine(message: control.FromSupervisor) -> TypeGuard[control.Down]:
    return isinstance(message, control.Down) and message.state == "quarantined"

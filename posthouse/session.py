"""A client's side of everything, without a socket or a clock: links, directory, requests, streams, subscriptions.

The shells (`client.py`, `aio.py`) and the simulator drive the same code: frames and time in, frames out. It survives
restarts of the broker: a new life of an actor gets its unconfirmed batches again, its consumers are opened again, its
unanswered requests are asked again.

Routes: directly to each actor over ipc, or all of them through one door over tcp; only `_route_of` knows which.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Final, final

import msgspec

from posthouse.asking import Call
from posthouse.replies import Replies
from posthouse.stream import Stream, is_decided
from posthouse.subscription import Subscription, nobody
from posthouse.transport import messages
from posthouse.transport.errors import ActorDown as ActorIsDown
from posthouse.transport.errors import (
    OutcomeUnknown,
    PosthouseError,
    ProtocolViolation,
    Refused,
    UnknownExchange,
    UnknownQueue,
    from_wire,
)
from posthouse.transport.limits import Limits
from posthouse.transport.links import Arrived, Ended, Identity, Link, Links, Opened, Route
from posthouse.transport.messages import (
    NIL,
    ActorDown,
    ActorUp,
    Batch,
    Cancel,
    ConsumerCancelled,
    Deliver,
    Failed,
    Locate,
    Message,
    Receipt,
    Reply,
)
from posthouse.transport.messages_calls import ReceiveReplies
from posthouse.transport.names import REGISTRY, actor_of_exchange, actor_of_queue
from posthouse.transport.session import Origin, State

DEFAULT_EXCHANGE: Final = actor_of_exchange("")
DOOR_ROUTE: Final = b"door"
_NOTHING_THERE: Final = ("unknown_queue", "unknown_exchange", "unknown_binding", "unknown_delayed")
TICK_MS: Final = 100
UNSAID: Final = Origin()


@final
class Session:
    """One client of one broker."""

    def __init__(
        self,
        name: str,
        *,
        limits: Limits,
        source: random.Random,
        wall_ms: Callable[[], int],
        is_behind_door: bool,
        origin: Origin = UNSAID,
        left_behind: Callable[[], None] = nobody,
    ) -> None:
        self.limits = limits
        self.client_id = source.getrandbits(62) | 1
        self.links = Links(Identity(0, self.client_id, name, origin), limits, source)
        self.to_connect: list[tuple[bytes, str]] = []
        self.to_disconnect: list[bytes] = []
        self._random = source
        self._wall_ms = wall_ms
        self._is_behind_door = is_behind_door
        self._new_subscription = partial(Subscription, left_behind=left_behind)
        self._routes: dict[str, bytes] = {}
        self._calls: dict[int, Call] = {}
        self._streams: dict[int, Stream] = {}
        self._subscriptions: dict[tuple[str, int], Subscription] = {}
        self._gotten: dict[str, Subscription] = {}
        self._last_number = 0
        self._next_tick_ms = 0
        self._listening: Call | None = None
        self.replies = Replies(self.client_id)
        self.registry = self.links.open(REGISTRY, survives=False)

    # ---- facts ----

    def registry_at(self, generation: int, endpoint: str, now_ms: int) -> None:
        """The registry's life is known. Behind a door, generation 0: whichever answers."""
        self._reach(REGISTRY, generation, endpoint, now_ms)

    def frame(self, route: Route, frame: bytes | memoryview, now_ms: int) -> None:
        self.links.receive(route, frame, now_ms)
        if self.links.events:
            self._handle_events(now_ms)

    def disconnected(self, route: bytes) -> None:
        """A connection broke."""
        self.links.unreachable(route)
        self._handle_events(0)

    def tick(self, now_ms: int) -> None:
        """Time has passed. Cheap to call often."""
        if now_ms >= self._next_tick_ms:
            self._next_tick_ms = now_ms + TICK_MS
            self.links.tick(now_ms)
            self._handle_events(now_ms)

    def flush(self, now_ms: int) -> list[tuple[Route, bytes]]:
        """Settlements and everything else that may leave now."""
        for subscription in self._subscriptions.values():
            if subscription.has_settlements:
                self._settle(subscription)
        for subscription in self._gotten.values():
            if subscription.has_settlements:
                self._settle(subscription)
        return self.links.flush(now_ms)

    # ---- requests ----

    def call(self, target: str, make: Callable[[int], Message], *, is_removal: bool = False) -> Call:
        """Ask an actor; `make` gets the request's number. The call is done when it says so.

        It is asked again in every new session until it is answered. A removal that finds nothing when it is asked
        again has been carried out the first time.
        """
        call = Call(self._number(), target, make, is_removal)
        self._calls[call.number] = call
        is_known = self.links.is_open(target)
        link = self._link(target)
        if link.state is State.OPEN:
            self._ask(link, call)
        elif is_known and link is not self.registry:
            # That it is in quarantine may have been told before this was asked, and is not told twice.
            self._locate(target)
        return call

    def _ask(self, link: Link, call: Call) -> None:
        call.times_asked += 1
        self._send(link, call.make(call.number))

    def forget(self, call: Call) -> None:
        """Its deadline passed."""
        self._calls.pop(call.number, None)

    # ---- publishing ----

    def stream(self, exchange: str) -> Stream:
        """A new stream to an exchange."""
        link = self._link(actor_of_exchange(exchange))

        def forward(encoded: bytes, count: int) -> None:
            self.links.send(link, encoded, len(encoded), count)

        stream = Stream(self._random.getrandbits(62) | 1, exchange, forward, self._wall_ms)
        self._streams[stream.number] = stream
        return stream

    def streams(self) -> list[Stream]:
        """Streams that are in use."""
        return list(self._streams.values())

    def drop_stream(self, stream: Stream) -> None:
        self._streams.pop(stream.number, None)

    @property
    def is_settled(self) -> bool:
        """Nothing published is unconfirmed and nothing waits to be sent."""
        quiet = all(stream.is_quiet and not stream.has_open_batch for stream in self._streams.values())
        settling = (*self._subscriptions.values(), *self._gotten.values())
        quiet = quiet and not any(one.has_settlements for one in settling)
        return quiet and all(not link.sender.has_backlog for link in self.links.all_opened())

    # ---- replies ----

    def listen(self) -> Call:
        """Have replies passed to this client, in this session with the default exchange and in all later ones."""
        if self._listening is None or self._listening.error is not None:
            self._listening = self.call(DEFAULT_EXCHANGE, ReceiveReplies)
        return self._listening

    # ---- consuming ----

    def subscribe(self, queue: str, prefetch: int, *, auto_ack: bool, exclusive: bool) -> tuple[Subscription, Call]:
        """Open a consumer; it is open when the call is done."""
        subscription = self._new_subscription(queue, self._number(), prefetch, auto_ack=auto_ack, exclusive=exclusive)
        self._subscriptions[queue, subscription.number] = subscription
        call = self.call(actor_of_queue(queue), subscription.open)
        return subscription, call

    def unsubscribe(self, subscription: Subscription) -> Call:
        """Close a consumer after its settlements; what it has not settled returns to the queue."""
        self._settle(subscription)
        subscription.ready.clear()
        self._subscriptions.pop((subscription.queue, subscription.number), None)
        return self.call(actor_of_queue(subscription.queue), lambda number: Cancel(number, subscription.number))

    def getter(self, queue: str, *, auto_ack: bool) -> Subscription:
        """The consumer 0 of a queue, for single messages."""
        subscription = self._gotten.get(queue)
        if subscription is None:
            subscription = self._gotten[queue] = self._new_subscription(queue, 0, 1, auto_ack=auto_ack, exclusive=False)
        subscription.auto_ack = auto_ack
        return subscription

    # ---- events ----

    def _handle_events(self, now_ms: int) -> None:
        links = self.links
        while links.events:
            events, links.events = links.events, []
            for event in events:
                if isinstance(event, Arrived):
                    self._arrived(event, now_ms)
                elif isinstance(event, Opened):
                    self._opened(event.link)
                elif isinstance(event, Ended):
                    self._ended(event)

    def _arrived(self, arrived: Arrived, now_ms: int) -> None:
        link = arrived.link
        for piece in arrived.pieces:
            try:
                message = messages.decode(piece)
            except msgspec.DecodeError as error:
                self.links.violate(link, f"a message cannot be read: {error}")
                return
            match message:
                case Deliver(consumer):
                    self._deliver(link, consumer, message)
                case Receipt(number):
                    stream = self._streams.get(number)
                    if stream is not None:
                        stream.receipt(message)
                case Batch() if link.target == DEFAULT_EXCHANGE:
                    self.replies.take(message)
                case Reply(number, result):
                    self._answered(number, result, None)
                case Failed(number, code, text):
                    self._answered(number, None, from_wire(code, text))
                case ActorUp(actor, generation, endpoint):
                    self._reach(actor, generation, endpoint, now_ms)
                case ActorDown(actor, _, state, reason):
                    self._lost(actor, state, reason)
                case ConsumerCancelled(consumer, code, text):
                    subscription = self._subscriptions.pop((_queue_of(link), consumer), None)
                    if subscription is not None:
                        subscription.fail(from_wire(code, text))
                case _:
                    links_text = f"a client does not understand {type(message).__name__}"
                    self.links.violate(link, links_text)
                    return
        self.links.settle(arrived)

    def _opened(self, link: Link) -> None:
        asked = [call for call in self._calls.values() if call.target == link.target]
        if link is self.registry:
            for other in self.links.all_opened():
                if other is not link:
                    self._locate(other.target)
        queue = _queue_of(link)
        if queue in self._gotten:
            self._gotten[queue].open(0)  # Forgets what the session before delivered; there is nothing to ask for.
        for subscription in list(self._subscriptions.values()):
            if subscription.queue == queue and not self._is_being_opened(subscription):
                self.call(link.target, subscription.open)
        if link.target == DEFAULT_EXCHANGE and self._listening is not None and self._listening.is_done:
            self._listening = None
            self.listen()
        for call in asked:
            self._ask(link, call)

    def _is_being_opened(self, subscription: Subscription) -> bool:
        return any(call.make == subscription.open for call in self._calls.values())

    def _ended(self, ended: Ended) -> None:
        """Everything but a violation is mended by the next session."""
        link = ended.link
        for stream in self._streams.values():
            if actor_of_exchange(stream.exchange) == link.target:
                stream.doubtful_below = stream.next_seq
        if link.survives:
            link.sender.forget(partial(is_decided, self._streams))
        if ended.code == ProtocolViolation.code:
            self._fail(link.target, ProtocolViolation(ended.text))
        elif link is not self.registry and self.links.is_open(link.target):
            self._locate(link.target)  # The same life may still be there and only the connection gone.

    def _lost(self, actor: str, state: str, reason: str) -> None:
        self.links.peer_down(actor, reason)
        if state == "quarantined":
            error = ActorIsDown(f"{actor} is quarantined: {reason}; see `posthouse tree`")
            for call in [call for call in self._calls.values() if call.target == actor]:
                self._answered(call.number, None, error)
        if state != "unknown":
            return
        kind, _, name = actor.partition(":")
        if kind == "queue":
            self._fail(actor, UnknownQueue(f"there is no queue {name!r}"))
        elif kind == "exchange":
            self._fail(actor, UnknownExchange(f"there is no exchange {name!r}"))
        else:
            self._fail(actor, Refused(f"this broker has no {actor}; it is of an older version"))

    def _fail(self, target: str, error: PosthouseError) -> None:
        """Whatever waits for this actor will never be answered."""
        for call in [call for call in self._calls.values() if call.target == target]:
            self._answered(call.number, None, error)
        kind, _, name = target.partition(":")
        if kind == "queue":
            for key in [key for key in self._subscriptions if key[0] == name]:
                self._subscriptions.pop(key).fail(error)
        elif kind == "exchange":
            # What was on its way when the exchange ended the session over it may be stored or not.
            known = error if isinstance(error, Refused) else OutcomeUnknown(f"exchange {name!r}: {error}")
            for stream in self._streams.values():
                if stream.exchange == name:
                    stream.fail(known)
        link = self.links.open(target)
        if link is not self.registry:
            self.links.close(link)

    def _deliver(self, link: Link, consumer: int, delivery: Deliver) -> None:
        queue = _queue_of(link)
        subscription = self._subscriptions.get((queue, consumer)) if consumer else self._gotten.get(queue)
        if subscription is not None:
            subscription.deliver(delivery)

    def _answered(self, number: int, result: msgspec.Raw | None, error: PosthouseError | None) -> None:
        call = self._calls.pop(number, None)
        if call is None:
            return
        if call.is_removal and call.times_asked > 1 and error is not None and error.code in _NOTHING_THERE:
            result, error = NIL, None
        call.finish(result, error)

    # ---- ways to the actors ----

    def _link(self, target: str) -> Link:
        is_new = not self.links.is_open(target)
        link = self.links.open(target, survives=target.startswith("exchange:"))
        if is_new:
            self._locate(target)
        return link

    def _locate(self, target: str) -> None:
        """Every new session with the registry asks for all targets, so nothing need be kept while there is none."""
        if self.registry.state is State.OPEN:
            self._send(self.registry, Locate(self._number(), target))

    def _reach(self, actor: str, generation: int, endpoint: str, now_ms: int) -> None:
        if not self.links.is_open(actor):
            return
        if self._is_behind_door:
            self.links.peer_up(actor, generation, DOOR_ROUTE, now_ms)
            return
        route = f"{actor}/{generation}".encode()
        link = self.links.open(actor)
        if generation < max(link.generation, link.told_generation):
            return
        old = self._routes.get(actor)
        if old != route:
            # ZeroMQ aborts the process when a name is connected again right after it was given up, so a life that
            # was replaced before it was connected is not connected at all.
            if old is not None:
                self.to_connect = [waiting for waiting in self.to_connect if waiting[0] != old]
                self.to_disconnect.append(old)
            self._routes[actor] = route
            self.to_connect.append((route, endpoint))
        self.links.peer_up(actor, generation, route, now_ms)

    def _send(self, link: Link, message: Message | Batch) -> None:
        encoded = messages.encode(message)
        self.links.send(link, encoded, len(encoded))

    def _settle(self, subscription: Subscription) -> None:
        link = self._link(actor_of_queue(subscription.queue))
        for settle in subscription.take_settlements():
            self._send(link, settle)

    def _number(self) -> int:
        self._last_number += 1
        return self._last_number


def _queue_of(link: Link) -> str:
    """The queue at the other end; "", which no queue is called, where there is something else."""
    kind, _, name = link.target.partition(":")
    return name if kind == "queue" else ""

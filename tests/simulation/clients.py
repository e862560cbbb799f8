"""Publishers and consumers of the simulation, and the history of what they were told.

They are the production `Session` under a script: publish, take, settle, bind and unbind at the seed's whim. What they
do and see goes into the `History`; they judge nothing.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from posthouse.asking import Call
from posthouse.failure import Failure
from posthouse.message import Message
from posthouse.session import Session
from posthouse.stream import Stream
from posthouse.subscription import Subscription
from posthouse.transport import messages
from posthouse.transport.messages import NIL, BindingSpec, ExchangeSpec, Options, Outcome, QueueSpec, Receipt
from posthouse.transport.names import REGISTRY, actor_of_exchange, actor_of_queue
from posthouse.transport.session import State
from tests.simulation.cast import LIMITS
from tests.simulation.world import World

TICK_MS = 40


@dataclass(frozen=True)
class Delivered:
    """One delivery as a consumer saw it. `cuts` is how often the power had been cut before that life
    of the queue began."""

    queue: str
    consumer: str
    body: bytes
    offset: int
    attempt: int
    routing_key: str
    cuts: int
    at_ms: int = 0


@dataclass
class History:
    """Everything that clients did and were told, in the order of time."""

    published: dict[bytes, tuple[str, str, dict[str, Any] | None]] = field(default_factory=dict)
    order: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    priority: dict[bytes, int] = field(default_factory=dict)
    confirmed: dict[bytes, Receipt] = field(default_factory=dict)
    refused: dict[bytes, str] = field(default_factory=dict)
    delivered: list[Delivered] = field(default_factory=list)
    acked: set[tuple[bytes, str]] = field(default_factory=set)
    rejected: dict[tuple[bytes, str], int] = field(default_factory=dict)
    early: list[str] = field(default_factory=list)
    redriven: int = 0
    undone: int = 0
    promised_routes: list[tuple[bytes, bool]] = field(default_factory=list)
    due: dict[bytes, int] = field(default_factory=dict)
    """Delayed messages, and before when they must not be delivered."""
    cancelled: set[bytes] = field(default_factory=set)
    """Delayed messages whose cancellation, or replacement by a later one of the same key, was confirmed."""
    perhaps_gone: set[bytes] = field(default_factory=set)
    """Those of which it is not known, or that may have fired before."""
    sent_ms: dict[bytes, int] = field(default_factory=dict)
    told_ms: dict[bytes, int] = field(default_factory=dict)
    died: list[tuple[int, str]] = field(default_factory=list)
    """When which actor died."""

    spoiled: list[str] = field(default_factory=list)

    def rare(self) -> Counter[str]:
        """States of which a run is proud, as far as its clients see them."""
        seen: Counter[str] = Counter()
        for receipt in self.confirmed.values():
            seen["a message was held"] += receipt.held
            seen["a publish was recognised"] += receipt.duplicate
        seen.update(f"refused: {code}" for code in self.refused.values())
        seen["a message came again"] = sum(one.attempt > 1 for one in self.delivered)
        seen["a dead letter was redriven"] = self.redriven
        seen["a redrive was undone"] = self.undone
        seen["a delayed message was cancelled"] = len(self.cancelled)
        return +seen

    def was_sent_again(self, body: bytes) -> bool:
        """Whether its exchange died before its receipt came, so that it was routed by a later life."""
        exchange = actor_of_exchange(self.published[body][0])
        until_ms = self.told_ms.get(body, self.sent_ms[body])
        return any(actor == exchange and self.sent_ms[body] <= ms <= until_ms for ms, actor in self.died)


def name_of(body: bytes, instant: str | None) -> bytes:
    """What the history calls a message: its body, and for one of a schedule its instant too."""
    return body if instant is None else body + b"@" + instant.encode()


def name_of_delivered(message: Message) -> bytes:
    """The same of a message that came."""
    return name_of(message.body, (message.headers or {}).get("x-scheduled-for"))


class SimClient:
    """A program with one connection."""

    def __init__(self, world: World, name: str, history: History) -> None:
        self.world = world
        self.name = name
        self.history = history
        self.random = random.Random(world.random.getrandbits(32))
        self.session = Session(
            name,
            limits=LIMITS,
            source=random.Random(world.random.getrandbits(32)),
            wall_ms=lambda: world.wall_ms,
            is_behind_door=False,
        )
        world.clients[name] = self
        world.after(1, self._tick)

    def frame(self, route: bytes, frame: bytes) -> None:
        self.session.frame(route, frame, self.world.now_ms)
        self.took_in()
        self.flush()

    def broker_at(self, generation: int, endpoint: str) -> None:
        self.session.registry_at(generation, endpoint, self.world.now_ms)
        self.flush()

    def disconnected(self, route: bytes) -> None:
        self.session.disconnected(route)

    def flush(self) -> None:
        for route, frame in self.session.flush(self.world.now_ms):
            assert isinstance(route, bytes)
            self.world.from_client(self.name, route, frame)
        self.session.to_connect.clear()
        self.session.to_disconnect.clear()

    def took_in(self) -> None:
        """Something may have arrived."""

    def _tick(self) -> None:
        self.session.tick(self.world.now_ms)
        self.took_in()
        self.flush()
        self.world.after(TICK_MS, self._tick)

    def ask(
        self,
        make: Callable[[int], Any],
        then: Callable[[Call], None],
        target: str = REGISTRY,
        *,
        is_removal: bool = False,
    ) -> None:
        """Ask an actor, and go on when it has answered."""
        call = self.session.call(target, make, is_removal=is_removal)
        self.flush()

        def look() -> None:
            if call.is_done:
                then(call)
            else:
                self.world.after(5, look)

        look()

    def take_receipts(self, stream: Stream | None, bodies: dict[int, bytes]) -> Iterator[tuple[int, bytes, Receipt]]:
        """Numbers of a stream whose fate has become known, with their bodies; the history is told."""
        waiters = {} if stream is None else stream.waiters
        for number in [number for number, receipt in waiters.items() if receipt is not None]:
            receipt = waiters.pop(number)
            assert receipt is not None
            body = bodies[number]
            assert body not in self.history.confirmed, "one message, two receipts"
            self.history.told_ms[body] = self.world.now_ms
            if receipt.code is None:
                self.history.confirmed[body] = receipt
            else:
                self.history.refused[body] = receipt.code
            yield number, body, receipt


class SimPublisher(SimClient):
    """Publishes numbered messages to one exchange until told to stop."""

    def __init__(self, world: World, name: str, history: History, plan: tuple[str, list[str], int]) -> None:
        super().__init__(world, name, history)
        self.exchange, self._keys, self._left = plan
        self._stream: Stream | None = None
        self._bodies: dict[int, bytes] = {}
        world.after(self.random.randint(50, 200), self._publish)

    def _publish(self) -> None:
        if self._left <= 0:
            return
        if self._stream is None:
            self._stream = self.session.stream(self.exchange)
        key = self.random.choice(self._keys)
        headers = self.random.choice([None, {"colour": "red"}, {"colour": "blue"}])
        raw = NIL if headers is None else msgspec.Raw(messages.encode(headers))
        for _ in range(min(self._left, self.random.randint(1, 12))):
            self._left -= 1
            body = f"{self.name}:{self._left}:".encode() + b"x" * self.random.randint(0, 60)
            options = self.random.choice([None, Options(content_type="t"), Options(priority=9), Options(priority=4)])
            number = self._stream.add(body, (key, raw, options))
            self.history.priority[body] = 0 if options is None else options.priority
            self._bodies[number] = body
            self._stream.waiters[number] = None
            self.history.published[body] = (self.exchange, key, headers)
            self.history.sent_ms[body] = self.world.now_ms
            self.history.order[body] = (self._stream.number, number)
        self._stream.close_batch()
        self.flush()
        self.world.after(self.random.randint(1, 60), self._publish)

    def took_in(self) -> None:
        for _ in self.take_receipts(self._stream, self._bodies):
            pass


class SimConsumer(SimClient):
    """Consumes one queue and settles, mostly with an ack, some time later; sometimes it nacks or forgets."""

    def __init__(self, world: World, name: str, history: History, queue: str) -> None:
        super().__init__(world, name, history)
        self.queue = queue
        self.is_tidy = False
        self._subscription: Subscription | None = None
        self._held: list[Message] = []
        self._waits: dict[int, tuple[int, int]] = {}
        world.after(self.random.randint(20, 400), self._open)

    def _open(self) -> None:
        prefetch = self.random.choice([1, 3, 10, 50])
        self._subscription, _ = self.session.subscribe(self.queue, prefetch, auto_ack=False, exclusive=False)
        self.flush()

    def took_in(self) -> None:
        subscription = self._subscription
        if subscription is None:
            return
        if subscription.failure is not None:
            self._subscription = None
            self.world.after(20, self._open)
            return
        generation = self.session.links.open(actor_of_queue(self.queue)).generation
        while subscription.ready:
            message = subscription.ready.popleft()
            self.history.delivered.append(
                Delivered(
                    self.queue,
                    self.name,
                    name_of_delivered(message),
                    message.offset,
                    message.attempt,
                    message.routing_key,
                    self.world.cuts_before[generation],
                    self.world.latest_wall_ms,
                )
            )
            self._look_for_haste(message)
            self._look_for_damage(message)
            self._held.append(message)
            self.world.after(0 if self.is_tidy else self.random.randint(0, 40), self._settle)

    def _settle(self) -> None:
        if not self._held or self._subscription is None:
            return
        message = self._held.pop(self.random.randrange(len(self._held)))
        whim = 1.0 if self.is_tidy else self.random.random()
        copy = (name_of_delivered(message), self.queue)
        if message.epoch != self._subscription.epoch:
            return  # It came in an earlier session, and nothing that is said of it counts.
        if whim < 0.05:
            pause_ms = self.random.choice([None, 0, 50, 200])
            failure = None if pause_ms is None else Failure(pause_ms, (("type", "Whim"),))
            self._subscription.settle(message, Outcome.NACK, True, "", failure)
            # With an ack timeout the queue may have taken it back already, and the wish comes too late.
            if pause_ms is not None and self.queue != "three":
                self._waits[message.offset] = (self._session, self.world.now_ms + pause_ms)
        elif whim < 0.09:
            self._subscription.settle(message, Outcome.REJECT, False, "on a whim", Failure(None, (("type", "Whim"),)))
            self.history.rejected[copy] = self.history.rejected.get(copy, 0) + 1
        elif whim > 0.12:
            self._subscription.settle(message, Outcome.ACK, False, "")
            self.history.acked.add(copy)
        else:
            self._held.append(message)  # Forgotten for now; a tidy consumer settles it at last.
        self.flush()

    @property
    def _session(self) -> int:
        """The session that stands with the queue; 0 while there is none, and what is said then is lost."""
        link = self.session.links.open(actor_of_queue(self.queue))
        return link.session if link.state is State.OPEN else 0

    def _look_for_damage(self, message: Message) -> None:
        exchange, key, headers = self.history.published.get(name_of_delivered(message), ("", "", None))
        got = {name: value for name, value in (message.headers or {}).items() if not name.startswith("x-")}
        if name_of_delivered(message) in self.history.published and got != (headers or {}):
            self.history.spoiled.append(f"{message.body!r} of {exchange!r} under {key!r} came with headers {got}")

    def _look_for_haste(self, message: Message) -> None:
        """A message that was asked to wait came back. Only within one session is it certain that the wish arrived."""
        session, until_ms = self._waits.pop(message.offset, (0, 0))
        if session and session == self._session and self.world.now_ms + self.world.clock_max_ms < until_ms:
            self.history.early.append(
                f"{message.body!r} came back to {self.name} {until_ms - self.world.now_ms} ms too early"
            )

    @property
    def is_idle(self) -> bool:
        return not self._held

    def tidy_up(self) -> None:
        """From now on ack everything at once."""
        self.is_tidy = True
        for _ in list(self._held):
            self._settle()


class SimBinder(SimClient):
    """Binds and unbinds one queue again and again; between two answers the route is certain, and it publishes."""

    EXCHANGE, QUEUE = "changing", "changing"

    def __init__(self, world: World, name: str, history: History, rounds: int) -> None:
        super().__init__(world, name, history)
        self._rounds = rounds
        self._is_bound = False
        self._stream: Stream | None = None
        self._waiting: bytes | None = None
        world.after(100, self._turn)

    def _turn(self) -> None:
        if self._rounds <= 0:
            return
        self._rounds -= 1
        binding = BindingSpec(source=self.EXCHANGE, destination=self.QUEUE)
        change = messages.Unbind if self._is_bound else messages.Bind
        self.ask(lambda number: change(number, binding), self._changed, is_removal=self._is_bound)

    def _changed(self, call: Call) -> None:
        assert call.error is None, call.error
        self._is_bound = not self._is_bound
        if self._stream is None:
            self._stream = self.session.stream(self.EXCHANGE)
        body = f"{self.name}:{self._rounds}".encode()
        self.history.published[body] = (self.EXCHANGE, "", None)
        number = self._stream.add(body, ("", NIL, None))
        self._stream.waiters[number] = None
        self._stream.close_batch()
        self.flush()
        self._await(number, body)

    def _await(self, number: int, body: bytes) -> None:
        assert self._stream is not None
        receipt = self._stream.waiters[number]
        if receipt is None:
            self.world.after(5, lambda: self._await(number, body))
            return
        if receipt.code is None:
            self.history.confirmed[body] = receipt
        else:
            self.history.refused[body] = receipt.code
        self.history.promised_routes.append((body, self._is_bound))
        self._turn()


class SimArchitect(SimClient):
    """Declares the topology of a run and says when it stands."""

    def __init__(self, world: World, history: History, specs: list[ExchangeSpec | QueueSpec | BindingSpec]) -> None:
        super().__init__(world, "architect", history)
        self._specs = specs
        self.is_done = False
        self._next(None)

    def _next(self, call: Call | None) -> None:
        assert call is None or call.error is None, call.error
        if not self._specs:
            self.is_done = True
            return
        spec = self._specs.pop(0)
        make: Callable[[int], Any]
        if isinstance(spec, ExchangeSpec):
            make = lambda number: messages.DeclareExchange(number, spec)  # noqa: E731
        elif isinstance(spec, QueueSpec):
            make = lambda number: messages.DeclareQueue(number, spec)  # noqa: E731
        else:
            make = lambda number: messages.Bind(number, spec)  # noqa: E731
        self.ask(make, self._next)

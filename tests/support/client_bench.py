"""A client's session on a bench: scripted actors over a memory wire, and a clock that stands still.

The registry's part is played: it answers each `Locate` with where the scripted actors live, and tells changes. Routes
are direct, or through a door that knows sessions by number as the real one does. It does not simulate loss, delay or
reordering on the wire.
"""

from __future__ import annotations

import random
from typing import Any, Final, final

import msgspec

from posthouse.asking import Call
from posthouse.session import Session
from posthouse.subscription import Subscription
from posthouse.transport import wire
from posthouse.transport.limits import Limits
from posthouse.transport.links import Identity, Links
from posthouse.transport.messages import (
    NIL,
    ActorDown,
    ActorUp,
    Consume,
    Deliver,
    Failed,
    ListQueues,
    Locate,
    Message,
    Purge,
    Reply,
    encode,
)
from posthouse.transport.names import REGISTRY
from posthouse.transport.wire import Kind
from tests.support.actor_bench import WALL_MS, Peer, batch

LIMITS: Final = Limits(ping_interval_ms=200)
QUEUE: Final = "queue:q"
ROUNDS_MAX: Final = 200


@final
class ClientBench:
    """One session and the broker it talks to."""

    def __init__(self, *, is_behind_door: bool = False) -> None:
        self.now_ms = 0
        self.is_behind_door = is_behind_door
        self.session = Session(
            "client",
            limits=LIMITS,
            source=random.Random(1),
            wall_ms=lambda: WALL_MS + self.now_ms,
            is_behind_door=is_behind_door,
        )
        self.actors: dict[str, Peer] = {}
        self.located: list[str] = []
        self._generations: dict[str, int] = {}
        self._downs: dict[str, ActorDown] = {}
        self._by_session: dict[int, str] = {}
        self._lives = 0

    @property
    def registry(self) -> Peer:
        return self.actors[REGISTRY]

    def begin(self) -> None:
        """The registry lives, and the client knows where."""
        self.live(REGISTRY)

    def live(self, actor: str) -> Peer:
        """The next life of an actor begins; whoever asked for it is told."""
        generation = self._generations[actor] = self._generations.get(actor, 0) + 1
        self._lives += 1
        links = Links(Identity(generation, 0, actor), LIMITS, random.Random(self._lives))
        self.actors[actor] = Peer(actor, links, None)
        self._downs.pop(actor, None)
        if actor == REGISTRY:
            shown = 0 if self.is_behind_door else generation
            self.session.registry_at(shown, "memory://registry", self.now_ms)
            if self.is_behind_door:
                self.advance(2_000)  # The client finds out when the new life does not know its session.
        elif actor in self.located:
            self.registry.say(self._where(actor))
        self.run()
        return self.actors[actor]

    def die(self, actor: str, state: str = "restarting", reason: str = "it died") -> None:
        """The actor is dead and the client is told."""
        self.actors.pop(actor, None)
        self._downs[actor] = ActorDown(actor, self._generations.get(actor, 0), state, reason)
        if actor in self.located:
            self.registry.say(self._downs[actor])
        self.run()

    def cut(self, actor: str) -> None:
        """The connection to a living actor breaks, and both ends notice."""
        peer = self.actors[actor]
        peer.links.unreachable(b"client")
        peer.handle_events()
        self.session.disconnected(self.route_of(actor))

    def route_of(self, actor: str) -> bytes:
        return b"door" if self.is_behind_door else f"{actor}/{self._generations[actor]}".encode()

    def heard(self, actor: str) -> list[Message]:
        """What an actor was told since the last look."""
        self.run()
        return self.actors[actor].take_heard()

    def say(self, actor: str, *said: Message) -> None:
        """An actor says something to the client."""
        self.actors[actor].say(*said)
        self.run()

    def reply(self, actor: str, call: Call, value: Any = None) -> None:
        self.say(actor, Reply(call.number, NIL if value is None else raw(value)))

    def fail(self, actor: str, call: Call, code: str) -> None:
        self.say(actor, Failed(call.number, code, f"this is {code}"))

    def advance(self, duration_ms: int) -> None:
        """Time passes in steps of 50 ms."""
        for _ in range(0, duration_ms, 50):
            self.now_ms += 50
            self.session.tick(self.now_ms)
            for peer in self.actors.values():
                peer.links.tick(self.now_ms)
                peer.handle_events()
            self.run()

    def run(self) -> None:
        """Frames travel until nobody has anything more to say."""
        for _ in range(ROUNDS_MAX):
            out = self.session.flush(self.now_ms)
            for route, frame in out:
                self._to_actor(route, frame)
            self._play_registry()
            back = [(actor, frame) for actor, peer in self.actors.items() for _, frame in peer.links.flush(self.now_ms)]
            for actor, frame in back:
                self.session.frame(self.route_of(actor), frame, self.now_ms)
            if not out and not back:
                return
        raise AssertionError("the client and its broker never come to rest")

    def _to_actor(self, route: Any, frame: bytes) -> None:
        actor, _, generation = route.decode().rpartition("/")
        if self.is_behind_door:
            header = wire.unpack_header(frame)
            if header.kind == Kind.HELLO:
                self._by_session[header.session] = wire.unpack_hello(frame).target
            actor = self._by_session.get(header.session, "")
        elif actor in self.actors and int(generation) != self._generations[actor]:
            return
        if actor in self.actors:
            peer = self.actors[actor]
            peer.links.receive(b"client", frame, self.now_ms)
            peer.handle_events()

    def _play_registry(self) -> None:
        registry = self.actors.get(REGISTRY)
        if registry is None:
            return
        asked = [message for message in registry.heard if isinstance(message, Locate)]
        registry.heard = [message for message in registry.heard if not isinstance(message, Locate)]
        for locate in asked:
            self.located.append(locate.actor)
            registry.say(self._where(locate.actor))

    def _where(self, actor: str) -> Message:
        if actor in self.actors:
            return ActorUp(actor, self._generations[actor], f"memory://{actor}")
        return self._downs.get(actor) or ActorDown(actor, 0, "starting", "")


def raw(value: Any) -> Any:
    """A value as the result of a reply."""
    return msgspec.Raw(encode(value))


def ask(bench: ClientBench, target: str = REGISTRY, **wishes: Any) -> Call:
    call = bench.session.call(target, ListQueues if target == REGISTRY else Purge, **wishes)
    bench.run()
    return call


def delivery(first_offset: int, *bodies: bytes, attempt: int = 1, consumer: int = 1) -> Deliver:
    return Deliver(consumer, first_offset, attempt, raw_batch(*bodies))


def raw_batch(*bodies: bytes) -> Any:
    return raw(batch(*bodies))


def subscribe(bench: ClientBench, prefetch: int = 10) -> Subscription:
    """An open consumer of the queue."""
    if QUEUE not in bench.actors:
        bench.live(QUEUE)
    subscription, call = bench.session.subscribe("q", prefetch, auto_ack=False, exclusive=False)
    assert bench.heard(QUEUE) == [Consume(call.number, subscription.number, prefetch)]
    bench.reply(QUEUE, call)
    assert call.is_done
    return subscription


def bodies(subscription: Subscription) -> list[bytes]:
    return [message.body for message in subscription.ready]

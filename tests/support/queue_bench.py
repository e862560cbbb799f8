"""A queue actor on the bench, with an exchange that stores in it and consumers that script what they settle.

It does not simulate the registry: a test that needs one adds it.
"""

from __future__ import annotations

from typing import Any, final

from posthouse.actors.actor import Actor, Context
from posthouse.actors.queue import QueueActor, QueueLimits
from posthouse.actors.retry import OFF as RETRY_OFF
from posthouse.transport import messages
from posthouse.transport.batch import lengths_of
from posthouse.transport.messages import (
    Batch,
    Consume,
    Deliver,
    Durability,
    Failed,
    Message,
    Options,
    QueueInfo,
    QueueSpec,
    QueueStatus,
    Reply,
)
from tests.support.actor_bench import ActorBench, Peer, Setting, batch, result_of

SPEC = QueueSpec(name="q", serial=3, retry=RETRY_OFF, dead_letter="off")
OS = Options(durability=Durability.OS)
MEMORY = Options(durability=Durability.MEMORY)
Seen = list[tuple[int, int, list[bytes]]]


@final
class QueueWorld:
    """One queue with an exchange that stores in it."""

    actor: QueueActor

    def __init__(
        self, spec: QueueSpec = SPEC, limits: QueueLimits | None = None, setting: Setting | None = None
    ) -> None:
        chosen = limits or QueueLimits(disk_free_bytes_min=0)

        def make(context: Context) -> Actor:
            self.actor = QueueActor(context, spec, chosen)
            return self.actor

        self.bench = ActorBench("queue:q", make, setting)
        self.exchange = self.bench.client("exchange:", client_id=0)
        self._next_seq = 1

    def store(self, *bodies: bytes, options: Options | None = None) -> list[Message]:
        """One batch of the exchange's stream; returns what the queue remarked."""
        sent = batch(*bodies, first_seq=self._next_seq, options=options)
        self._next_seq += len(bodies)
        return self.bench.deliver(self.exchange, sent)

    def consumer(self, name: str = "consumer", client_id: int = 1, prefetch: int = 10, **wishes: bool) -> Peer:
        peer = self.bench.client(name, client_id)
        peer.say(Consume(1, 1, prefetch, **wishes))
        self.bench.run()
        reply = peer.heard.pop(0)
        assert reply == Reply(1, messages.NIL), reply
        return peer

    def ask(self, peer: Peer, request: Message, kind: Any = Any) -> Any:
        heard = self.bench.deliver(peer, request)
        return result_of(heard[-1], kind)

    def info(self) -> QueueInfo:
        asker = self.bench.clients.get("asker") or self.bench.client("asker", 99)
        found: QueueInfo = self.ask(asker, QueueStatus(1), QueueInfo)
        return found

    def drain(self) -> list[bytes]:
        """Every body, by a fresh consumer that acks nothing and leaves."""
        peer = self.consumer("drain", 50, prefetch=65_535)
        found = [body for _, _, bodies in deliveries(peer.take_heard()) for body in bodies]
        self.bench.leave(peer)
        return found


def deliveries(heard: list[Message]) -> Seen:
    """First offset, attempt and bodies of each delivery."""
    found: Seen = []
    for message in heard:
        if not isinstance(message, Deliver):
            continue
        inner = messages.decode(message.batch)
        assert isinstance(inner, Batch)
        bodies, start = [], 0
        for length in lengths_of(inner):
            bodies.append(bytes(inner.bodies[start : start + length]))
            start += length
        found.append((message.first_offset, message.attempt, bodies))
    return found


def failed(heard: list[Message]) -> Failed:
    """The one refusal."""
    assert len(heard) == 1
    assert isinstance(heard[0], Failed)
    return heard[0]

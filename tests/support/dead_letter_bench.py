"""The dead-letter actor on the bench, with queues that bury in it and queues that take back.

Queues are scripted: what they settle, and when, is the test's to say.
"""

from __future__ import annotations

from typing import Any, final

import msgspec

from posthouse.actors.actor import Actor, Context
from posthouse.actors.dead_letter import DeadLetterActor
from posthouse.actors.dead_letter_store import StoreLimits
from posthouse.transport import messages
from posthouse.transport.explanation import Explanation
from posthouse.transport.messages import Batch, Explain, Message, Options, Reply
from posthouse.transport.messages_dead import (
    Attempt,
    Bury,
    DeadLetterFilter,
    DeadLetterInfo,
    DeadLetterStatus,
    DeadLetterStoreInfo,
    Death,
    ListDeadLetters,
    Redrive,
    RedriveInfo,
    RedriveStatus,
    Restore,
)
from tests.support.actor_bench import WALL_MS, ActorBench, Peer, Setting, batch, result_of

ALL = DeadLetterFilter()
LIMITS = StoreLimits(disk_free_bytes_min=0)
STREAM = 500
HISTORY = (Attempt(attempt=1, at_ms=WALL_MS, consumer="shop", how="reject", error_type="KeyError", error="'x'"),)


@final
class DeadLetterWorld:
    """One store, a queue that buries, and a client that asks."""

    def __init__(self, limits: StoreLimits = LIMITS, setting: Setting | None = None) -> None:
        def make(context: Context) -> Actor:
            return DeadLetterActor(context, limits)

        self.bench = ActorBench("dead-letter", make, setting)
        self.source = self.bench.client("queue:ewr", client_id=0)
        self.asker = self.bench.client("asker", client_id=99)
        self.next_seq = 1
        self._request = 0

    def bury(self, *bodies: bytes, floor: int = 1, seq: int | None = None, **more: Any) -> list[Message]:
        """One burial; returns what the store remarked."""
        seq = self.next_seq if seq is None else seq
        self.next_seq = max(self.next_seq, seq + len(bodies))
        return self.bench.deliver(self.source, burial(*bodies, floor=floor, seq=seq, **more))

    def ask(self, make: Any, kind: Any) -> Any:
        self._request += 1
        return result_of(self.bench.deliver(self.asker, make(self._request))[-1], kind)

    def letters(self, wanted: DeadLetterFilter = ALL, limit: int = 100, after: int = 0) -> list[DeadLetterInfo]:
        found: list[DeadLetterInfo] = self.ask(
            lambda number: ListDeadLetters(number, wanted, limit, after), list[DeadLetterInfo]
        )
        return found

    def ids(self, wanted: DeadLetterFilter = ALL) -> list[int]:
        return [letter.id for letter in self.letters(wanted)]

    def status(self) -> DeadLetterStoreInfo:
        found: DeadLetterStoreInfo = self.ask(DeadLetterStatus, DeadLetterStoreInfo)
        return found

    def redrive(self, wanted: DeadLetterFilter = ALL, **more: Any) -> RedriveInfo:
        info: RedriveInfo = self.ask(lambda number: Redrive(number, wanted, **more), RedriveInfo)
        return info

    def look(self, number: int, *, stop: bool = False) -> RedriveInfo:
        info: RedriveInfo = self.ask(lambda request: RedriveStatus(request, number, stop), RedriveInfo)
        return info

    def answer(self, *existing: str) -> list[str]:
        """The registry answers whatever it was asked: only these queues exist. Returns which it was asked about."""
        registry = self.bench.actors.get("registry") or self.bench.actor("registry")
        self.bench.run()
        asked = [message for message in registry.take_heard() if isinstance(message, Explain)]
        for one in asked:
            known = [name for name in existing if name == one.routing_key]
            told = Explanation(
                exchange="", routing_key=one.routing_key, queues=known, matched=[], unmatched=[], matched_count=0,
                unmatched_count=0, unrouted=None, notes=[],
            )  # fmt: skip
            registry.say(Reply(one.request, msgspec.Raw(messages.encode(told))))
        self.bench.run()
        return [one.routing_key for one in asked]


def burial(
    *bodies: bytes, seq: int = 1, floor: int = 1, queue: str = "ewr", reason: str = "rejected", key: str = "k",
    headers: dict[str, Any] | None = None, died_ms: int = WALL_MS, fingerprint: str = "f1", stream: int = STREAM,
) -> Bury:  # fmt: skip
    """What a queue says of messages that died together."""
    dead = batch(*bodies, exchange="flights", routing_key=key, stream=7, first_seq=seq, headers=headers,
                 options=Options(dedup_id="d", ttl_ms=5, content_type="t"))  # fmt: skip
    died = Death(
        reason=reason, queue=queue, died_ms=died_ms, attempt=1, first_ms=died_ms, fingerprint=fingerprint,
        cause="KeyError: 'x'", history=HISTORY,
    )  # fmt: skip
    return Bury(stream, seq, len(bodies), floor, died, msgspec.Raw(messages.encode(dead)))


def restored(peer: Peer) -> list[tuple[Restore, Batch]]:
    """The moves that a queue was sent since the last look."""
    found = []
    for message in peer.take_heard():
        if isinstance(message, Restore):
            inner = messages.decode(message.batch)
            assert isinstance(inner, Batch)
            found.append((message, inner))
    return found

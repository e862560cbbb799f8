"""Everything on its way out of the dead letters: the moves to queues, and through exchanges.

A part of the dead-letter actor's shell. An intent is journaled and synced before it is sent, under a number of the
stream to its destination; when that has it on disk, the letters are gone from the store. What is refused, or has lost
its destination, rests in the store again, with a remark. What was intended when the actor died is sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.dead_letter_group import Group
from posthouse.actors.dead_letter_records import Kind, Leaving, Noted, encode_leaving, encode_noted, encode_ranges
from posthouse.actors.dead_letter_store import DeadLetterStore, Range, Return
from posthouse.actors.death_headers import LatestDeath, with_death
from posthouse.actors.destinations import Destination, destination_of, through
from posthouse.actors.existence import TIMER as EXISTENCE
from posthouse.actors.existence import Existence
from posthouse.actors.move import Intent, Outbox
from posthouse.supervisor import control_messages as control
from posthouse.transport import messages
from posthouse.transport.batch import headers_of, joined
from posthouse.transport.links import Link
from posthouse.transport.messages import Batch, Failed, Message, Receipt, Reply, StoreNote
from posthouse.transport.messages_dead import Attempt, Republish, Restore

AGAIN_MS: Final = 200
TIMER: Final = "outgoing"

Ended = Callable[[Intent[Return], str | None], None]
"""A move ended: the letters arrived (None), or rest again, and why."""

Then = Callable[[Any], None]
"""Gets the answer of a destination, decoded; None when it could not be had."""


@final
@dataclass(eq=False)
class Peer:
    """A queue or an exchange. `is_known`: the supervisor said that it lives."""

    link: Link
    text: str
    is_known: bool = False
    keys: set[str] = field(default_factory=set)


@final
class Outgoing:
    """All moves. `ended` hears what becomes of each, `gone` which actor is not there any more, and `request_of` gives a
    move that is to be answered its number.
    """

    def __init__(
        self,
        context: Context,
        store: DeadLetterStore,
        batch_of: Callable[[int], Batch],
        group_of: Callable[[int], Group],
    ) -> None:
        self._context = context
        self._store = store
        self._batch_of = batch_of
        self._group_of = group_of
        self._peers: dict[str, Peer] = {}
        self._answers: dict[int, tuple[str, Then]] = {}
        self._refusals: dict[tuple[int, int], str] = {}
        self._last_request = 0
        self._existence = Existence(context)
        self.ended: Ended = lambda intent, text: None
        self.gone: Callable[[str], None] = lambda actor: None
        self.request_of: Callable[[Intent[Return]], int] = lambda intent: 0

    # ---- life ----

    def start(self) -> None:
        """What was intended in an earlier life goes on its way again."""
        for key, outbox in list(self._store.outboxes.items()):
            if len(outbox):
                self.peer(destination_of(key))

    def owns(self, link: Link) -> bool:
        """Is this the link to a destination?"""
        return link.is_opener and link.target in self._peers and self._peers[link.target].link is link

    def hears(self, link: Link) -> bool:
        """Do answers over this link belong here?"""
        return self._existence.owns(link) or self.owns(link)

    def peer(self, destination: Destination) -> Peer:
        """The way to a destination, and the stream of moves to it."""
        self._store.open_outbox(destination.key, self._context.random.getrandbits(62) | 1)
        peer = self._peers.get(destination.actor)
        if peer is None:
            link = self._context.connect(destination.actor)
            peer = self._peers[destination.actor] = Peer(link, destination.text)
        peer.keys.add(destination.key)
        return peer

    def ask(self, destination: Destination, make: Callable[[int], Message], then: Then) -> None:
        """Ask a queue something; `then` gets the answer."""
        number = self.expect(destination.actor, then)
        self._context.send(self.peer(destination).link, make(number))

    def expect(self, actor: str, then: Then) -> int:
        """The number of a request that an actor will answer."""
        self._last_request += 1
        self._answers[self._last_request] = (actor, then)
        return self._last_request

    # ---- what happens ----

    def noticed(self, message: control.FromSupervisor) -> None:
        if not isinstance(message, control.Up | control.Down):
            return
        peer = self._peers.get(message.id)
        if peer is None:
            return
        if isinstance(message, control.Up):
            peer.is_known = True
            self._existence.forget(message.id)
        elif message.state in ("unknown", "stopped"):
            self._existence.ask(destination_of(next(iter(peer.keys))))

    def wake(self, key: str) -> None:
        """Time to go on; `send` does, and questions are put again."""
        if key == EXISTENCE:
            self._existence.wake()

    def heard(self, link: Link, message: Reply | Failed | StoreNote | Receipt) -> None:
        """The registry answers, or a destination.

        What a refusal means is decided when its frame is settled, right behind it.
        """
        if self._existence.owns(link):
            gone = self._existence.heard(message) if isinstance(message, Reply | Failed) else None
            if gone is not None:
                self._give_up(gone)
            return
        if isinstance(message, StoreNote | Receipt):
            is_refusal = isinstance(message, StoreNote) or message.code is not None or not message.queues
            key = self._store.key_of(message.stream)
            if is_refusal and key is not None:
                text = "" if message.code == "gap" else message.text
                self._refusals[message.stream, message.first_seq] = text or "no queue has it"
                self._store.outboxes[key].refused(message.first_seq)
            return
        _, then = self._answers.pop(message.request, ("", None))
        if then is not None:
            then(None if isinstance(message, Failed) else msgspec.msgpack.decode(message.result))

    def settled(self, intents: list[Intent[Return]]) -> None:
        """Destinations settled intents: what they did not refuse is gone from here."""
        left: list[Intent[Return]] = []
        back: dict[str, list[Intent[Return]]] = {}
        for intent in intents:
            outbox = self._store.outboxes[intent.item.key]
            text = self._refusals.pop((outbox.stream, intent.first_seq), "")
            if outbox.answered(intent):
                left.append(intent)
            elif outbox.get(intent.first_seq) is not None:
                back.setdefault(text, []).append(intent)
        if left:
            ranges = sorted(pair for intent in left for pair in intent.item.ranges)
            for intent in left:
                self._store.left(intent)
            self._context.append(Kind.LEFT, encode_ranges(ranges), is_durable=False)
            for intent in left:
                self.ended(intent, None)
        for text, refused in back.items():
            self._rest(refused, text)

    def abandoned(self, intents: list[Intent[Return]]) -> None:
        """The link ended for good, and nobody knows what arrived: offer it again under the same numbers."""
        for intent in intents:
            outbox = self._store.outboxes[intent.item.key]
            outbox.refused(intent.first_seq)
            outbox.answered(intent)
        self._context.set_timer(TIMER, self._context.monotonic_ms + AGAIN_MS)

    # ---- the moves ----

    def intend(self, destination: Destination, ranges: list[Range], redrive: int = 0) -> Intent[Return]:
        """Journal the intent; `send` sends it in its turn."""
        self.peer(destination)
        intent = self._store.leave(destination.key, ranges, redrive)
        flat = [number for pair in ranges for number in pair]
        leaving = Leaving(
            destination.key, self._store.outboxes[destination.key].stream, intent.first_seq, flat, redrive
        )
        self._context.append(Kind.LEAVING, encode_leaving(leaving))
        return intent

    def republish(self, group: Group) -> None:
        """Letters that have just come in go on to the dead-letter exchange of their queue."""
        assert group.republish_to is not None
        key = group.routing_key if group.republish_key is None else group.republish_key
        self.intend(through(group.republish_to, group.queue, key), [(group.first_id, group.last_id)])

    def send(self) -> None:
        """Send what there is room for on the way."""
        for peer in self._peers.values():
            for key in peer.keys:
                outbox = self._store.outboxes[key]
                if not outbox.has_unsent:
                    continue
                destination = destination_of(key)
                while not (destination.is_exchange and outbox.in_flight) and (intent := outbox.take()) is not None:
                    self._send(peer, outbox, intent)

    def _send(self, peer: Peer, outbox: Outbox[Return], intent: Intent[Return]) -> None:
        batch = self._batch(outbox, intent)
        destination = destination_of(intent.item.key)
        move: Message
        if destination.is_exchange:
            is_death = not intent.item.redrive
            batch = self._addressed(batch, destination.name, intent, is_death=is_death)
            move = Republish(msgspec.Raw(messages.encode(batch)), no_cycles=is_death)
        else:
            move = Restore(outbox.floor, msgspec.Raw(messages.encode(batch)), self.request_of(intent))
        encoded = messages.encode(move)
        self._context.forward(peer.link, encoded, len(encoded), intent.count, intent)

    def _batch(self, outbox: Outbox[Return], intent: Intent[Return]) -> Batch:
        parts: list[tuple[Batch, int, int]] = []
        for first, last in intent.item.ranges:
            entry = self._store.backlog.find(first)
            start = first - entry.first_offset
            parts.append((self._batch_of(entry.first_offset), start, start + last - first + 1))
        return joined(parts, outbox.stream, intent.first_seq)

    def _addressed(self, batch: Batch, exchange: str, intent: Intent[Return], *, is_death: bool) -> Batch:
        """The batch as the exchange gets it; what died says so in its headers."""
        if not is_death:
            return msgspec.structs.replace(batch, exchange=exchange)
        group = self._group_of(intent.item.ranges[0][0])
        options = self._batch_of(group.first_id).options
        ttl_ms = None if options is None else options.ttl_ms
        latest = LatestDeath(group.queue, group.reason, group.exchange, group.routing_key, group.died_ms, ttl_ms)
        headers = with_death(headers_of(batch), latest)
        key = group.routing_key if group.republish_key is None else group.republish_key
        raw = msgspec.Raw(messages.encode(headers))
        return msgspec.structs.replace(batch, exchange=exchange, routing_key=key, headers=raw)

    def _give_up(self, actor: str) -> None:
        """Whatever a deleted queue may have taken is gone with it, so the letters are here and nowhere else."""
        self.gone(actor)
        peer = self._peers.pop(actor, None)
        if peer is None:
            return
        self._context.disconnect(peer.link)
        for key in peer.keys:
            self._rest(self._store.outboxes[key].intents(), f"there is no {peer.text}")
        for number in [number for number, (asked, _) in self._answers.items() if asked == actor]:
            self._answers.pop(number)[1](None)

    def _rest(self, intents: list[Intent[Return]], text: str) -> None:
        """These are in the store and stay there."""
        ranges: list[Range] = []
        noted: list[Range] = []
        for intent in intents:
            self._store.outboxes[intent.item.key].drop(intent)
            self._store.returned(intent)
            ranges += intent.item.ranges
            noted += [] if intent.item.redrive else intent.item.ranges
        if ranges:
            self._context.append(Kind.RETURNED, encode_ranges(sorted(ranges)))
        if noted:
            remark = Attempt(attempt=0, at_ms=self._context.wall_ms, consumer="", how="republish", error=text[:1_000])
            self._store.note(noted, remark)
            flat = [number for pair in sorted(noted) for number in pair]
            self._context.append(Kind.NOTED, encode_noted(Noted(flat, remark)))
        for intent in intents:
            self.ended(intent, text)

"""Which bindings matched a message, as the registry's journal has the topology of that moment, and what changed since.

Fed once with the records of the registry's journal, oldest first. Pure. The answer is what the exchange must have
decided; where the journal begins later than the message was routed, or does not say when things were bound, the answer
says so.
"""

from __future__ import annotations

from typing import Any, final

import msgspec

from posthouse.actors.binding_table import identity_of
from posthouse.actors.declaration import DEFAULT_EXCHANGE
from posthouse.actors.registry_records import KIND_BOOT, KIND_CHANGE, change_of, journal_id
from posthouse.actors.routing import Router
from posthouse.actors.topology import Topology
from posthouse.biography.events import Moment, clock
from posthouse.transport.errors import UnknownExchange
from posthouse.transport.explanation import ExplainedBinding, Explanation
from posthouse.transport.messages import BindingSpec, TopologyChange
from posthouse.transport.names import actor_of_exchange, actor_of_queue, shown

Identity = tuple[Any, ...]


@final
class Question(msgspec.Struct):
    """What was routed, where and when, under the `mark` of its setting out; and the answer.

    `then` None: the exchange is not known.
    """

    at_ms: int
    exchange: str
    routing_key: str
    headers: dict[str, Any]
    mark: str
    then: Explanation | None = None
    is_answered: bool = False
    is_uncertain: bool = False
    notes: list[str] = []


@final
class RouteStory:
    """All questions about one message."""

    def __init__(self, questions: list[Question]) -> None:
        self.notes: list[str] = []
        self.journals: dict[str, str] = {journal_id(DEFAULT_EXCHANGE): actor_of_exchange(DEFAULT_EXCHANGE.name)}
        """The queue or exchange whose journal has that name, also for those that were deleted."""
        self._open = sorted(questions, key=lambda one: one.at_ms)
        self._questions = questions
        self._topology = Topology()
        self._begins_ms: int | None = None
        self._has_gap = False
        self._changed: dict[Identity, tuple[int, str]] = {}

    def tell(self, moment: Moment, position: int, kind: int, payload: memoryview) -> None:
        """Take in one record. Raises JournalCorrupt."""
        if self._begins_ms is None:
            self._begins_ms = moment.at_ms
        else:
            while self._open and 0 < self._open[0].at_ms < moment.at_ms:
                self._answer(self._open.pop(0))
        if kind == KIND_BOOT:
            dropped = None if self._has_gap else self._topology.drop_transient()
            if dropped is not None:
                self._note_change(moment, dropped)
        elif kind == KIND_CHANGE:
            self._apply(moment, change_of(payload, position))

    def _apply(self, moment: Moment, change: TopologyChange) -> None:
        self.journals.update((journal_id(spec), actor_of_exchange(spec.name)) for spec in change.put_exchanges)
        self.journals.update((journal_id(spec), actor_of_queue(spec.name)) for spec in change.put_queues)
        if change.is_snapshot:
            self._has_gap = False
        elif change.version > self._topology.version + 1:
            # What was lost may be a binding, so nothing is certain until the next snapshot.
            if not self._has_gap:
                self.notes.append("changes are missing from the registry's journal, so bindings may be wrong")
            self._has_gap = True
        if not self._has_gap:
            self._topology.apply(change)
        if not change.is_snapshot:
            self._note_change(moment, change)

    def _note_change(self, moment: Moment, change: TopologyChange) -> None:
        for binding in change.put_bindings:
            self._changed[identity_of(binding)] = (moment.at_ms, "bound")
        for binding in change.drop_bindings:
            self._changed[identity_of(binding)] = (moment.at_ms, "unbound")

    def _answer(self, question: Question) -> None:
        question.is_answered = True
        question.then = self._explain(question)
        question.is_uncertain = self._has_gap

    def _explain(self, question: Question) -> Explanation | None:
        try:
            return Router(self._topology, question.exchange).explain(question.routing_key, question.headers)
        except UnknownExchange:
            return None

    def finish(self) -> None:
        """The journal has been read: answer what is left, and compare with how it is now."""
        for question in self._open:
            self._answer(question)
        self._open = []
        for question in self._questions:
            question.notes = self._notes_on(question)

    def _notes_on(self, question: Question) -> list[str]:
        begins_ms = self._begins_ms or 0
        if self._begins_ms is None:
            return ["the registry's journal cannot be read, so nothing is known of bindings"]
        if question.at_ms and begins_ms > question.at_ms:
            question.is_uncertain = True
            return [
                f"the bindings of that moment are not known: the registry's journal begins at {clock(begins_ms)}; "
                "shown are those of then"
            ]
        if not begins_ms or not question.at_ms:
            question.is_uncertain = True
            return ["it is not known when things were bound: the registry's journal of that time has no times"]
        if question.then is None:
            return [f"exchange {shown(question.exchange)} was not there, says the registry's journal"]
        return self._changes_since(question, question.then)

    def _changes_since(self, question: Question, then: Explanation) -> list[str]:
        now = self._explain(question)
        if now is None:
            return [f"exchange {shown(question.exchange)} has been deleted since"]
        before = {_identity(one): one for one in then.matched}
        after = {_identity(one): one for one in now.matched}
        notes = []
        for identity, one in before.items():
            if identity not in after:
                notes.append(f"{binding_text(one)} matched then and is gone since{self._when(identity)}")
        for identity, one in after.items():
            if identity not in before:
                notes.append(f"{binding_text(one)} would match now; it was made since{self._when(identity)}")
        return notes

    def _when(self, identity: Identity) -> str:
        at_ms, _ = self._changed.get(identity, (0, ""))
        return f" ({clock(at_ms)})" if at_ms else ""


def binding_text(one: ExplainedBinding) -> str:
    """A binding inside a sentence."""
    kind = "exchange" if one.to_exchange else "queue"
    key = f" with key {shown(one.key)}" if one.key else ""
    return f"the binding {shown(one.source)} → {kind} {shown(one.destination)}{key}"


def _identity(one: ExplainedBinding) -> Identity:
    return identity_of(
        BindingSpec(
            source=one.source,
            destination=one.destination,
            to_exchange=one.to_exchange,
            key=one.key,
            arguments=one.arguments,
        )
    )

"""The bugs, by name: what each does to the product, and the number of the promise that it breaks.

`POSTHOUSE_PLANTED_BUG=name make simulate` runs with one of them. A broker refuses to start when that variable is set.
Each changes a method of a production class for as long as the context lasts, and nothing else.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, final
from unittest import mock

import msgspec

from posthouse.actors import delay_replay
from posthouse.actors.cell import Cell
from posthouse.actors.delay import DelayActor
from posthouse.actors.delay_records import Kind as DelayKind
from posthouse.actors.departures import Departures
from posthouse.actors.exchange import ExchangeActor
from posthouse.actors.held_journal import HeldJournal
from posthouse.actors.queue import QueueActor
from posthouse.actors.queue_consumers import Consumers
from posthouse.actors.queue_dispatch import Dispatch
from posthouse.actors.queue_failures import Failures
from posthouse.actors.queue_replay import QueueReplay
from posthouse.actors.receipts import Receipts
from posthouse.actors.registry_state import Operations
from posthouse.actors.topic_trie import TopicTrie
from posthouse.answers import Answers
from posthouse.serve import PLANTED
from posthouse.supervisor import journal_opening
from posthouse.supervisor.journal_recovery import Survey, survey_journal
from posthouse.transport import messages
from posthouse.transport.messages import NIL, Batch

Patch = contextlib.AbstractContextManager[Any]


def confirm_before_sync() -> Patch:
    """A round is let go before its sync; the next round makes up for it."""
    commit = Cell._commit

    def early(cell: Cell) -> None:
        wanted, cell._wants_sync = cell._wants_sync, False
        commit(cell)
        cell._wants_sync = wanted

    return mock.patch.object(Cell, "_commit", early)


def confirm_before_store() -> Patch:
    """The exchange answers a publisher before the queues have it."""

    def owe(self: Receipts, pending: Any) -> None:
        self._context.hold(pending.arrived)
        self._finished.append(pending)

    def settled(self: Receipts, pending: Any) -> None:
        """Answered long ago."""

    return _both(mock.patch.object(Receipts, "owe", owe), mock.patch.object(Receipts, "settled", settled))


def drop_one_in_many() -> Patch:
    """A queue loses one batch in fifty; everybody else believes that it has it."""
    store, count = QueueActor._store, itertools.count(1)

    def forgetful(self: QueueActor, link: Any, batch: Batch, raw: Any) -> Any:
        return None if next(count) % 50 == 0 else store(self, link, batch, raw)

    return mock.patch.object(QueueActor, "_store", forgetful)


def partial_fanout() -> Patch:
    """A batch for several queues is now and then sent to all but the last."""
    to_queues, count = ExchangeActor._to_queues, itertools.count(1)

    def partly(self: ExchangeActor, arrived: Any, batch: Batch, queues: tuple[str, ...]) -> Any:
        if len(queues) > 1 and next(count) % 4 == 0:
            pending = to_queues(self, arrived, batch, queues[:-1])
            pending.queues = queues
            return pending
        return to_queues(self, arrived, batch, queues)

    return mock.patch.object(ExchangeActor, "_to_queues", partly)


def deliver_early() -> Patch:
    """What is delayed leaves as soon as it is announced."""
    pack = DelayActor._pack

    def hasty(self: DelayActor, move: Any, bodies: Any, leaves_ms: int) -> None:
        pack(self, move, bodies, leaves_ms - 15)

    return mock.patch.object(DelayActor, "_pack", hasty)


def fire_twice() -> Patch:
    """After a crash the scheduler has forgotten what it had announced, and announces it under new numbers."""
    return mock.patch.object(delay_replay.DelayReplay, "_fire", return_value=None)


def forget_cancellations() -> Patch:
    """After a crash, what was cancelled is due again."""
    record = delay_replay.DelayReplay.record

    def forgetful(self: Any, position: int, kind: int, payload: Any) -> None:
        if kind != DelayKind.CANCELLED:
            record(self, position, kind, payload)

    return mock.patch.object(delay_replay.DelayReplay, "record", forgetful)


def skip_the_dead_letters() -> Patch:
    """What should go to the dead letters is gone."""

    def send(self: Departures) -> None:
        gone = []
        while (intent := self._state.outbox.take()) is not None:
            gone.append(intent)
        if gone:
            self.settled(gone)

    return mock.patch.object(Departures, "send", send)


def duplicate_on_restart() -> Patch:
    """A queue that comes back has forgotten what its publishers had sent."""
    start = QueueActor.start

    def forgetful(self: QueueActor) -> None:
        start(self)
        self._state._contents.streams._last_seqs.clear()

    return mock.patch.object(QueueActor, "start", forgetful)


def lose_the_attempt_count() -> Patch:
    """After a crash every delivery is the first again."""
    return mock.patch.object(QueueReplay, "delivered", return_value=None)


def retry_at_once() -> Patch:
    """Whatever pause a consumer asks for, a message is back at once."""
    return mock.patch.object(Failures, "_due_ms", lambda self, failure, times: failure.now_ms)


def newest_first() -> Patch:
    """A queue hands out the second before the first, now and then."""
    deliver, count = Dispatch._deliver, itertools.count(1)

    def reckless(self: Dispatch, consumer: Any, limit: int, auto_ack: bool, chosen: int | None = None) -> Any:
        if (
            chosen is None
            and next(count) % 3 == 0
            and self._contents.ready.pieces(self._ready.first + 1, self._ready.first + 1)
        ):
            chosen = self._ready.first + 1
        return deliver(self, consumer, limit, auto_ack, chosen)

    return mock.patch.object(Dispatch, "_deliver", reckless)


def lose_headers() -> Patch:
    """A message comes without its headers, now and then."""
    slice_message, count = QueueActor._slice_message, itertools.count(1)

    def bare(self: QueueActor, consumer: int, part: Any) -> Any:
        whole = slice_message(self, consumer, part)
        if next(count) % 20:
            return whole
        batch = messages.decode(whole.batch)
        assert isinstance(batch, Batch)
        fields = {name: getattr(batch, name) for name in batch.__struct_fields__} | {"headers": NIL}
        return msgspec.structs.replace(whole, batch=msgspec.Raw(messages.encode(Batch(**fields))))

    return mock.patch.object(QueueActor, "_slice_message", bare)


def misroute() -> Patch:
    """A star matches some words only."""
    match = TopicTrie.match

    def picky(self: TopicTrie, routing_key: str, headers: Any) -> Any:
        return [one for one in match(self, routing_key, headers) if "*" not in one.key or not routing_key.endswith("c")]

    return mock.patch.object(TopicTrie, "match", picky)


def bind_before_it_counts() -> Patch:
    """A binding is confirmed before the exchanges know of it."""
    return mock.patch.object(Operations, "_is_applied", return_value=True)


def hold_in_memory() -> Patch:
    """What nobody wants yet is held, confirmed and not written down in time."""
    held = HeldJournal.held

    def lazy(self: HeldJournal, entry: Any, *, is_synced: bool) -> None:
        held(self, entry, is_synced=False)

    return mock.patch.object(HeldJournal, "held", lazy)


def refuse_and_store() -> Patch:
    """A publisher hears that a batch was refused, and a queue has it."""
    settled, count = Receipts.settled, itertools.count(1)

    def liar(self: Receipts, pending: Any) -> None:
        if next(count) % 40 == 0:
            self.refused(pending, "queue_full", "planted")
        else:
            settled(self, pending)

    count_down = {"inside": False}

    def guarded(self: Receipts, pending: Any) -> None:
        if count_down["inside"]:
            settled(self, pending)
            return
        count_down["inside"] = True
        try:
            liar(self, pending)
        finally:
            count_down["inside"] = False

    return mock.patch.object(Receipts, "settled", guarded)


def forget_credit() -> Patch:
    """A consumer that has settled everything gets nothing more."""
    return mock.patch.object(Consumers, "regain", return_value=None)


def answer_late_calls() -> Patch:
    """A server handles what nobody waits for any more."""
    return mock.patch.object(Answers, "drop_late", return_value=False)


def truncate_the_damaged() -> Patch:
    """A journal is cut at its first damage, wherever that is, and served."""
    return mock.patch.object(Survey, "is_corrupt", property(lambda survey: False))


def accept_a_stale_generation() -> Patch:
    """A life that was replaced may write the journal again."""

    def lenient(disk: Any, directory: str) -> Survey:
        survey = survey_journal(disk, directory)
        survey.generation = 0
        return survey

    return mock.patch.object(journal_opening, "survey_journal", lenient)


@final
class Bug(NamedTuple):
    """`promise` is the number of what it breaks; it shows in runs that have these features."""

    patch: Callable[[], Patch]
    promise: str
    features: frozenset[str] = frozenset()


BUGS: Final[dict[str, Bug]] = {
    "confirm-before-sync": Bug(confirm_before_sync, "I1", frozenset({"power"})),
    "confirm-before-store": Bug(confirm_before_store, "I1"),
    "drop-one-in-many": Bug(drop_one_in_many, "I1"),
    "partial-fanout": Bug(partial_fanout, "I1", frozenset({"routes"})),
    "refuse-and-store": Bug(refuse_and_store, "I2"),
    "lose-headers": Bug(lose_headers, "I3"),
    "skip-the-dead-letters": Bug(skip_the_dead_letters, "I4"),
    "answer-late-calls": Bug(answer_late_calls, "I4", frozenset({"calls"})),
    "lose-the-attempt-count": Bug(lose_the_attempt_count, "I7"),
    "newest-first": Bug(newest_first, "I8"),
    "deliver-early": Bug(deliver_early, "I9", frozenset({"delay"})),
    "retry-at-once": Bug(retry_at_once, "I11"),
    "duplicate-on-restart": Bug(duplicate_on_restart, "I13"),
    "fire-twice": Bug(fire_twice, "I13", frozenset({"delay"})),
    "misroute": Bug(misroute, "I14", frozenset({"routes"})),
    "bind-before-it-counts": Bug(bind_before_it_counts, "I14", frozenset({"changing"})),
    "hold-in-memory": Bug(hold_in_memory, "I15", frozenset({"hold", "power"})),
    "forget-cancellations": Bug(forget_cancellations, "I17", frozenset({"delay"})),
    "forget-credit": Bug(forget_credit, "I18"),
    "accept-a-stale-generation": Bug(accept_a_stale_generation, "I19"),
    "truncate-the-damaged": Bug(truncate_the_damaged, "I21"),
}


def plant(name: str) -> Patch:
    """The product with this bug, while the context lasts."""
    return BUGS[name].patch()


def plant_from_environment() -> Patch:
    """The one that `POSTHOUSE_PLANTED_BUG` names, if any."""
    name = os.environ.get(PLANTED)
    return contextlib.nullcontext() if name is None else plant(name)


@contextlib.contextmanager
def _both(*patches: Patch) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield

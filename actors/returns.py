"""How dead letters return: redrives at their pace, canaries first, and the undoing of what nobody has touched.

A part of the dead-letter actor's shell. What is to go is chosen here and moved by `outgoing.py`. A redrive is in the
journal when it begins and when it ends, and its moves name it: after a crash it goes on where it was, unless its
canaries were still out. A destination that refuses leaves the letters in the store, and the redrive stops for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from posthouse.actors.actor import Context
from posthouse.actors.dead_letter_group import Group
from posthouse.actors.dead_letter_records import Kind, RedriveRecord, encode_redrive
from posthouse.actors.dead_letter_store import DeadLetterStore, Headers, Range, Return
from posthouse.actors.destinations import Destination, destination_of, through
from posthouse.actors.move import Intent
from posthouse.actors.outgoing import Outgoing
from posthouse.actors.redrive import Canary, Job, check_redrive
from posthouse.actors.taking_back import TakingBack
from posthouse.supervisor import control_messages as control
from posthouse.transport.errors import (
    ActorDown,
    PreconditionFailed,
    UnknownDeadLetter,
    UnknownExchange,
    UnknownQueue,
)
from posthouse.transport.links import Link
from posthouse.transport.messages import Batch
from posthouse.transport.messages_dead import LookAfter, Redrive, RedriveInfo, UndoRedrive

JOBS_MAX: Final = 16
CAUSES_SHOWN: Final = 100
BATCH_MESSAGES_MAX: Final = 1_000
ROUND_MESSAGES_MAX: Final = 5_000
LOOK_AFTER_MS: Final = 200
WORK: Final = "redrive"
LOOK: Final = "canaries"


@final
class Returns:
    """All redrives."""

    def __init__(
        self,
        context: Context,
        store: DeadLetterStore,
        outgoing: Outgoing,
        batch_of: Callable[[int], Batch],
        headers_of: Headers,
    ) -> None:
        self._context = context
        self._store = store
        self._outgoing = outgoing
        self._batch_of = batch_of
        self._headers_of = headers_of
        self._taking_back = TakingBack(context, outgoing)
        self._jobs: dict[int, Job] = {}
        self._asked: dict[tuple[int, int], int] = {}
        self._waiting: list[tuple[str, Link, Redrive]] = []
        self._undos: list[tuple[Job, Link, UndoRedrive]] = []
        self._is_looking = False
        outgoing.ended = self._ended
        outgoing.gone = self._gone
        outgoing.request_of = self._request_of

    # ---- life ----

    def start(self) -> None:
        """Redrives of an earlier life go on, but for those whose canaries were out, and nobody knows what of them."""
        for record in self._store.redrives.values():
            if record.is_over:
                continue
            # A power cut may have kept later moves of a round and not earlier ones, so everything is looked at again.
            record.cursor = 0
            job = self._revived(record)
            if record.asked.canary and not record.is_past_canaries:
                job.stop("the dead-letter actor restarted while its canaries were out; the rest stays")
                self._settle(job)

    def _revived(self, record: RedriveRecord) -> Job:
        now_ms = self._context.monotonic_ms
        job = Job(record, paid_ms=now_ms, began_ms=now_ms, began_with=record.moved, has_walked=record.is_over)
        self._jobs[record.number] = job
        return job

    # ---- requests ----

    def begin(self, link: Link, asked: Redrive) -> None:
        """Answer with the redrive once it is certain that its destination exists. Raises what is wrong with it."""
        check_redrive(asked)
        if not asked.dry_run and sum(not job.is_over for job in self._jobs.values()) >= JOBS_MAX:
            raise PreconditionFailed(f"{JOBS_MAX} redrives are running; wait for one, or stop one")
        destination: Destination | None = None
        if asked.to is not None:
            destination = Destination(asked.to)
        elif asked.to_exchange is not None:
            destination = through(asked.to_exchange, "", "")
        if destination is not None and not self._outgoing.peer(destination).is_known:
            self._waiting.append((destination.actor, link, asked))
            return
        self._begin(link, asked)

    def _begin(self, link: Link, asked: Redrive) -> None:
        store, now_ms = self._store, self._context.monotonic_ms
        matched = store.count(asked.filter, self._headers_of)
        if asked.dry_run:
            causes = store.causes(asked.filter, self._headers_of, CAUSES_SHOWN, with_leaving=False)
            info = RedriveInfo(id=0, state="dry_run", matched=matched, remaining=matched, causes=tuple(causes))
            self._context.reply(link, asked.request, info)
            return
        # The same request asked again, because the answer was lost, is the same redrive.
        key = (link.client_id, asked.request)
        job = self._jobs.get(self._asked.get(key, 0))
        if job is None:
            number = max(store.redrives, default=0) + 1
            job = self._revived(RedriveRecord(number, asked, matched, store.next_id - 1, self._context.wall_ms))
            store.keep_redrive(job.record)
            self._journal(job)
            self._jobs = {number: one for number, one in self._jobs.items() if number in store.redrives}
            self._asked = {asker: number for asker, number in self._asked.items() if number in self._jobs}
            self._asked[key] = number
            self._work_on(job)
        self._context.reply(link, asked.request, job.info(now_ms))

    def status(self, number: int, *, stop: bool) -> RedriveInfo:
        """One redrive as it stands, after it was stopped if that is asked. Raises UnknownDeadLetter."""
        job = self._find(number)
        if stop:
            job.stop("it was stopped by hand")
            self._settle(job)
        return job.info(self._context.monotonic_ms)

    def undo(self, link: Link, asked: UndoRedrive) -> None:
        """Stop a redrive, and answer when the queues have let go of what nobody was given yet."""
        job = self._find(asked.id)
        if any(destination_of(key).is_exchange for key in job.record.streams):
            raise PreconditionFailed(
                f"redrive {asked.id} went through an exchange; what that has routed cannot be taken back"
            )
        self._undos.append((job, link, asked))
        job.stop("it was undone")
        self._settle(job)
        self._begin_undos()

    def _begin_undos(self) -> None:
        """Of redrives that are over: what is still on its way would come behind the question what is there."""
        ready = [one for one in self._undos if one[0].is_over]
        self._undos = [one for one in self._undos if not one[0].is_over]
        for job, link, asked in ready:
            self._undo(job, link, asked)

    def _undo(self, job: Job, link: Link, asked: UndoRedrive) -> None:
        streams = job.record.streams.items()
        moves = [(Destination(key), self._store.outboxes[key].stream, ranges) for key, ranges in streams]

        def done(taken: int) -> None:
            job.record.taken_back += taken
            self._journal(job)
            self._context.reply(link, asked.request, job.info(self._context.monotonic_ms))

        self._taking_back.begin(moves, done)

    def _find(self, number: int) -> Job:
        job = self._jobs.get(number)
        if job is None:
            record = self._store.redrives.get(number)
            if record is None:
                raise UnknownDeadLetter(f"there is no redrive {number}, or it was so long ago that it is forgotten")
            job = self._revived(record)
        return job

    # ---- what happens ----

    def noticed(self, message: control.FromSupervisor) -> None:
        if not isinstance(message, control.Up | control.Down):
            return
        if isinstance(message, control.Up):
            for link, asked in self._take_waiting(message.id):
                self._begin(link, asked)
        elif message.state == "quarantined":
            for link, asked in self._take_waiting(message.id):
                what = f"queue {asked.to!r}" if asked.to is not None else f"exchange {asked.to_exchange!r}"
                self._context.refuse(link, asked.request, ActorDown(f"{what} is quarantined: {message.reason}"))

    def _gone(self, actor: str) -> None:
        """The registry says that it does not exist."""
        for link, asked in self._take_waiting(actor):
            error: Exception = UnknownExchange(f"there is no exchange {asked.to_exchange!r}; declare it first")
            if asked.to is not None:
                error = UnknownQueue(f"there is no queue {asked.to!r}; declare it first")
            self._context.refuse(link, asked.request, error)

    def _take_waiting(self, actor: str) -> list[tuple[Link, Redrive]]:
        taken = [one[1:] for one in self._waiting if one[0] == actor]
        self._waiting = [one for one in self._waiting if one[0] != actor]
        return taken

    def died_again(self, stream: int, first_seq: int, count: int) -> None:
        """Letters came in that the store had sent under these numbers. They may be canaries."""
        key = self._store.key_of(stream)
        for job in self._jobs.values():
            if job.is_over or not job.canaries:
                continue
            for (sent_to, seq), canary in job.canaries.items():
                if sent_to == key and seq <= first_seq < seq + canary.count:
                    job.died_again(canary, count)
                    self._settle(job)

    def wake(self, key: str) -> None:
        """Time to go on; `work` does."""
        if key == LOOK:
            self._is_looking = False
            for job in self._jobs.values():
                for canary in job.canaries.values():
                    if canary.first_offset and not canary.is_decided and not job.is_over:
                        self._look_after(job, canary)

    def _ended(self, intent: Intent[Return], text: str | None) -> None:
        job = self._jobs.get(intent.item.redrive)
        if job is None:
            return
        if text is not None:
            destination = destination_of(intent.item.key)
            job.unavailable.add(destination.actor)
            is_canary = job.canaries.pop((intent.item.key, intent.first_seq), None) is not None
            if is_canary or job.asked.to is not None:
                job.stop(text or f"{destination.text} does not take them")
            job.record.text = job.record.text or text
        self._settle(job)

    # ---- choosing ----

    def work(self) -> None:
        """Choose what may go now."""
        if not self._jobs:
            return
        now_ms = self._context.monotonic_ms
        due: list[int] = []
        for job in self._jobs.values():
            if not job.is_over:
                self._work_on(job)
                next_ms = job.next_ms(now_ms)
                due += [] if next_ms is None else [next_ms]
                if job.is_canary and not self._is_looking:
                    self._is_looking = True
                    self._context.set_timer(LOOK, now_ms + LOOK_AFTER_MS)
        if due:
            self._context.set_timer(WORK, min(due))

    def _work_on(self, job: Job) -> None:
        """Turn what a redrive may send now into intents."""
        allowance = job.allowance(self._context.monotonic_ms)
        room = ROUND_MESSAGES_MAX if allowance is None else min(allowance, ROUND_MESSAGES_MAX)
        if room <= 0 or any(self._store.outboxes[key].has_unsent for key in job.record.streams):
            self._settle(job)
            return
        is_canary = job.is_canary
        chosen: dict[Destination, list[tuple[int, Range]]] = {}
        is_end = True
        for group in self._store.groups(job.filter, self._headers_of, job.record.cursor):
            if group.first_id > job.record.up_to:
                break
            if room <= 0:
                is_end = False
                break
            destination = _destination(job.asked, group)
            if not destination.name and not destination.is_exchange:
                job.remark = "letters that died in no queue have no canaries and stay; name the queue they should go to"
                continue
            if destination.actor in job.unavailable:
                continue
            for first, last in self._store.ranges(group, job.filter):
                first = max(first, job.record.cursor + 1)
                last = min(last, job.record.up_to, first + room - 1)
                if last >= first:
                    chosen.setdefault(destination, []).append((group.first_id, (first, last)))
                    room -= last - first + 1
                    job.went(last - first + 1)
        is_past = bool(job.asked.canary) and not is_canary and not job.record.is_past_canaries
        for destination, pieces in chosen.items():
            self._intend(job, destination, pieces, is_canary=is_canary)
        job.has_walked = job.has_walked or (is_end and room > 0)
        if is_past:
            job.record.is_past_canaries = True
            self._journal(job)
        self._settle(job)
        if not job.is_over and not job.has_walked and not job.asked.rate and not job.is_canary:
            self._context.set_timer(WORK, self._context.monotonic_ms)

    def _intend(self, job: Job, destination: Destination, pieces: list[tuple[int, Range]], *, is_canary: bool) -> None:
        """Letters that go to one place: neighbours that share everything but the body travel as one batch."""
        run: list[Range] = []
        count = 0
        shared: Any = None
        for first_id, (first, last) in pieces:
            key = _shared(self._batch_of(first_id))
            if run and (key != shared or count + last - first + 1 > BATCH_MESSAGES_MAX):
                self._intend_one(job, destination, run, is_canary=is_canary)
                run, count = [], 0
            shared = key
            run.append((first, last))
            count += last - first + 1
        self._intend_one(job, destination, run, is_canary=is_canary)

    def _intend_one(self, job: Job, destination: Destination, ranges: list[Range], *, is_canary: bool) -> None:
        intent = self._outgoing.intend(destination, ranges, job.record.number)
        if is_canary:
            job.canaries[destination.key, intent.first_seq] = Canary(destination.name, intent.count)

    def _settle(self, job: Job) -> None:
        if job.settle():
            self._journal(job)
            self._begin_undos()

    def _journal(self, job: Job) -> None:
        self._context.append(Kind.REDRIVE, encode_redrive(job.record))

    # ---- canaries ----

    def _request_of(self, intent: Intent[Return]) -> int:
        """Canaries are followed by the offsets that their queue gives them."""
        job = self._jobs.get(intent.item.redrive)
        canary = None if job is None else job.canaries.get((intent.item.key, intent.first_seq))
        if job is None or canary is None or canary.first_offset:
            return 0

        def arrived(first_offset: Any) -> None:
            canary.first_offset = first_offset or 0
            if not first_offset and not job.is_over and not intent.is_refused:
                canary.is_decided = True
                job.stop("the outcome of the canaries is not known, because their queue restarted; the rest stays")
            self._settle(job)

        return self._outgoing.expect(destination_of(intent.item.key).actor, arrived)

    def _look_after(self, job: Job, canary: Canary) -> None:
        last = canary.first_offset + canary.count - 1

        def answered(result: Any) -> None:
            if result is not None:
                job.judge(canary, int(result[0]))
                self._settle(job)

        self._outgoing.ask(
            Destination(canary.queue), lambda number: LookAfter(number, canary.first_offset, last), answered
        )


def _destination(asked: Redrive, group: Group) -> Destination:
    if asked.to_exchange is not None:
        return through(asked.to_exchange, group.queue, group.routing_key)
    if not asked.to and not group.queue and not asked.canary:
        return through(group.exchange, "", group.routing_key)
    return Destination(asked.to or group.queue)


def _shared(batch: Batch) -> tuple[Any, ...]:
    """What the messages of a batch share, besides stream and numbers."""
    return (batch.exchange, batch.routing_key, bytes(batch.headers), batch.published_ms, batch.options)

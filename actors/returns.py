"""How dead letters return to queues: redrives at their pace, and the moves they are made of.

A part of the dead-letter actor's shell. An intent is journaled and synced before it is sent, under a number of the
stream to its queue; when the queue has it on disk, the letters are gone from the store. A queue that refuses, or is
gone, leaves them in the store, and the redrive stops. What was intended when the actor died is sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.dead_letter_records import Kind, Leaving, encode_leaving, encode_ranges
from posthouse.actors.dead_letter_store import DeadLetterStore, Headers, Range, Return
from posthouse.actors.existence import TIMER as EXISTENCE
from posthouse.actors.existence import Existence
from posthouse.actors.move import Intent, Outbox
from posthouse.actors.redrive import Canary, Job, check_redrive
from posthouse.supervisor import control_messages as control
from posthouse.transport import messages
from posthouse.transport.batch import joined
from posthouse.transport.errors import ActorDown, PreconditionFailed, UnknownDeadLetter, UnknownQueue
from posthouse.transport.links import Link
from posthouse.transport.messages import Batch, Failed, Reply, StoreNote
from posthouse.transport.messages_dead import LookAfter, Redrive, RedriveInfo, Restore
from posthouse.transport.names import actor_of_queue, check_name

JOBS_MAX: Final = 16
JOBS_REMEMBERED: Final = 100
BATCH_MESSAGES_MAX: Final = 1_000
ROUND_MESSAGES_MAX: Final = 5_000
LOOK_AFTER_MS: Final = 200
WORK: Final = "redrive"
LOOK: Final = "canaries"


@final
@dataclass(eq=False)
class Target:
    """A queue that letters return to. `is_known`: the supervisor has said that it lives."""

    queue: str
    link: Link
    is_known: bool = False


@final
class Returns:
    """All redrives, and everything on its way to a queue."""

    def __init__(
        self, context: Context, store: DeadLetterStore, batch_of: Callable[[int], Batch], headers_of: Headers
    ) -> None:
        self._context = context
        self._store = store
        self._batch_of = batch_of
        self._headers_of = headers_of
        self._targets: dict[str, Target] = {}
        self._jobs: dict[int, Job] = {}
        self._asked: dict[tuple[int, int], int] = {}
        self._waiting: list[tuple[Link, Redrive]] = []
        self._job_of: dict[tuple[str, int], Job] = {}
        self._looks: dict[int, tuple[Job, Canary]] = {}
        self._notes: dict[tuple[str, int], StoreNote] = {}
        self._existence = Existence(context)
        self._is_looking = False
        self._last_request = self._last_job = 0

    # ---- life ----

    def start(self) -> None:
        """What was intended in an earlier life goes on its way again."""
        for queue, outbox in self._store.outboxes.items():
            if len(outbox):
                self._target(queue)

    def owns(self, link: Link) -> bool:
        """Is this the link to a queue that letters return to?"""
        return any(target.link is link for target in self._targets.values())

    def hears(self, link: Link) -> bool:
        """Do answers over this link belong here?"""
        return self._existence.owns(link) or self.owns(link)

    # ---- requests ----

    def begin(self, link: Link, asked: Redrive) -> None:
        """Answer with the redrive once it is certain that its queue exists. Raises what is wrong with it."""
        check_redrive(asked)
        if asked.to is not None:
            check_name("queue", asked.to)
        if not asked.dry_run and sum(not job.is_over for job in self._jobs.values()) >= JOBS_MAX:
            raise PreconditionFailed(f"{JOBS_MAX} redrives are running; wait for one, or stop one")
        if asked.to is not None and not self._target(asked.to).is_known:
            self._waiting.append((link, asked))
            return
        self._begin(link, asked)

    def _begin(self, link: Link, asked: Redrive) -> None:
        matched = self._store.count(asked.filter, self._headers_of)
        if asked.dry_run:
            self._context.reply(link, asked.request, RedriveInfo(id=0, state="dry_run", matched=matched))
            return
        # The same request asked again, because the answer was lost, is the same redrive.
        key = (link.client_id, asked.request)
        job = self._jobs.get(self._asked.get(key, 0))
        if job is None:
            self._last_job += 1
            up_to, now_ms = self._store.next_id - 1, self._context.monotonic_ms
            job = Job(self._last_job, asked, matched, up_to, now_ms, paid=1.0, paid_ms=now_ms)
            self._jobs[job.number] = job
            self._asked[key] = job.number
            while len(self._jobs) > JOBS_REMEMBERED:
                oldest = next(iter(self._jobs))
                del self._jobs[oldest]
                self._asked = {asker: number for asker, number in self._asked.items() if number != oldest}
            self._work_on(job)
        self._context.reply(link, asked.request, job.info())

    def status(self, number: int, *, stop: bool) -> RedriveInfo:
        """One redrive as it stands, after it was stopped if that is asked. Raises UnknownDeadLetter."""
        job = self._jobs.get(number)
        if job is None:
            raise UnknownDeadLetter(
                f"there is no redrive {number}; when the dead-letter actor restarts, redrives end where they are"
            )
        if stop:
            job.stop("it was stopped by hand")
            job.settle()
        return job.info()

    def noticed(self, message: control.FromSupervisor) -> None:
        if not isinstance(message, control.Up | control.Down):
            return
        target = next((one for one in self._targets.values() if actor_of_queue(one.queue) == message.id), None)
        if target is None:
            return
        queue = target.queue
        if isinstance(message, control.Up):
            target.is_known = True
            self._existence.forget(queue)
            for link, asked in self._take_waiting(queue):
                self._begin(link, asked)
            return
        if message.state == "quarantined":
            for link, asked in self._take_waiting(queue):
                text = f"queue {queue!r} is quarantined: {message.reason}"
                self._context.refuse(link, asked.request, ActorDown(text))
        elif message.state in ("unknown", "stopped"):
            self._existence.ask(queue)

    def _is_gone(self, queue: str) -> None:
        """Whatever it may have taken is gone with it, so the letters are here and nowhere else."""
        for link, asked in self._take_waiting(queue):
            self._context.refuse(link, asked.request, UnknownQueue(f"there is no queue {queue!r}; declare it first"))
        target = self._targets.pop(queue, None)
        if target is not None:
            self._context.disconnect(target.link)
            self._give_up(queue, f"there is no queue {queue!r}")

    def heard(self, link: Link, message: Reply | Failed | StoreNote) -> None:
        """A queue answers, or the registry."""
        if self._existence.owns(link):
            gone = None if isinstance(message, StoreNote) else self._existence.heard(message)
            if gone is not None:
                self._is_gone(gone)
            return
        if isinstance(message, StoreNote):
            queue = self._queue_of(link)
            self._notes[queue, message.first_seq] = message
            self._store.outboxes[queue].refused(message.first_seq)
            return
        job, canary = self._looks.pop(message.request, (None, None))
        if job is None or canary is None or isinstance(message, Failed):
            return
        answer = msgspec.msgpack.decode(message.result)
        if isinstance(answer, int):
            canary.first_offset = answer
            if not answer and not job.is_over:
                canary.is_decided = True
                job.stop("the outcome of the canaries is not known, because their queue restarted; the rest stays")
        else:
            job.judge(canary, *answer)
        job.settle()

    def settled(self, link: Link, contexts: list[Any]) -> None:
        """A queue settled intents: what it did not refuse is gone from here."""
        queue = self._queue_of(link)
        outbox = self._store.outboxes[queue]
        left: list[Range] = []
        back: list[Intent[Return]] = []
        given: list[Intent[Return]] = contexts
        for intent in given:
            if outbox.answered(intent):
                self._store.left(intent.item.ranges)
                left += intent.item.ranges
                job = self._job_of.pop((queue, intent.first_seq), None)
                if job is not None:
                    job.moved += intent.count
                    job.settle()
            elif outbox.get(intent.first_seq) is not None:
                back.append(intent)
        if left:
            self._context.append(Kind.LEFT, encode_ranges(sorted(left)), is_durable=False)
        for intent in back:
            note = self._notes.pop((queue, intent.first_seq), None)
            self._rest(queue, [intent], "" if note is None or note.code == "gap" else note.text)

    def abandoned(self, link: Link, contexts: list[Any]) -> None:
        """The link ended for good, and nobody knows what the queue took: offer it again under the same numbers."""
        outbox = self._store.outboxes[self._queue_of(link)]
        for intent in contexts:
            outbox.refused(intent.first_seq)
            outbox.answered(intent)
        self._context.set_timer(WORK, self._context.monotonic_ms + LOOK_AFTER_MS)

    def buried(self, batch: Batch) -> None:
        """Letters came in. They may be canaries that died again."""
        for job in self._jobs.values():
            if job.is_over or not job.canaries:
                continue
            for (queue, first_seq), canary in job.canaries.items():
                in_stream = self._store.outboxes[queue].stream == batch.stream
                if in_stream and first_seq <= batch.first_seq < first_seq + canary.count:
                    job.died_again(canary, batch.count)
                    job.settle()

    def wake(self, key: str) -> None:
        """Time to go on; `work` does."""
        if key == EXISTENCE:
            self._existence.wake()
        elif key == LOOK:
            self._is_looking = False
            for job in self._jobs.values():
                for canary in job.canaries.values():
                    if canary.first_offset and not canary.is_decided and not job.is_over:
                        self._look_after(job, canary)

    # ---- the moves ----

    def work(self) -> None:
        """Choose what may go now, journal it, and send what there is room for."""
        if not self._jobs and not self._targets:
            return
        now_ms = self._context.monotonic_ms
        due: list[int] = []
        for job in self._jobs.values():
            if not job.is_over:
                self._work_on(job)
                next_ms = job.next_ms(now_ms)
                due += [] if next_ms is None else [next_ms]
                if job.info().state == "canary" and not self._is_looking:
                    self._is_looking = True
                    self._context.set_timer(LOOK, now_ms + LOOK_AFTER_MS)
        for target in list(self._targets.values()):
            self._send(target)
        if due:
            self._context.set_timer(WORK, min(due))

    def _work_on(self, job: Job) -> None:
        """Turn what a redrive may send now into intents."""
        allowance = job.allowance(self._context.monotonic_ms)
        room = ROUND_MESSAGES_MAX if allowance is None else min(allowance, ROUND_MESSAGES_MAX)
        if room <= 0 or any(outbox.has_unsent for outbox in self._store.outboxes.values()):
            job.settle()
            return
        is_canary = job.is_canary
        chosen: dict[str, list[tuple[int, Range]]] = {}
        is_end = True
        for group in self._store.groups(job.filter, self._headers_of, job.cursor):
            if group.first_id > job.up_to:
                break
            if room <= 0:
                is_end = False
                break
            queue = job.asked.to or group.queue
            if queue in job.unavailable:
                continue
            for first, last in self._store.ranges(group, job.filter):
                last = min(last, job.up_to, first + room - 1)
                if last >= first:
                    chosen.setdefault(queue, []).append((group.first_id, (first, last)))
                    room -= last - first + 1
                    job.went(last - first + 1, last)
        job.has_walked = job.has_walked or (is_end and room > 0)
        for queue, pieces in chosen.items():
            self._intend(job, queue, pieces, is_canary=is_canary)
        job.settle()
        if not job.is_over and not job.has_walked and not job.asked.rate and not job.is_canary:
            self._context.set_timer(WORK, self._context.monotonic_ms)

    def _intend(self, job: Job, queue: str, pieces: list[tuple[int, Range]], *, is_canary: bool) -> None:
        """Letters that go to one queue: neighbours that share everything but the body travel as one batch."""
        self._target(queue)
        run: list[Range] = []
        count = 0
        shared: Any = None
        for first_id, (first, last) in pieces:
            key = _shared(self._batch_of(first_id))
            if run and (key != shared or count + last - first + 1 > BATCH_MESSAGES_MAX):
                self._intend_one(job, queue, run, is_canary=is_canary)
                run, count = [], 0
            shared = key
            run.append((first, last))
            count += last - first + 1
        self._intend_one(job, queue, run, is_canary=is_canary)

    def _intend_one(self, job: Job, queue: str, ranges: list[Range], *, is_canary: bool) -> None:
        intent = self._store.leave(queue, ranges)
        flat = [number for pair in ranges for number in pair]
        leaving = Leaving(queue, self._store.outboxes[queue].stream, intent.first_seq, flat)
        self._context.append(Kind.LEAVING, encode_leaving(leaving))
        self._job_of[queue, intent.first_seq] = job
        if is_canary:
            job.canaries[queue, intent.first_seq] = Canary(queue, intent.count)

    def _send(self, target: Target) -> None:
        outbox = self._store.outboxes[target.queue]
        while (intent := outbox.take()) is not None:
            batch = self._batch(outbox, intent)
            job = self._job_of.get((target.queue, intent.first_seq))
            canary = None if job is None else job.canaries.get((target.queue, intent.first_seq))
            request = 0
            if job and canary and not canary.first_offset:
                self._last_request += 1
                request = self._last_request
                self._looks[request] = (job, canary)
            encoded = messages.encode(Restore(outbox.floor, msgspec.Raw(messages.encode(batch)), request))
            self._context.forward(target.link, encoded, len(encoded), intent.count, intent)

    def _batch(self, outbox: Outbox[Return], intent: Intent[Return]) -> Batch:
        parts: list[tuple[Batch, int, int]] = []
        for first, last in intent.item.ranges:
            entry = self._store.backlog.find(first)
            start = first - entry.first_offset
            parts.append((self._batch_of(entry.first_offset), start, start + last - first + 1))
        return joined(parts, outbox.stream, intent.first_seq)

    def _look_after(self, job: Job, canary: Canary) -> None:
        target = self._targets.get(canary.queue)
        if target is not None and not any(known is canary for _, known in self._looks.values()):
            self._last_request += 1
            self._looks[self._last_request] = (job, canary)
            last = canary.first_offset + canary.count - 1
            self._context.send(target.link, LookAfter(self._last_request, canary.first_offset, last))

    def _give_up(self, queue: str, text: str) -> None:
        outbox = self._store.outboxes.get(queue)
        if outbox is not None:
            self._rest(queue, outbox.intents(), text)
        for request in [request for request, (_, canary) in self._looks.items() if canary.queue == queue]:
            del self._looks[request]

    def _rest(self, queue: str, intents: list[Intent[Return]], text: str) -> None:
        """These are certainly not in the queue: they stay in the store, and their redrives stop for this queue."""
        outbox = self._store.outboxes[queue]
        ranges: list[Range] = []
        for intent in intents:
            outbox.drop(intent)
            ranges += intent.item.ranges
            job = self._job_of.pop((queue, intent.first_seq), None)
            if job is not None:
                job.back += intent.count
                job.unavailable.add(queue)
                if job.canaries.pop((queue, intent.first_seq), None) is not None or job.asked.to is not None:
                    job.stop(text or f"queue {queue!r} does not take them")
                job.text = job.text or text
                job.settle()
        if ranges:
            self._store.returned(ranges)
            self._context.append(Kind.RETURNED, encode_ranges(sorted(ranges)))

    # ---- inside ----

    def _target(self, queue: str) -> Target:
        target = self._targets.get(queue)
        if target is None:
            outbox = self._store.outboxes.setdefault(queue, Outbox())
            outbox.stream = outbox.stream or self._context.random.getrandbits(62) | 1
            target = self._targets[queue] = Target(queue, self._context.connect(actor_of_queue(queue)))
        return target

    def _queue_of(self, link: Link) -> str:
        return next(target.queue for target in self._targets.values() if target.link is link)

    def _take_waiting(self, queue: str) -> list[tuple[Link, Redrive]]:
        taken = [one for one in self._waiting if one[1].to == queue]
        self._waiting = [one for one in self._waiting if one[1].to != queue]
        return taken


def _shared(batch: Batch) -> tuple[Any, ...]:
    """What the messages of a batch share, besides stream and numbers."""
    return (batch.exchange, batch.routing_key, bytes(batch.headers), batch.published_ms, batch.options)

"""What must hold of a history. One pass in the order of time; what is kept grows by a byte or two per message.

Violations are labelled with the number of the promise in docs/guarantees.md. What clients did not learn (their process
was killed, the time was up) may have happened or not, and nothing is ever blamed on it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, final

from posthouse.testing import history as h
from posthouse.testing.plan import LANES, MAX_ATTEMPTS, ORDERED, RETRY_S, WORK, Name

NS_PER_MS: Final = 1_000_000
CALM_NS: Final = 10 * 1_000_000_000
"""So long after a fault, what a session had may still be handed to another."""

QUIET_NS: Final = 3 * 1_000_000_000
"""So long after a fault, lateness is not the fault's."""

SHOWN_MAX: Final = 20
"""Violations of one promise that are told in words; all are counted."""

# What a publisher knows of a message.
_INVOKED, _CONFIRMED, _REFUSED, _UNKNOWN = 1, 2, 3, 4
# What a queue has done with it.
_CAME, _ACKED, _TOLD = 1, 2, 4


@final
@dataclass
class Verdict:
    """What the checkers found, and what they looked at."""

    violations: Counter[str] = field(default_factory=Counter)
    """By number of the promise."""
    shown: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    lateness_ms: list[int] = field(default_factory=list)
    """Of delayed messages, at their first delivery, when nothing had been wrong for a while."""
    came: Counter[str] = field(default_factory=Counter)
    """By queue, how many different messages its consumers have seen."""

    def blame(self, promise: str, text: str) -> None:
        self.violations[promise] += 1
        if self.violations[promise] <= SHOWN_MAX:
            self.shown.append(f"{promise}: {text}")

    @property
    def is_clean(self) -> bool:
        return not self.violations


@final
@dataclass
class _Queue:
    """One queue, as its consumers saw it. `held`: by offset, who has it, since when, and which message it is."""

    held: dict[int, tuple[str, int, Name]] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    nacked: dict[int, int] = field(default_factory=dict)
    untold: dict[str, list[tuple[int, Name]]] = field(default_factory=lambda: defaultdict(list))
    """By consumer: what it acked and when, since its session began."""
    last: dict[tuple[int, int], int] = field(default_factory=dict)
    high: int = 0
    """The highest offset seen: a lower one that comes with attempt 1 is no news."""


@final
class Checker:
    """Fed with records in the order of time, then asked for the verdict."""

    def __init__(self) -> None:
        self.verdict = Verdict()
        self._published: dict[tuple[int, int], bytearray] = defaultdict(bytearray)
        self._seen: dict[tuple[str, int, int], bytearray] = defaultdict(bytearray)
        self._queues: dict[str, _Queue] = defaultdict(_Queue)
        self._rejected: set[tuple[int, int]] = set()
        self._fault_ns = -CALM_NS
        self._by_type: dict[type, Callable[[Any], None]] = {
            h.Invoked: self._invoked,
            h.Decided: self._decided,
            h.Got: self._got,
            h.Acked: self._acked,
            h.Refused: self._refused,
            h.Closed: self._closed,
            h.Broken: self._broken,
            h.Called: self._called,
            h.Fault: self._fault,
            h.Letter: self._letter,
        }

    def take(self, record: h.Record) -> None:
        """The next record."""
        judge = self._by_type.get(type(record))
        if judge is not None:
            judge(record)

    def finish(self) -> Verdict:
        """What is owed at the end: call it once everything has been drained."""
        for (publisher, lane), states in self._published.items():
            for number, state in enumerate(states):
                self._settle(Name(publisher, lane, number), state)
        for (queue, _, _), flags in self._seen.items():
            self.verdict.came[queue] += sum(flag & _CAME for flag in flags)
        return self.verdict

    # ---- publishers ----

    def _invoked(self, record: h.Invoked) -> None:
        states = self._published[record.publisher, record.lane]
        if record.first < len(states):
            self.verdict.blame("I16", f"publisher {record.publisher} uses number {record.first} again")
        states.extend(bytes([_INVOKED]) * (record.first + record.count - len(states)))
        self.verdict.counts["published"] += record.count

    def _decided(self, record: h.Decided) -> None:
        states = self._published[record.publisher, record.lane]
        lane = LANES[record.lane]
        unknown = set(record.unknown)
        for number in range(record.first, record.first + record.count):
            is_unroutable = not lane.choice(number).queues
            code = record.refused.get(number)
            if number in unknown:
                states[number] = _UNKNOWN
                self.verdict.counts["unknown"] += 1
            elif code is not None:
                states[number] = _REFUSED
                self.verdict.refusals[code] += 1
                if is_unroutable != (code == "unroutable"):
                    self.verdict.blame("I15", f"{lane.name} {number} was refused with {code}")
            else:
                states[number] = _CONFIRMED
                self.verdict.counts["confirmed"] += 1
                if is_unroutable:
                    self.verdict.blame("I15", f"{lane.name} {number} was confirmed, and no queue takes it")

    # ---- consumers ----

    def _got(self, record: h.Got) -> None:
        queue = self._queues[record.queue]
        verdict = self.verdict
        for text in record.spoiled:
            verdict.blame("I3", f"{record.queue}: {text}")
        verdict.counts["delivered"] += len(record.messages)
        for publisher, lane, number, attempt, offset, lateness_ms in record.messages:
            name = Name(publisher, lane, number)
            self._check_known(name, record.queue)
            self._check_time(record, name, attempt, offset, lateness_ms)
            self._check_attempt(record, name, attempt, offset, queue)
            self._check_holder(record, name, offset, queue)
            self._check_order(record.queue, name, attempt, offset, queue)
            flags = self._flags(record.queue, name)
            if flags[number] & _TOLD:
                verdict.blame("I5", f"{name} was acked in {record.queue} and told so, and came again")
            flags[number] |= _CAME
            queue.attempts[offset] = attempt
            queue.held[offset] = (record.consumer, record.at_ns, name)
            queue.high = max(queue.high, offset)

    def _check_known(self, name: Name, queue: str) -> None:
        states = self._published.get((name.publisher, name.lane))
        if states is None or name.number >= len(states):
            self.verdict.blame("I2", f"{name} came from {queue} and was never published")
        elif states[name.number] == _REFUSED:
            self.verdict.blame("I2", f"{name} came from {queue} and had been refused")
        if queue not in LANES[name.lane].choice(name.number).queues:
            self.verdict.blame("I14", f"{name} came from {queue}, where it does not belong")

    def _check_time(self, record: h.Got, name: Name, attempt: int, offset: int, lateness_ms: int) -> None:
        queue = self._queues[record.queue]
        if LANES[name.lane].choice(name.number).delay_s:
            if lateness_ms < 0:
                self.verdict.blame("I9", f"offset {offset} of {record.queue} came {-lateness_ms} ms before its time")
            # What was due while something was dead came late because of that.
            elif attempt == 1 and record.at_ns - lateness_ms * NS_PER_MS - self._fault_ns > QUIET_NS:
                self.verdict.lateness_ms.append(lateness_ms)
        nacked_ns = queue.nacked.pop(offset, None)
        # A nack that met a queue's death is void, like an ack.
        if nacked_ns is not None and self._is_calm(nacked_ns):
            waited_ms = (record.at_ns - nacked_ns) // NS_PER_MS
            if waited_ms < RETRY_S * 1000 - 2:
                self.verdict.blame("I11", f"offset {offset} of {record.queue} came again after {waited_ms} ms")

    def _check_attempt(self, record: h.Got, name: Name, attempt: int, offset: int, queue: _Queue) -> None:
        before = queue.attempts.get(offset)
        if before is not None and attempt <= before:
            text = f"attempt {attempt} of {name} in {record.queue} follows attempt {before}"
            self.verdict.blame("I7", text)
        if attempt > MAX_ATTEMPTS:
            self.verdict.blame("I11", f"attempt {attempt} of {name} in {record.queue}")

    def _check_holder(self, record: h.Got, name: Name, offset: int, queue: _Queue) -> None:
        holder = queue.held.get(offset)
        if holder is not None and holder[0] != record.consumer and self._is_calm(holder[1]):
            self.verdict.blame("I6", f"{name} of {record.queue} went to {record.consumer} while {holder[0]} had it")

    def _check_order(self, queue_name: str, name: Name, attempt: int, offset: int, queue: _Queue) -> None:
        if attempt != 1 or offset <= queue.high:
            return
        last = queue.last.get((name.publisher, name.lane), -1)
        if queue_name in ORDERED and name.number < last:
            self.verdict.blame("I8", f"{name} came from {queue_name} after number {last} of its publisher")
        queue.last[name.publisher, name.lane] = max(last, name.number)

    def _acked(self, record: h.Acked) -> None:
        queue = self._queues[record.queue]
        for offset in record.offsets:
            held = queue.held.pop(offset, None)
            if held is None:
                continue
            name = held[2]
            self._flags(record.queue, name)[name.number] |= _ACKED
            queue.untold[record.consumer].append((record.at_ns, name))
            self.verdict.counts["acked"] += 1

    def _refused(self, record: h.Refused) -> None:
        queue = self._queues[record.queue]
        held = queue.held.pop(record.offset, None)
        if record.is_reject:
            self.verdict.counts["rejected"] += 1
            if held is not None:
                self._rejected.add((held[2].publisher, held[2].number))
        else:
            queue.nacked[record.offset] = record.at_ns
            self.verdict.counts["nacked"] += 1

    def _closed(self, record: h.Closed) -> None:
        """What was acked in that session is final, and nobody has its messages in hand."""
        queue = self._queues[record.queue]
        for at_ns, name in queue.untold.pop(record.consumer, []):
            # An ack that met a queue's death is void, and its message comes again; the client cannot tell.
            if self._is_calm(at_ns):
                self._flags(record.queue, name)[name.number] |= _TOLD
        self._let_go(queue, record.consumer)
        self._prune(queue)

    def _broken(self, record: h.Broken) -> None:
        queue = self._queues[record.queue]
        queue.untold.pop(record.consumer, None)
        self._let_go(queue, record.consumer)

    @staticmethod
    def _let_go(queue: _Queue, consumer: str) -> None:
        for offset in [offset for offset, held in queue.held.items() if held[0] == consumer]:
            del queue.held[offset]

    @staticmethod
    def _prune(queue: _Queue) -> None:
        """Attempts of long ago are forgotten: what could still come again is what somebody has, or was nacked."""
        if len(queue.attempts) > 200_000:
            recent = queue.high - 100_000
            queue.attempts = {
                offset: attempt
                for offset, attempt in queue.attempts.items()
                if offset > recent or offset in queue.held or offset in queue.nacked
            }

    def _flags(self, queue: str, name: Name) -> bytearray:
        flags = self._seen[queue, name.publisher, name.lane]
        if name.number >= len(flags):
            flags.extend(bytes(name.number + 1 - len(flags)))
        return flags

    # ---- the rest ----

    def _called(self, record: h.Called) -> None:
        self.verdict.calls[record.outcome] += 1
        if record.outcome == "wrong":
            self.verdict.blame("I3", f"{record.caller} got the reply of somebody else")

    def _fault(self, record: h.Fault) -> None:
        if record.kind not in ("hung", "up"):
            self.verdict.faults[f"{record.kind} {record.target.partition(':')[0]}"] += 1
        self._fault_ns = record.at_ns

    def _is_calm(self, since_ns: int) -> bool:
        return since_ns - self._fault_ns > CALM_NS

    def _letter(self, record: h.Letter) -> None:
        self.verdict.counts["dead letters seen"] += 1
        is_explained = record.reason == "rejected" and (record.publisher, record.number) in self._rejected
        is_explained = is_explained or (record.reason == "attempts_exhausted" and record.attempt >= MAX_ATTEMPTS)
        if not is_explained:
            self.verdict.blame("I12", f"{WORK} {record.publisher}-{record.number} is dead: {record.reason}")

    def _settle(self, name: Name, state: int) -> None:
        if state not in (_CONFIRMED, _UNKNOWN, _INVOKED):
            return
        queues = LANES[name.lane].choice(name.number).queues
        reached = [queue for queue in queues if self._flags(queue, name)[name.number] & _CAME]
        done = [queue for queue in queues if self._flags(queue, name)[name.number] & _ACKED]
        if state == _CONFIRMED:
            for queue in queues:
                if queue not in reached:
                    self.verdict.blame("I1", f"{name} was confirmed and never came from {queue}")
                elif queue not in done:
                    self.verdict.blame("I4", f"{name} came from {queue} and was never acked")

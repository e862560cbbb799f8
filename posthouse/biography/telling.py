"""The stories of all actors told as one: what was published, how it was routed, and everything in its order.

Pure. Times come from different clocks (a publisher's, the broker's before and after it was set), so the order is that
of cause and effect first: what one journal says stays in its order, nothing arrives before it set out; only then do
times decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Any, NamedTuple, Protocol

from posthouse.biography.events import Biography, BiographyEvent, Copy, Told, moment_of, routed, sent
from posthouse.biography.queue_story import FAILURES, failure
from posthouse.biography.route_story import Question
from posthouse.transport.explanation import Explanation
from posthouse.transport.messages_dead import Attempt
from posthouse.transport.names import shown


class Story(Protocol):
    """What one actor's journal says. Those of queues have no `moves`."""

    @property
    def actor(self) -> str: ...
    @property
    def events(self) -> list[Told]: ...
    @property
    def copies(self) -> list[Copy]: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def now(self) -> list[str]: ...


Moves = dict[tuple[int, int], str]
"""Under which numbers the message left an actor, and why."""


def publishes_in(copies: Iterable[Copy], moves: Moves) -> list[Copy]:
    """The messages that were published, each as its first copy has it; what arrived by a move is none."""
    found: dict[tuple[int, int], Copy] = {}
    for copy in copies:
        key = (copy.stream, copy.seq)
        if key in moves or not copy.stream or copy.actor == "dead-letter":
            continue
        known = found.get(key)
        if known is None or 0 < copy.at_ms < (known.at_ms or copy.at_ms + 1):
            found[key] = copy
    return sorted(_without_moved(list(found.values())), key=lambda copy: (copy.published_ms, copy.seq))


def _without_moved(copies: list[Copy]) -> list[Copy]:
    """Leave out what was moved by somebody whose journal forgot it: its written name is of another stream.

    A move keeps when it was published, and where.
    """
    originals = {(copy.published_ms, copy.message_id) for copy in copies if copy.own_id == copy.message_id}
    first: dict[tuple[int, str], Copy] = {}
    for copy in sorted(copies, key=lambda one: one.at_ms or one.published_ms):
        key = (copy.published_ms, copy.message_id)
        if copy.own_id == copy.message_id or key not in originals:
            first.setdefault(key, copy)
    return list(first.values())


def questions_in(
    copies: Sequence[Copy], publishes: list[Copy], moves: Moves, stories: Sequence[Story]
) -> list[Question]:
    """Each time an exchange must have routed the message: when it was published, and when a delayed one was due."""
    questions = []
    has_waited = {(copy.stream, copy.seq) for copy in copies if copy.actor == "delay"}
    for copy in publishes:
        if (copy.stream, copy.seq) not in has_waited:
            at_ms = copy.at_ms or copy.published_ms
            mark = sent(copy.stream, copy.seq)
            questions.append(Question(at_ms, copy.exchange, copy.routing_key, copy.headers, mark))
    for story in stories:
        if story.actor != "delay" or not story.copies:
            continue
        first = story.copies[0]
        for told in story.events:
            if told.what == "due":
                at_ms = max(told.at_ms, told.details["due_ms"])
                questions.append(Question(at_ms, first.exchange, first.routing_key, first.headers, told.marks[0]))
    return questions


class Findings(NamedTuple):
    """All that was found of one message. `failures` are attempts that burials remember, with their queue."""

    message_id: str
    ids: list[str]
    stories: Sequence[Story]
    publishes: list[Copy]
    moves: Moves
    questions: list[Question]
    failures: list[tuple[str, Attempt]]
    notes: list[str]


def biography(found: Findings) -> Biography:
    """The whole story."""
    stories, publishes, questions = found.stories, found.publishes, found.questions
    copies = [copy for story in stories for copy in story.copies]
    lists = [[_published(copy, copies)] for copy in publishes]
    lists += [[_routed(question)] for question in questions if question.then is not None]
    lists += [_with_ways(story.events, found.moves) for story in stories]
    lists += _missing_failures(lists, found.failures)
    base_ms = min((copy.published_ms for copy in copies if copy.published_ms), default=0)
    first = publishes[0] if publishes else next(iter(copies), None)
    said = [*found.notes, *(note for story in stories for note in story.notes)]
    said += [note for question in questions for note in question.notes]
    said += _expectations(questions, copies)
    if len(publishes) > 1:
        said.insert(0, f"{len(publishes)} messages were published under this name; their stories are told together")
    if not publishes:
        said.append("how it was published is not known: no journal holds it as it was sent")
    events = in_order(lists, base_ms)
    if any(event.at is None for event in events):
        said.append("some events have no time: their journals were written by a version that noted none")
    return Biography(
        message_id=found.message_id,
        ids=found.ids,
        exchange=None if first is None else first.exchange,
        routing_key=None if first is None else first.routing_key,
        traceparent=None if first is None else _text(first.headers.get("traceparent")),
        now=[line for story in stories for line in story.now],
        events=events,
        notes=list(dict.fromkeys(said)),
    )


def in_order(lists: Sequence[Sequence[Told]], base_ms: int) -> list[BiographyEvent]:
    """All events, each behind what it follows in its own list and behind the marks it waits for; else by time."""
    nodes = [(number, told) for number, events in enumerate(lists) for told in events]
    carriers: dict[str, list[int]] = {}
    for node, (_, told) in enumerate(nodes):
        for mark in told.marks:
            carriers.setdefault(mark, []).append(node)
    before: list[set[int]] = [set() for _ in nodes]
    for node, (number, told) in enumerate(nodes):
        if node and nodes[node - 1][0] == number:
            before[node].add(node - 1)
        before[node].update(one for mark in told.after for one in carriers.get(mark, ()) if one != node)
    following: list[list[int]] = [[] for _ in nodes]
    for node, earlier in enumerate(before):
        for one in earlier:
            following[one].append(node)
    left = [len(earlier) for earlier in before]
    # A time that is not known is that of whatever came before.
    at_ms = [told.at_ms for _, told in nodes]
    heap: list[tuple[int, int]] = []
    for node, count in enumerate(left):
        if not count:
            heappush(heap, (at_ms[node] or base_ms, node))
    ordered: list[Told] = []
    while heap:
        reached_ms, node = heappop(heap)
        ordered.append(nodes[node][1])
        left[node] = -1
        for one in following[node]:
            left[one] -= 1
            if not left[one]:
                heappush(heap, (at_ms[one] or reached_ms, one))
    # Journals that contradict each other would make a ring; then what is in it comes at the end.
    ordered += [nodes[node][1] for node, count in enumerate(left) if count > 0]
    return [
        BiographyEvent(at=moment_of(one.at_ms), actor=one.actor, what=one.what, text=one.text, details=one.details)
        for one in ordered
    ]


def _published(copy: Copy, copies: Iterable[Copy]) -> Told:
    exchange = f"exchange {shown(copy.exchange)}" if copy.exchange else "the default exchange"
    details: dict[str, Any] = {
        "message_id": copy.message_id,
        "exchange": copy.exchange,
        "routing_key": copy.routing_key,
        "headers": copy.headers,
        "stream": f"{copy.stream:x}",
        "number": copy.seq,
        "size": copy.size,
        "durability": {None: "sync", 0: "memory", 1: "os", 2: "sync"}.get(copy.durability, "sync"),
    }
    for name in ("traceparent", "tracestate"):
        if name in copy.headers:
            details[name] = copy.headers[name]
    if copy.correlation_id is not None:
        details["correlation_id"] = copy.correlation_id
    text = (
        f"published to {exchange} with key {shown(copy.routing_key)}, {copy.size} bytes, "
        f"as number {copy.seq} of stream {copy.stream:x}"
    )
    marks = (sent(copy.stream, copy.seq),)
    return Told(copy.published_ms, "publisher", "published", text, details, marks=marks)


def _routed(question: Question) -> Told:
    then = question.then
    assert then is not None
    if then.queues:
        text = f"routed to {_list(then.queues)}"
    else:
        text = f"no binding matched; the policy of the exchange is {then.unrouted}"
    details = {
        "queues": then.queues,
        "matched": [_binding(one) for one in then.matched],
        "matched_count": then.matched_count,
        "unmatched_count": then.unmatched_count,
        "unrouted": then.unrouted,
        "remarks": then.notes,
        "is_uncertain": question.is_uncertain,
    }
    if question.is_uncertain:
        text += " (as far as is known)"
    actor = f"exchange:{question.exchange}"
    return Told(question.at_ms, actor, "routed", text, details, (routed(question.mark),), (question.mark,))


def _binding(one: Any) -> dict[str, Any]:
    return {
        "source": one.source, "destination": one.destination, "to_exchange": one.to_exchange, "key": one.key,
        "arguments": one.arguments, "reason": one.reason,
    }  # fmt: skip


def _with_ways(events: list[Told], moves: Moves) -> list[Told]:
    """What came by a move says so."""
    for told in events:
        if told.what != "stored":
            continue
        way = moves.get((int(told.details["stream"], 16), told.details["number"]))
        if way is not None:
            told.text += f" ({way})"
            told.details["way"] = way
    return events


def _missing_failures(lists: Sequence[Sequence[Told]], failures: list[tuple[str, Attempt]]) -> list[list[Told]]:
    """Failed attempts that only a burial remembers: the segments of the queue that said so are gone."""
    known = {
        (told.actor, told.details.get("attempt"), told.at_ms)
        for events in lists
        for told in events
        if told.what == "failed"
    }
    missing: dict[tuple[str, int, int], Told] = {}
    for queue, attempt in failures:
        key = (f"queue:{queue}", attempt.attempt, attempt.at_ms)
        if attempt.how in FAILURES and key not in known and not any(at == attempt.at_ms for _, _, at in known):
            missing.setdefault(key, failure(key[0], attempt))
    return [[told] for told in sorted(missing.values(), key=lambda told: told.at_ms)]


def _expectations(questions: list[Question], copies: list[Copy]) -> list[str]:
    """Queues that matched and whose journals have no trace of the message."""
    seen = {copy.actor for copy in copies}
    notes = []
    for question in questions:
        then: Explanation | None = None if question.is_uncertain else question.then
        for queue in () if then is None else then.queues:
            if f"queue:{queue}" not in seen:
                notes.append(
                    f"queue {shown(queue)} matched, and no journal of it has the message: it is not durable, was "
                    "deleted since, refused it, or its segments of that time are gone"
                )
    return notes


def _list(names: list[str]) -> str:
    return ("queue " if len(names) == 1 else "queues ") + ", ".join(map(shown, names))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

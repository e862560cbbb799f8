"""Definitions: everything that was declared, written to a document and laid down again on another broker.

`exporting` and `importing` are the two procedures, for both clients; `Definitions` is what a blocking client shows of
them. An import is judged as a whole before anything is changed: first the broker says what each definition would do,
and only when none is refused is the topology made, in one step, and then each schedule. What is there already as
described stays as it is, so the same document may be imported any number of times.
"""

from __future__ import annotations

from typing import Any, Final, final

import msgspec

from posthouse.definitions_document import Content, content_of, document_of
from posthouse.recurring import request_recurring
from posthouse.requests import Ask, Request
from posthouse.steps import Steps, walk
from posthouse.transport import messages
from posthouse.transport.errors import InvalidArgument, PreconditionFailed, Refused, UnknownExchange
from posthouse.transport.limits import Limits
from posthouse.transport.messages_definitions import Define, Defined, DescribeTopology
from posthouse.transport.messages_definitions import Definitions as Topology
from posthouse.transport.messages_recurring import ListRecurring, RecurringInfo, Repeat
from posthouse.transport.names import DELAY, REGISTRY, encode_headers, shown

SHOWN_CONFLICTS_MAX: Final = 3
_FRAME_ROOM_BYTES: Final = 4_096
_SAID_OF_A_SCHEDULE: Final = (
    "exchange", "routing_key", "body", "every_ms", "cron", "zone", "start_ms", "until_ms", "max_count", "misfire",
)  # fmt: skip


@final
class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one definition. `what` is exchange, queue, binding or schedule.

    `state`: created (with `is_dry_run`: would be), existing, or refused with the `code` and `text` of the error.
    """

    what: str
    name: str
    state: str
    code: str = ""
    text: str = ""


@final
class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did, or would do. One that refuses anything has changed nothing."""

    is_dry_run: bool
    definitions: list[Imported]

    def count(self, state: str) -> int:
        """How many ended so."""
        return sum(one.state == state for one in self.definitions)

    @property
    def refused(self) -> list[Imported]:
        """The definitions that stand in the way."""
        return [one for one in self.definitions if one.state == "refused"]


@final
class ImportRefused(Refused):
    """Some definitions cannot be made as described, and nothing was changed. `report` says which, and why."""

    code = "import_refused"

    def __init__(self, report: ImportReport) -> None:
        self.report = report
        refused = report.refused
        reasons = "; ".join(f"{one.what} {shown(one.name)}: {one.text}" for one in refused[:SHOWN_CONFLICTS_MAX])
        more = f"; and {len(refused) - SHOWN_CONFLICTS_MAX} more" if len(refused) > SHOWN_CONFLICTS_MAX else ""
        super().__init__(f"{len(refused)} definitions are refused, nothing was changed: {reasons}{more}")


# ---- the procedures ----


def exporting() -> Steps[dict[str, Any]]:
    """Everything declared, as a document."""
    topology: Topology = yield Request(REGISTRY, DescribeTopology, Topology)
    schedules: list[RecurringInfo] = yield _with_bodies()
    return document_of(topology, schedules)


def importing(document: object, *, is_dry_run: bool) -> Steps[ImportReport]:
    """Make what a document says. Raises InvalidArgument for what is none, ImportRefused; then nothing has changed."""
    content = content_of(document)
    define = _define(content.definitions, is_dry_run=True)
    judged: list[Defined] = yield define
    known: Topology = yield Request(REGISTRY, DescribeTopology, Topology)
    there: list[RecurringInfo] = yield _with_bodies()
    exchanges = {"": False, **{one.name: one.internal for one in (*content.definitions.exchanges, *known.exchanges)}}
    outcomes = [_named(content, one) for one in judged]
    existing = {info.key: info for info in there}
    new: list[RecurringInfo] = []
    for schedule in content.schedules:
        outcome = yield from _judge(schedule, existing.get(schedule.key), exchanges)
        outcomes.append(outcome)
        existing[schedule.key] = schedule
        if outcome.state == "created":
            new.append(schedule)
    report = ImportReport(is_dry_run=is_dry_run, definitions=outcomes)
    if is_dry_run:
        return report
    if report.refused:
        raise ImportRefused(report)
    made: list[Defined] = yield _define(content.definitions, is_dry_run=False)
    outcomes[: len(made)] = [_named(content, one) for one in made]
    if report.refused:  # Somebody else declared something in between.
        raise ImportRefused(report)
    for schedule in new:
        yield _repeat(schedule, is_dry_run=False)
    return report


def _with_bodies() -> Request[list[RecurringInfo]]:
    request = request_recurring()
    return Request(request.target, lambda number: ListRecurring(number, with_bodies=True), request.kind)


def _define(topology: Topology, *, is_dry_run: bool) -> Request[list[Defined]]:
    limit = Limits().frame_bytes_max - _FRAME_ROOM_BYTES
    if len(messages.encode(topology)) > limit:
        raise InvalidArgument(f"the definitions are over the limit of {limit} bytes; import them in parts")
    return Request(REGISTRY, lambda number: Define(number, topology, is_dry_run), list[Defined])


def _repeat(schedule: RecurringInfo, *, is_dry_run: bool) -> Request[RecurringInfo]:
    headers = encode_headers(schedule.headers)
    body = memoryview(schedule.body or b"")
    return Request(
        DELAY,
        lambda number: Repeat(
            number, schedule.key, schedule.exchange, schedule.routing_key, headers, body,
            schedule.every_ms, schedule.cron, schedule.zone, schedule.start_ms, schedule.until_ms,
            schedule.max_count, schedule.misfire, schedule.is_paused, is_dry_run, True,
        ),
        RecurringInfo,
    )  # fmt: skip


def _judge(new: RecurringInfo, old: RecurringInfo | None, exchanges: dict[str, bool]) -> Steps[Imported]:
    """What would become of a schedule. `exchanges` says of each whether it is internal.

    That an existing one is paused, or is not, is no part of what it is.
    """

    def refused(code: str, text: str) -> Imported:
        return Imported(what="schedule", name=new.key, state="refused", code=code, text=text)

    if old is not None:
        differing = [name for name in _SAID_OF_A_SCHEDULE if getattr(old, name) != getattr(new, name)]
        differing += ["headers"] if (old.headers or {}) != (new.headers or {}) else []
        if differing:
            return refused(PreconditionFailed.code, f"it exists with another {', '.join(differing)}")
        return Imported(what="schedule", name=new.key, state="existing")
    if new.exchange not in exchanges:
        return refused(UnknownExchange.code, f"there is no exchange {shown(new.exchange)}")
    if exchanges[new.exchange]:
        return refused(PreconditionFailed.code, f"exchange {shown(new.exchange)} is internal: nobody publishes to it")
    try:
        yield _repeat(new, is_dry_run=True)
    except Refused as error:
        return refused(error.code, str(error))
    return Imported(what="schedule", name=new.key, state="created")


def _named(content: Content, outcome: Defined) -> Imported:
    topology = content.definitions
    if outcome.what == "exchange":
        name = topology.exchanges[outcome.place].name
    elif outcome.what == "queue":
        name = topology.queues[outcome.place].name
    else:
        binding = topology.bindings[outcome.place]
        name = f"{binding.source or '(default)'} → {binding.destination} {binding.key}".rstrip()
    return Imported(what=outcome.what, name=name, state=outcome.state, code=outcome.code, text=outcome.text)


# ---- the blocking client's ----


@final
class Definitions:
    """Everything declared on one broker, in a document; `broker.definitions`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def export(self) -> dict[str, Any]:
        """Exchanges, queues with their policies, bindings and recurring schedules, as a value for JSON.

        What belongs to a connection is left out: exclusive queues, queues the broker named, and their bindings.
        """
        return walk(exporting(), self._ask)

    def load(self, document: dict[str, Any], *, dry_run: bool = False) -> ImportReport:
        """Make everything in a document that is not there yet; `dry_run` only says what would be made.

        Raises InvalidArgument for a document that cannot be read, and ImportRefused with its `report` when
        anything in it cannot be as described; then nothing has changed.
        """
        return walk(importing(document, is_dry_run=dry_run), self._ask)

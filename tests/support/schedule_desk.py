"""The scheduler's recurring schedules on a journal that is a list, of which a crash keeps as much as it likes.

`ScheduleDesk` stands in for the cell: `append` adds to the list, `commit` makes the list durable, `crash` keeps what is
durable and any part of the rest, and begins the next life. It has no links and no timers; answers are remembered.
"""

from __future__ import annotations

from typing import Any, cast, final

from posthouse.actors import delay_records as records
from posthouse.actors.actor import Context
from posthouse.actors.delay_records import Kind, Occurred
from posthouse.actors.delay_repeats import DelayRepeats
from posthouse.actors.delay_replay import read_batch
from posthouse.actors.delay_state import DelayState
from posthouse.transport.limits import Limits
from posthouse.transport.links import Link
from posthouse.transport.messages import NIL
from posthouse.transport.messages_recurring import RecurringInfo, Repeat
from tests.support.delay_samples import NOW_MS

LEAD_MS = 20


def asked(key: str = "k", **wishes: Any) -> Repeat:
    """A wish for a schedule that fires every minute, unless it says otherwise."""
    wishes = {"every_ms": 60_000, **wishes} if "cron" not in wishes else wishes
    fields = {"exchange": "flights", "routing_key": "UA", "headers": NIL, "body": memoryview(b"go"), **wishes}
    return Repeat(1, key, **fields)


@final
class ScheduleDesk:
    """One life after another of schedules. `start` is where the next life's replay begins."""

    def __init__(self) -> None:
        self.wall_ms = NOW_MS
        self.limits = Limits()
        self.journal: list[tuple[int, bytes]] = []
        self.durable = 0
        self.start = 0
        self.answers: list[Any] = []
        self._live()

    def _live(self) -> None:
        self.state = DelayState()
        for position, (kind, payload) in enumerate(self.journal[self.start :], start=self.start + 1):
            self.state.replay.record(position, kind, memoryview(payload))
        self.state.rebuilt()
        self.repeats = DelayRepeats(cast(Context, self), self.state, lambda exchange: None)

    # ---- what a cell does ----

    def append(self, kind: int, *parts: bytes | memoryview, is_durable: bool = True) -> int:
        self.journal.append((kind, b"".join(parts)))
        return len(self.journal)

    def reply(self, link: Link, request: int, result: Any) -> None:
        self.answers.append(result)

    # ---- what tests do ----

    def ask(self, message: Any) -> Any:
        """Ask, and hear the answer when it is durable."""
        self.repeats.receive(cast(Link, None), message)
        self.commit()
        return self.answers[-1]

    def repeat(self, key: str = "k", **wishes: Any) -> RecurringInfo:
        found: RecurringInfo = self.ask(asked(key, **wishes))
        return found

    def round(self, tokens: int = 1_000) -> None:
        """Make the messages of what is due; nothing is durable yet."""
        self.repeats.come_to_be(self.wall_ms + LEAD_MS, tokens)

    def commit(self) -> None:
        self.durable = len(self.journal)

    def crash(self, kept: int = 0) -> None:
        """The process dies; `kept` records that were not committed are on the disk nevertheless."""
        del self.journal[self.durable + kept :]
        self.commit()
        self._live()

    def tidy(self) -> None:
        """Begin a segment, and let go of all before it."""
        self.commit()
        self.start = len(self.journal)
        self.append(Kind.MARK, records.encode(self.state.mark()))
        for schedule in self.state.contents.schedules:
            self.append(Kind.SCHEDULE, records.encode(schedule))
        self.commit()

    def occurrences(self) -> list[tuple[Occurred, int]]:
        """Every message that came to be in all lives, with its instant after NOW_MS, in the order of the journal."""
        found = []
        for kind, payload in self.journal:
            if kind == Kind.OCCURRED:
                head, raw = records.decode_occurred(payload)
                found.append((head, _instant(raw) - NOW_MS))
        return found

    def instants(self) -> list[int]:
        """The instants of the messages that came to be, after NOW_MS."""
        return [instant for _, instant in self.occurrences()]


def _instant(raw: memoryview) -> int:
    options = read_batch(raw, 0).options
    assert options is not None
    assert options.deliver_at_ms is not None
    return options.deliver_at_ms

"""Recurring schedules beside plain arithmetic: whatever crashes, no instant fires twice, early, or against its policy.

Every record of the journal is a step at which the process may die: a crash keeps all that was committed and any part of
the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from posthouse.actors.recurrence import MISSED_AFTER_MS
from posthouse.transport.messages_recurring import PauseRecurring, StopRecurring
from tests.support.delay_samples import NOW_MS
from tests.support.schedule_desk import LEAD_MS, ScheduleDesk

FIVE_MINUTES = 300_000
KEYS = st.sampled_from(["k", "l", "m"])
passing = st.integers(1, 50) | st.integers(1, 5_000) | st.integers(1, 400_000)


@dataclass
class Wish:
    """A schedule as somebody asked for it; instants are `anchor + n * every`, those after `begin`."""

    every: int
    anchor: int
    begin: int
    misfire: str
    max_count: int | None
    first_record: int
    pauses: list[int] = field(default_factory=list)
    is_over: bool = False

    def between(self, after: int, until: int) -> list[int]:
        first = self.anchor + max(0, (after - self.anchor) // self.every + 1) * self.every
        return list(range(first, until + 1, self.every))


class ScheduleMachine(RuleBasedStateMachine):
    """Times are milliseconds after NOW_MS."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = ScheduleDesk()
        self.wishes: dict[int, list[Wish]] = {}
        self.ids: dict[str, int] = {}
        self.moments: dict[int, int] = {}
        """When the occurrence at this place of the journal came to be."""

    @property
    def now(self) -> int:
        return self.desk.wall_ms - NOW_MS

    def wish(self, key: str) -> Wish | None:
        wishes = self.wishes.get(self.ids.get(key, 0), [])
        return wishes[-1] if wishes and not wishes[-1].is_over else None

    @rule(
        key=KEYS,
        every=st.none() | st.sampled_from([100, 700, 60_000]),
        misfire=st.sampled_from(["once", "skip", "all"]),
        max_count=st.none() | st.integers(1, 4),
        start=st.none() | st.integers(-1_000, 1_000),
    )
    def repeat(self, key: str, every: int | None, misfire: str, max_count: int | None, start: int | None) -> None:
        start_ms = None if start is None else self.desk.wall_ms + start
        what = {"every_ms": every} if every else {"cron": "*/5 * * * *", "every_ms": None}
        before = self.desk.durable
        info = self.desk.repeat(key, misfire=misfire, max_count=max_count, start_ms=start_ms, **what)
        if self.desk.durable == before:
            return  # It says the same as before.
        begin = self.now if start is None else max(self.now, self.now + start - 1)
        anchor = -(NOW_MS % FIVE_MINUTES) if every is None else self.now + (start or 0)
        for old in self.wishes.setdefault(info.schedule_id, []):
            begin = max(begin, self.passed(info.schedule_id))
            old.is_over = True
        self.ids[key] = info.schedule_id
        wish = Wish(every or FIVE_MINUTES, anchor, begin, misfire, max_count, len(self.desk.journal))
        self.wishes[info.schedule_id].append(wish)

    def passed(self, schedule_id: int) -> int:
        """How far a schedule's instants are done with, but for what lies too far ahead to have begun to leave."""
        heads = [head.passed_ms - NOW_MS for head, _ in self.desk.occurrences() if head.schedule_id == schedule_id]
        return min(heads[-1] if heads else self.now, self.now + MISSED_AFTER_MS)

    @precondition(lambda self: any(self.wish(key) for key in ("k", "l", "m")))
    @rule(key=KEYS, what=st.sampled_from(["stop", "pause", "resume"]))
    def change(self, key: str, what: str) -> None:
        wish = self.wish(key)
        if wish is None or self.desk.state.contents.schedules.get(key) is None:
            return
        if what == "stop":
            self.desk.ask(StopRecurring(1, key))
            wish.is_over = True
        else:
            self.desk.ask(PauseRecurring(1, key, what == "pause"))
            wish.pauses.append(self.now)

    @rule(passed=passing, tokens=st.integers(1, 40), is_committed=st.booleans())
    def time_passes(self, passed: int, tokens: int, is_committed: bool) -> None:
        self.desk.wall_ms += passed
        self.round(tokens)
        if is_committed:
            self.desk.commit()

    def round(self, tokens: int) -> None:
        before = len(self.desk.journal)
        self.desk.round(tokens)
        for place in range(before, len(self.desk.journal)):
            self.moments[place] = self.now

    @rule()
    def what_waits_leaves(self) -> None:
        state = self.desk.state
        for message_id, _, _ in list(state.ledger.entries()):
            state.cancel(message_id)

    @rule(kept=st.integers(0, 6), downtime=st.integers(0, 300) | passing)
    def crash(self, kept: int, downtime: int) -> None:
        self.desk.crash(kept)
        self.moments = {place: at for place, at in self.moments.items() if place < len(self.desk.journal)}
        self.desk.wall_ms += downtime

    @rule()
    def tidy(self) -> None:
        self.desk.tidy()

    @rule()
    def everything_catches_up(self) -> None:
        while True:
            self.what_waits_leaves()
            before = len(self.desk.journal)
            self.round(1_000)
            if len(self.desk.journal) == before:
                break
        self.desk.commit()
        for schedule_id, wishes in self.wishes.items():
            wish = wishes[-1]
            instants = self.fired(schedule_id, wish)
            is_done = wish.max_count is not None and len(instants) >= wish.max_count
            if wish.is_over or wish.pauses or is_done:
                continue
            expected = wish.between(wish.begin, self.now + LEAD_MS)
            if wish.misfire == "all":
                assert instants == expected
            else:
                fresh = {one for one in expected if one > self.now}
                assert fresh <= set(instants), "an instant that is not missed did not fire"

    def fired(self, schedule_id: int, wish: Wish) -> list[int]:
        wishes = self.wishes[schedule_id]
        index = wishes.index(wish)
        stop = wishes[index + 1].first_record if index + 1 < len(wishes) else len(self.desk.journal)
        places = [place for place, (kind, _) in enumerate(self.desk.journal) if kind == 11]
        return [
            instant
            for place, (head, instant) in zip(places, self.desk.occurrences(), strict=True)
            if head.schedule_id == schedule_id and wish.first_record <= place < stop
        ]

    @invariant()
    def no_instant_fires_twice_or_early_or_that_is_none(self) -> None:
        for schedule_id, wishes in self.wishes.items():
            everything: list[int] = []
            for wish in wishes:
                instants = self.fired(schedule_id, wish)
                everything += instants
                possible = wish.between(wish.begin, self.now + LEAD_MS)
                assert set(instants) <= set(possible)
                assert instants == sorted(set(instants))
                assert wish.max_count is None or len(instants) <= wish.max_count
                if wish.misfire == "all" and not wish.pauses:
                    assert instants == possible[: len(instants)], "an instant was left out"
            assert len(everything) == len(set(everything))

    @invariant()
    def late_ones_are_as_the_policy_says(self) -> None:
        places = [place for place, (kind, _) in enumerate(self.desk.journal) if kind == 11]
        for place, (head, instant) in zip(places, self.desk.occurrences(), strict=True):
            wish = [wish for wish in self.wishes[head.schedule_id] if wish.first_record <= place][-1]
            moment = self.moments[place]
            assert instant <= moment + LEAD_MS, "early"
            if moment - instant > MISSED_AFTER_MS:
                assert wish.misfire != "skip"
                assert wish.misfire == "all" or head.passed_ms - NOW_MS == moment


TestSchedules = ScheduleMachine.TestCase
TestSchedules.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)

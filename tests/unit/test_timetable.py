"""The timetable, by example: what comes near, in which order, and that stale entries go."""

from __future__ import annotations

import random

import pytest

from posthouse.actors.timetable import SHIFTS, STALE_MIN, Timetable

HOUR = 3_600_000
FAR = 1_700_000_000_000


class Plan:
    """Due times by id; an entry is current as long as the plan says so."""

    def __init__(self) -> None:
        self.dues: dict[int, int] = {}
        self.timetable = Timetable(lambda message_id, due: self.dues.get(message_id) == due)

    def add(self, message_id: int, due: int) -> bool:
        self.dues[message_id] = due
        return self.timetable.add(message_id, due)

    def drop(self, message_id: int) -> None:
        self.timetable.left(self.dues.pop(message_id))

    def move(self, message_id: int, due: int) -> None:
        before, self.dues[message_id] = self.dues[message_id], due
        self.timetable.move(message_id, before, due)

    def listed(self) -> list[tuple[int, int]]:
        return [one for one in self.timetable.in_order() if self.dues.get(one[0]) == one[1]]


def test_messages_are_taken_in_the_order_of_their_time_however_far_apart_they_are() -> None:
    plan = Plan()
    source = random.Random(7)
    for message_id in range(1, 3_000):
        plan.add(
            message_id, FAR + source.choice([10, 10_000, HOUR, 100 * HOUR, 100_000 * HOUR]) * source.randint(1, 50)
        )
    taken: list[tuple[int, int]] = []
    for until in sorted(plan.dues.values()):
        plan.timetable.open_until(until)
        taken += plan.timetable.take_due(until, 10_000)
        assert all(due <= until for _, due in taken)
    assert [due for _, due in taken] == sorted(plan.dues.values())
    assert {message_id for message_id, _ in taken} == set(plan.dues)


def test_what_is_far_away_is_not_near_and_says_not_later_than_when_to_look_again() -> None:
    plan = Plan()
    assert not plan.add(1, FAR + HOUR)
    assert plan.timetable.next_near() == 0
    assert FAR < plan.timetable.next_due() <= FAR + HOUR
    plan.timetable.open_until(FAR + HOUR - 1)
    assert plan.timetable.next_due() == FAR + HOUR
    assert plan.timetable.take_due(FAR + HOUR - 1, 10) == []
    assert plan.timetable.take_due(FAR + HOUR, 10) == [(1, FAR + HOUR)]
    assert plan.timetable.next_due() == 0


def test_what_is_added_for_a_time_that_was_opened_is_near_at_once() -> None:
    plan = Plan()
    plan.timetable.open_until(FAR)
    assert plan.add(1, FAR - HOUR)
    assert plan.add(2, FAR)
    assert not plan.add(3, FAR + (2 << SHIFTS[-1]))
    assert plan.timetable.add_many(4, [FAR - 1, FAR + HOUR]) == [0]


def test_the_line_holds_the_first_and_both_are_taken_by_time() -> None:
    plan = Plan()
    plan.timetable.open_until(FAR + 10)
    for message_id, due in ((1, 5), (2, 3), (3, 9)):
        plan.add(message_id, FAR + due)
    assert plan.timetable.line_up(2) == [2, 1]
    assert plan.timetable.lined_up == 2
    plan.add(4, FAR + 1)
    assert plan.timetable.next_near() == FAR + 1
    assert [message_id for message_id, _ in plan.timetable.take_due(FAR + 10, 3)] == [4, 2, 1]
    assert [message_id for message_id, _ in plan.timetable.take_due(FAR + 10, 3)] == [3]


def test_what_was_cancelled_is_met_nowhere() -> None:
    plan = Plan()
    for message_id, due in ((1, 1), (2, 2), (3, HOUR), (4, 2 * HOUR)):
        plan.add(message_id, FAR + due)
    plan.timetable.open_until(FAR + 2)
    plan.drop(1)
    plan.drop(3)
    assert plan.timetable.next_near() == FAR + 2
    plan.timetable.line_up(10)
    plan.drop(2)
    plan.timetable.open_until(FAR + 3 * HOUR)
    assert plan.timetable.take_due(FAR + 3 * HOUR, 10) == [(4, FAR + 2 * HOUR)]


def test_a_bucket_that_is_mostly_stale_is_emptied_of_it() -> None:
    plan = Plan()
    for message_id in range(1, 3 * STALE_MIN):
        plan.add(message_id, FAR + HOUR + message_id)
    for message_id in range(1, 3 * STALE_MIN - 3):
        plan.drop(message_id)
    left = list(plan.timetable.in_order())
    assert len(left) < 2 * STALE_MIN
    assert [entry for entry in left if plan.dues.get(entry[0]) == entry[1]] == sorted(plan.dues.items())


def test_a_debounce_of_a_hundred_thousand_leaves_no_more_than_a_few_entries() -> None:
    plan = Plan()
    plan.add(1, FAR + HOUR)
    for step in range(20_000):
        before = plan.dues[1]
        plan.add(1, FAR + HOUR + step % 1_000 + 1)
        plan.timetable.left(before)
    assert sum(1 for _ in plan.timetable.in_order()) <= 3 * STALE_MIN


def test_all_are_listed_by_time_across_levels() -> None:
    plan = Plan()
    dues = [FAR + due for due in (5, 7_000, HOUR, 30 * HOUR, 900 * HOUR)]
    plan.timetable.open_until(FAR)
    for message_id, due in enumerate(reversed(dues), start=1):
        plan.add(message_id, due)
    assert [due for _, due in plan.timetable.in_order()] == dues


@pytest.mark.parametrize("opened", [0, FAR + HOUR])
def test_what_moves_back_to_an_earlier_time_stands_there_once(opened: int) -> None:
    plan = Plan()
    plan.timetable.open_until(opened)
    plan.add(1, FAR + 10)
    for due in (FAR + 20, FAR + 10, FAR + 20, FAR + 10):
        plan.move(1, due)
    assert plan.listed() == [(1, FAR + 10)]
    plan.timetable.open_until(FAR + 20)
    assert plan.timetable.take_due(FAR + 20, 10) == [(1, FAR + 10)]
    assert not plan.timetable._left


def test_what_moves_back_after_its_old_entry_was_met_is_entered_anew() -> None:
    plan = Plan()
    plan.add(1, FAR + 10)
    plan.add(2, FAR + 15)
    plan.move(1, FAR + HOUR)
    plan.timetable.open_until(FAR + 12)
    assert plan.timetable.take_due(FAR + 12, 10) == []
    plan.move(1, FAR + 10)
    assert plan.timetable.take_due(FAR + 12, 10) == [(1, FAR + 10)]
    assert plan.listed() == [(2, FAR + 15)]


def test_moving_to_and_fro_leaves_no_more_than_a_few_entries() -> None:
    plan = Plan()
    plan.add(1, FAR)
    for number in range(10_000):
        plan.move(1, FAR + number % (3 * STALE_MIN))
    assert plan.listed() == [(1, plan.dues[1])]
    assert len(list(plan.timetable.in_order())) <= 3 * STALE_MIN + 1
    assert len(plan.timetable._left) <= 3 * STALE_MIN

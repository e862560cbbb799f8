"""What of a queue waits for its time."""

from __future__ import annotations

from posthouse.actors.queue_deadlines import AckDeadlines, Held
from posthouse.actors.queue_waiting import OVERDUE_MAX, Expiries, Waiting


def test_ranges_come_back_when_their_time_has_come_and_not_before() -> None:
    waiting = Waiting()
    waiting.put(5, 9, 1, 100)
    waiting.put(1, 2, 3, 50)
    assert (len(waiting), waiting.next_ms()) == (7, 50)
    assert waiting.pop_due(49) == []
    assert waiting.pop_due(50) == [(1, 2, 3)]
    assert waiting.pop_due(1_000) == [(5, 9, 1)]
    assert (len(waiting), waiting.next_ms()) == (0, None)


def test_what_was_taken_meanwhile_is_not_there_when_its_time_comes() -> None:
    waiting = Waiting()
    waiting.put(1, 9, 1, 100)
    assert waiting.take(3, 4) == [(3, 4, 1)]
    waiting.put(3, 3, 2, 200)
    assert waiting.pop_due(100) == [(1, 2, 1), (5, 9, 1)]
    assert waiting.pop_due(200) == [(3, 3, 2)]
    waiting.put(7, 7, 1, 300)
    assert waiting.clear() == [(7, 7, 1)]
    assert waiting.pop_due(300) == []


def test_a_stale_entry_finds_nothing_in_an_empty_index() -> None:
    waiting = Waiting()
    waiting.put(1, 1, 1, 10)
    waiting.take(1, 1)
    assert waiting.pop_due(10) == []


def test_expiries_are_due_in_the_order_of_time() -> None:
    expiries = Expiries()
    assert not expiries
    expiries.put(10, 19, 200)
    expiries.put(20, 20, 100)
    assert (bool(expiries), expiries.next_ms()) == (True, 100)
    assert expiries.pieces(15, 25) == [(20, 20, 100), (15, 19, 200)]
    assert expiries.pop_due(100) == [(20, 20)]
    expiries.overdue(20, 20)
    assert expiries.pieces(1, 30) == [(10, 19, 200), (20, 20, 0)]
    expiries.returned()
    assert expiries.pop_due(200) == [(20, 20), (10, 19)]


def test_what_is_overdue_is_looked_at_again_before_it_grows_without_end() -> None:
    expiries = Expiries()
    for offset in range(OVERDUE_MAX + 1):
        expiries.overdue(offset + 1, offset + 1)
    assert expiries.next_ms() == 0


def test_deliveries_are_late_in_the_order_in_which_they_were_made() -> None:
    deadlines = AckDeadlines(100)
    assert deadlines.next_ms() is None
    deadlines.delivered(1, 2, 10, 19, 1, 50)
    deadlines.delivered(1, 3, 20, 20, 2, 60)
    assert deadlines.next_ms() == 150
    assert deadlines.pop_due(149) == []
    assert deadlines.pop_due(155) == [Held(150, 1, 2, 10, 19, 1)]
    assert deadlines.pop_due(160) == [Held(160, 1, 3, 20, 20, 2)]

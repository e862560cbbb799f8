"""The ledger, by example: counts, places, gaps, and what replay puts into the middle."""

from __future__ import annotations

from posthouse.actors.delay_ledger import FAILED, FIRING, GONE, PAGE_ENTRIES_MAX, Ledger, Place


def ledger_of(count: int, per_record: int = 100) -> Ledger:
    """Messages 1 … count, due at 1000 + id, in records of equal size at positions 1, 2, 3, …"""
    ledger = Ledger()
    number = ledger.exchange_number("flights")
    for position, first in enumerate(range(1, count + 1, per_record), start=1):
        dues = [1_000 + one for one in range(first, min(first + per_record, count + 1))]
        ledger.extend(first, dues, position, number)
    return ledger


def test_every_message_is_found_with_its_time_and_its_place() -> None:
    ledger = ledger_of(3_000)
    assert (ledger.live, ledger.waiting) == (3_000, 3_000)
    assert [ledger.due(one) for one in (1, 1_024, 1_025, 3_000)] == [1_001, 2_024, 2_025, 4_000]
    assert ledger.place(250) == Place(3, 49, 0)
    assert ledger.exchange_name(0) == "flights"
    assert (ledger.known_exchange("flights"), ledger.known_exchange("other")) == (0, -1)


def test_what_was_never_there_and_what_is_gone_are_the_same() -> None:
    ledger = ledger_of(10)
    assert ledger.due(0) == ledger.due(11) == GONE
    assert ledger.set(5, GONE) == 1_005
    assert ledger.due(5) == ledger.set(5, 99) == ledger.set(11, 99) == GONE
    assert Ledger().due(1) == GONE
    assert ledger.live == 9


def test_counts_follow_every_change() -> None:
    ledger = ledger_of(10)
    ledger.set(1, FAILED)
    ledger.set(2, FIRING)
    ledger.set(3, FIRING)
    assert (ledger.live, ledger.waiting, ledger.failed, ledger.firing) == (10, 7, 1, 2)
    assert ledger.set(2, GONE) == FIRING
    assert ledger.set(1, 5_000) == FAILED
    assert (ledger.live, ledger.waiting, ledger.failed, ledger.firing) == (9, 8, 0, 1)


def test_gaps_are_closed_and_neighbours_joined_so_that_one_that_stays_costs_little() -> None:
    ledger = ledger_of(10 * PAGE_ENTRIES_MAX)
    kept = range(7, 10 * PAGE_ENTRIES_MAX, 97)
    for one in range(1, 10 * PAGE_ENTRIES_MAX + 1):
        if one not in kept:
            ledger.set(one, GONE)
    assert [message_id for message_id, _, _ in ledger.entries()] == list(kept)
    assert sum(len(page.ids) for page in ledger._pages) <= 2 * len(kept)
    assert len(ledger._pages) == 1
    for one in kept:
        ledger.set(one, GONE)
    assert (ledger.live, ledger._pages, ledger.lowest_position()) == (0, [], None)


def test_the_lowest_position_is_that_of_what_is_not_gone() -> None:
    ledger = ledger_of(300)
    assert ledger.lowest_position() == 1
    for one in range(1, 201):
        ledger.set(one, GONE)
    assert ledger.lowest_position() == 3
    ledger.put(201, 9_999, Place(50, 0, 0))
    assert list(ledger.below(4)) == list(range(202, 301))
    ledger.set(202, FIRING)
    assert list(ledger.below(4)) == list(range(203, 301)), "what is on its way is not copied"
    assert list(ledger.below(3)) == []


def test_replay_puts_messages_into_the_middle_and_before_the_first() -> None:
    ledger = Ledger()
    ledger.extend(100, [5] * 10, 1, 0)
    ledger.put(40, 7, Place(2, 0, 0))
    ledger.put(41, FAILED, Place(2, 1, 0))
    ledger.put(105, 8, Place(2, 2, 0))
    ledger.put(200, 9, Place(3, 0, 0))
    assert [one for one, _, _ in ledger.entries()] == [40, 41, *range(100, 110), 200]
    assert (ledger.due(41), ledger.due(105), ledger.place(105)) == (FAILED, 8, Place(2, 2, 0))
    assert (ledger.live, ledger.failed) == (13, 1)


def test_a_message_that_was_gone_and_is_put_again_lives_again() -> None:
    ledger = ledger_of(10)
    ledger.set(4, GONE)
    ledger.put(4, 77, Place(9, 0, 0))
    assert (ledger.due(4), ledger.live) == (77, 10)


def test_a_page_that_grows_in_the_middle_is_split() -> None:
    ledger = Ledger()
    ledger.extend(1, [5], 1, 0)
    ledger.extend(100_000, [5], 2, 0)
    for one in range(2, 3 * PAGE_ENTRIES_MAX):
        ledger.put(one, one, Place(3, one, 0))
    assert max(len(page.ids) for page in ledger._pages) <= 2 * PAGE_ENTRIES_MAX
    assert [ledger.due(one) for one in range(2, 3 * PAGE_ENTRIES_MAX)] == list(range(2, 3 * PAGE_ENTRIES_MAX))
    assert ledger.live == 3 * PAGE_ENTRIES_MAX


def test_a_half_that_holds_nothing_any_more_goes_when_a_page_is_split() -> None:
    ledger = Ledger()
    ledger.extend(10, [5], 1, 0)
    for one in range(11, 11 + 2 * PAGE_ENTRIES_MAX - 1):
        ledger.put(one, 5, Place(1, 0, 0))
    for one in range(10, 10 + PAGE_ENTRIES_MAX - 1):
        ledger.set(one, GONE)
    assert ledger.live == PAGE_ENTRIES_MAX + 1
    for one in range(9, 0, -1):
        ledger.put(one, 6, Place(2, 0, 0))
    assert ledger.live == PAGE_ENTRIES_MAX + 10
    assert ledger.due(1) == 6

"""What an exchange remembers of what it held."""

from __future__ import annotations

from posthouse.actors.held_seen import Seen


def test_only_what_was_held_is_known_and_numbers_between_are_not() -> None:
    seen = Seen()
    seen.add(7, 5, 9)
    seen.add(7, 20, 20)
    assert seen.has(7, 5, 9)
    assert seen.has(7, 6, 6)
    assert seen.has(7, 20, 20)
    assert not seen.has(7, 4, 5)
    assert not seen.has(7, 9, 10)
    assert not seen.has(7, 15, 15)
    assert not seen.has(8, 5, 5)


def test_neighbours_become_one_range_in_whatever_order_they_come() -> None:
    seen = Seen()
    for first, last in ((10, 12), (1, 3), (4, 9), (2, 5)):
        seen.add(7, first, last)
    assert seen.ranges == 1
    assert seen.flat() == [[7, 1, 12]]


def test_the_stream_that_was_quiet_longest_is_forgotten_first() -> None:
    seen = Seen(ranges_max=3)
    for number in (1, 3, 5):
        seen.add(1, number, number)
    seen.add(2, 1, 1)
    assert not seen.has(1, 5, 5)
    assert seen.has(2, 1, 1)
    assert seen.ranges == 1


def test_of_one_stream_alone_the_oldest_half_is_forgotten() -> None:
    seen = Seen(ranges_max=3)
    for number in (1, 3, 5, 7):
        seen.add(1, number, number)
    assert seen.flat() == [[1, 5, 5, 7, 7]]
    assert seen.ranges == 2

"""The range map by example."""

from __future__ import annotations

from posthouse.actors.offsets import RangeMap, merged


def ranges_of(*ranges: tuple[int, int, int]) -> RangeMap[int]:
    filled: RangeMap[int] = RangeMap()
    for first, last, value in ranges:
        filled.put(first, last, value)
    return filled


def test_an_empty_map_is_false_counts_nothing_and_gives_nothing() -> None:
    empty: RangeMap[int] = RangeMap()
    assert not empty
    assert (empty.count, empty.ranges, list(empty)) == (0, 0, [])
    assert empty.pop_first(10) is None
    assert empty.take(1, 10) == empty.pieces(1, 10) == []


def test_adjacent_equal_values_become_one_range() -> None:
    assert list(ranges_of((1, 5, 0), (6, 9, 0))) == [(1, 9, 0)]
    assert list(ranges_of((6, 9, 0), (1, 5, 0))) == [(1, 9, 0)]
    assert list(ranges_of((1, 2, 0), (5, 6, 0), (3, 4, 0))) == [(1, 6, 0)]
    assert list(ranges_of((1, 2, 0), (5, 6, 1), (3, 4, 0))) == [(1, 4, 0), (5, 6, 1)]


def test_adjacent_different_values_stay_apart() -> None:
    assert list(ranges_of((1, 5, 0), (6, 9, 1))) == [(1, 5, 0), (6, 9, 1)]
    assert list(ranges_of((6, 9, 1), (1, 5, 0))) == [(1, 5, 0), (6, 9, 1)]


def test_put_replaces_what_was_there() -> None:
    filled = ranges_of((1, 10, 0), (4, 6, 7))
    assert list(filled) == [(1, 3, 0), (4, 6, 7), (7, 10, 0)]
    assert filled.count == 10
    filled.put(1, 10, 2)
    assert list(filled) == [(1, 10, 2)]


def test_take_splits_the_ranges_that_stick_out() -> None:
    filled = ranges_of((1, 10, 0), (20, 30, 1), (40, 50, 2))
    assert filled.take(5, 45) == [(5, 10, 0), (20, 30, 1), (40, 45, 2)]
    assert list(filled) == [(1, 4, 0), (46, 50, 2)]
    assert filled.take(2, 3) == [(2, 3, 0)]
    assert list(filled) == [(1, 1, 0), (4, 4, 0), (46, 50, 2)]
    assert filled.count == 7


def test_take_removes_a_whole_range_at_the_front_and_in_the_middle() -> None:
    filled = ranges_of((1, 2, 0), (4, 5, 0), (7, 8, 0))
    assert filled.take(3, 6) == [(4, 5, 0)]
    assert filled.take(1, 2) == [(1, 2, 0)]
    assert list(filled) == [(7, 8, 0)]


def test_take_between_ranges_takes_nothing() -> None:
    filled = ranges_of((1, 2, 0), (8, 9, 0))
    assert filled.take(3, 7) == filled.take(10, 99) == []
    assert filled.count == 4


def test_pop_first_gives_the_lowest_offsets_of_one_value() -> None:
    filled = ranges_of((1, 5, 0), (6, 9, 1))
    assert filled.pop_first(3) == (1, 3, 0)
    assert filled.first == 4
    assert filled.pop_first(100) == (4, 5, 0)
    assert filled.pop_first(4) == (6, 9, 1)
    assert not filled


def test_pieces_are_cut_to_the_bounds_and_change_nothing() -> None:
    filled = ranges_of((1, 5, 0), (8, 9, 1))
    assert filled.pieces(3, 8) == [(3, 5, 0), (8, 8, 1)]
    assert list(filled) == [(1, 5, 0), (8, 9, 1)]


def test_a_range_returned_to_the_front_needs_no_shift() -> None:
    filled = ranges_of((1, 1, 0), (3, 3, 1), (5, 5, 0))
    filled.pop_first(1)
    filled.put(1, 1, 4)
    assert list(filled) == [(1, 1, 4), (3, 3, 1), (5, 5, 0)]


def test_a_long_drain_from_the_front_keeps_the_rest_intact() -> None:
    filled: RangeMap[int] = RangeMap()
    for offset in range(0, 4_000, 2):
        filled.put(offset, offset, 0)
    for offset in range(0, 3_000, 2):
        assert filled.pop_first(1) == (offset, offset, 0)
    assert (filled.first, filled.ranges, filled.count) == (3_000, 500, 500)
    filled.clear()
    assert not filled


def test_merged_joins_only_what_follows_at_once() -> None:
    assert merged([(1, 2), (3, 3), (5, 9)]) == [(1, 3), (5, 9)]
    assert merged([]) == []

"""Ready offsets by priority."""

from __future__ import annotations

from posthouse.actors.queue_ready import LeastFirst, PriorityReady
from posthouse.transport.limits import PRIORITIES


def sets(*batches: tuple[int, int]) -> PriorityReady:
    """Batches of a count and a priority, one behind the other from offset 1, all ready."""
    borders: list[tuple[int, int, int]] = []
    for count, priority in batches:
        first = borders[-1][1] + 1 if borders else 1
        borders.append((first, first + count - 1, priority))

    def batch_at(offset: int) -> tuple[int, int]:
        return next((last, priority) for first, last, priority in borders if first <= offset <= last)

    ready = PriorityReady(batch_at)
    ready.put(1, borders[-1][1], 0)
    return ready


def test_higher_leaves_first_and_equals_in_their_order() -> None:
    ready = sets((2, 0), (2, 9), (2, 5), (2, 9))
    left = []
    while ready:
        assert ready.first
        left.append(ready.pop_first(10))
    assert left == [(3, 4, 0), (7, 8, 0), (5, 6, 0), (1, 2, 0)]
    assert (ready.pop_first(1), ready.count) == (None, 0)


def test_what_comes_back_goes_to_its_place_within_its_priority() -> None:
    ready = sets((3, 1), (3, 4), (3, 1))
    assert ready.pop_first(2) == (4, 5, 0)
    assert ready.take(1, 8) == [(1, 3, 0), (6, 6, 0), (7, 8, 0)]
    ready.put(2, 7, 1)
    assert list(ready) == [(4, 6, 1), (2, 3, 1), (7, 7, 1), (9, 9, 0)]
    assert ready.pieces(3, 9) == [(3, 3, 1), (4, 6, 1), (7, 7, 1), (9, 9, 0)]
    assert (ready.count, ready.counts) == (7, (0, 4, 0, 0, 3, 0, 0, 0, 0, 0))


def test_from_the_other_end_the_oldest_of_the_lowest_priority_comes_first() -> None:
    least = LeastFirst(sets((2, 5), (3, 1), (2, 5)))
    assert (least.first, least.count) == (3, 7)
    assert [least.pop_first(2) for _ in range(4)] == [(3, 4, 0), (5, 5, 0), (1, 2, 0), (6, 7, 0)]
    assert (least.count, least.pop_first(1)) == (0, None)


def test_what_is_put_twice_counts_once_and_a_clear_leaves_nothing() -> None:
    ready = sets((4, 3))
    ready.put(2, 3, 7)
    assert (ready.count, list(ready)) == (4, [(1, 1, 0), (2, 3, 7), (4, 4, 0)])
    ready.clear()
    assert (bool(ready), ready.count, ready.counts) == (False, 0, (0,) * PRIORITIES)

"""What a queue has handed out: the oldest that is still held, without remembering for ever what is not."""

from __future__ import annotations

from posthouse.actors import measures
from posthouse.actors.queue_consumers import Consumer, Consumers
from posthouse.actors.queue_effects import Delivery
from posthouse.actors.queue_handouts import REMEMBERED_MIN, RESOLUTION_MS, WAITS_MAX, Handouts
from posthouse.actors.stored_batch import stored
from posthouse.supervisor.meter import Meter
from tests.support.actor_bench import WALL_MS, batch

ENTRY = stored(1, batch(b"x"), b"raw")


class House:
    """Handouts, and consumers that hold what they were given until `settle`."""

    def __init__(self) -> None:
        self.consumers = Consumers("q", is_single_active=False)
        for number in (1, 2):
            self.consumers.admit(
                Consumer(session=7, consumer=number, client_id=1, client_name="c", prefetch=60_000,
                         auto_ack=False, exclusive=False, credit=60_000)
            )  # fmt: skip
        self.handouts = Handouts(self.consumers)

    def give(self, now_ms: int, first: int, count: int = 1, consumer: int = 1, attempt: int = 1) -> None:
        holder = self.consumers.find(7, consumer)
        assert holder is not None
        holder.unacked.put(first, first + count - 1, attempt)
        self.handouts.given([Delivery(7, consumer, first, count, attempt, ENTRY, 0)], now_ms)

    def settle(self, first: int, last: int, consumer: int = 1) -> None:
        holder = self.consumers.find(7, consumer)
        assert holder is not None
        holder.unacked.take(first, last)


def test_the_oldest_is_the_first_that_is_still_held() -> None:
    house = House()
    house.give(1_000, 1)
    house.give(2_000, 2, consumer=2)
    house.give(3_000, 3)
    assert house.handouts.oldest_ms() == 1_000
    house.settle(1, 1)
    assert house.handouts.oldest_ms() == 2_000
    house.settle(2, 2, consumer=2)
    house.settle(3, 3)
    assert house.handouts.oldest_ms() is None


def test_neighbours_given_within_the_resolution_count_as_given_together() -> None:
    house = House()
    house.give(1_000, 1)
    house.give(1_000 + RESOLUTION_MS - 1, 2)
    house.settle(1, 1)
    assert house.handouts.oldest_ms() == 1_000
    house.give(1_000 + RESOLUTION_MS, 3)
    house.settle(2, 2)
    assert house.handouts.oldest_ms() == 1_000 + RESOLUTION_MS


def test_what_follows_something_that_was_forgotten_is_not_lost_with_it() -> None:
    house = House()
    house.give(1_000, 1)
    house.settle(1, 1)
    assert house.handouts.oldest_ms() is None
    house.give(1_010, 2)
    assert house.handouts.oldest_ms() == 1_010


def test_offsets_between_two_that_were_given_are_not_taken_for_given() -> None:
    house = House()
    house.give(1_000, 1)
    house.give(1_010, 3)
    house.settle(1, 3)
    house.give(9_000, 2)
    assert house.handouts.oldest_ms() == 9_000


def test_a_second_attempt_is_held_since_then() -> None:
    house = House()
    house.give(1_000, 1)
    house.settle(1, 1)
    house.give(5_000, 1, attempt=2)
    assert house.handouts.oldest_ms() == 5_000


def test_behind_one_that_is_never_settled_the_others_are_forgotten() -> None:
    house = House()
    house.give(1_000, 1)
    for number in range(5 * REMEMBERED_MIN):
        house.give(2_000 + number, 10 + 2 * number)
        house.settle(10 + 2 * number, 10 + 2 * number)
    assert len(house.handouts._given) <= REMEMBERED_MIN + 1
    assert house.handouts.oldest_ms() == 1_000


def test_many_that_are_held_are_all_remembered() -> None:
    house = House()
    for number in range(3 * REMEMBERED_MIN):
        house.give(1_000 + number, 1 + 2 * number)
    house.settle(1, 2 * REMEMBERED_MIN)
    assert house.handouts.oldest_ms() == 1_000 + REMEMBERED_MIN


def test_waits_of_any_length_are_all_counted_and_not_all_remembered() -> None:
    house = House()
    meter = Meter()
    for number in range(2 * WAITS_MAX):
        house.give(WALL_MS + 86_400_000 * number, 1 + 2 * number)
    assert len(house.handouts._waits_ms) <= WAITS_MAX
    house.handouts.show(meter)
    assert not house.handouts._waits_ms
    first, buckets = measures.DELIVERY.first, len(measures.DELIVERY.bounds) + 1
    assert sum(meter.get(first + bucket) for bucket in range(buckets)) == 2 * WAITS_MAX
    attempts = measures.ATTEMPT.first
    assert meter.get(attempts) == 2 * WAITS_MAX

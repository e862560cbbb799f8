"""Who was given what in one round, as the journal says it."""

from __future__ import annotations

from typing import Any

from posthouse.actors.queue_effects import Delivery, by_receiver
from posthouse.actors.queue_records import Kind

NAMES = {5: "till", 6: "shop"}


def delivery(session: int, first: int, count: int = 1, consumer: int = 1, *, settled: bool = False) -> Delivery:
    entry: Any = None
    return Delivery(session, consumer, first, count, 1, entry, 0, settled)


def test_one_delivery_is_one_record() -> None:
    assert by_receiver([delivery(5, 7, 3)], NAMES.__getitem__) == [(Kind.GIVEN, [("till", 1, [7, 9])])]
    assert by_receiver([delivery(5, 7, settled=True)], NAMES.__getitem__) == [(Kind.TAKEN, [("till", 1, [7, 7])])]


def test_deliveries_are_gathered_by_consumer_and_by_what_is_to_be_settled() -> None:
    deliveries = [
        delivery(5, 1, 2),
        delivery(6, 3),
        delivery(5, 4, settled=True),
        delivery(6, 5, consumer=2),
        delivery(5, 6),
        delivery(6, 4),
    ]
    assert by_receiver(deliveries, NAMES.__getitem__) == [
        (Kind.GIVEN, [("till", 1, [1, 2, 6, 6]), ("shop", 1, [3, 4]), ("shop", 2, [5, 5])]),
        (Kind.TAKEN, [("till", 1, [4, 4])]),
    ]

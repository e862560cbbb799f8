"""The feeds of the demo: what each queue has to get of the flights, and that it is bound for it."""

from __future__ import annotations

import zlib

import pytest

from posthouse.demo_feeds import CALIFORNIA, DELAYED, EXCHANGES, FEEDS, LEDGERS, REDRIVEN, expected_of, feed_of
from posthouse.demo_flights import Flight, read_flights


@pytest.fixture(scope="module")
def flights() -> list[Flight]:
    return read_flights()


@pytest.mark.parametrize(
    ("queue", "count"),
    [
        ("board", 27_004),
        ("united", 4_637),
        ("kennedy", 9_161),
        ("newark", 9_893),
        ("new-york", 9_161 + 7_950),
        ("united-cancelled", 32),
        ("cancelled-or-far", 521 + 31),
        ("connection-risk", 27_004),
        ("now-departing", 5_091),
        ("rebooking", 521),
        ("delta-desk", 3_690),
    ],
)
def test_a_queue_has_to_get_so_many_flights(flights: list[Flight], queue: str, count: int) -> None:
    assert len(expected_of(feed_of(queue), flights)) == count


def test_what_a_queue_has_to_get_comes_with_the_checksums_of_the_bodies() -> None:
    newark = Flight(1, b"1,x", "UA", "EWR", "IAH", 1400, False)
    kennedy = Flight(2, b"2,y", "B6", "JFK", "FLL", 1069, True)

    assert expected_of(feed_of("kennedy"), [newark, kennedy]) == {2: zlib.crc32(b"2,y")}


def test_a_destination_with_two_matching_bindings_is_expected_once(flights: list[Flight]) -> None:
    expected = expected_of(feed_of("california"), flights)

    assert len(expected) == sum(flight.dest in CALIFORNIA for flight in flights)


def test_every_queue_is_bound_to_a_declared_exchange_or_fed_by_the_default_one() -> None:
    assert all(feed.exchange in EXCHANGES or (feed.exchange == "" and not feed.rules) for feed in FEEDS)
    assert len({feed.queue for feed in FEEDS}) == len(FEEDS)


def test_every_ledger_has_a_name_of_its_own_and_is_of_a_declared_queue() -> None:
    assert len({feed.name for feed in LEDGERS}) == len(LEDGERS)
    assert {feed.queue for feed in LEDGERS} == {feed.queue for feed in FEEDS}


def test_order_is_not_asked_where_time_or_a_redrive_decides() -> None:
    assert [feed.name for feed in LEDGERS if not feed.is_ordered] == [DELAYED.name, REDRIVEN.name]


def test_bindings_are_shown_as_people_read_them() -> None:
    assert feed_of("board").binding == "(everything)"
    assert feed_of("new-york").binding == "JFK  LGA"
    assert feed_of("united-cancelled").binding == "all: carrier=UA, cancelled=True"

"""The flights of the demo: the file that is shipped, and what each queue has to get of it."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from posthouse.demo_flights import (
    CALIFORNIA,
    EXCHANGES,
    FEEDS,
    FLIGHTS_IN_FILE,
    Feed,
    Flight,
    expected_of,
    number_of,
    parse_flights,
    read_flights,
)
from tests.support.source_tree import ROOT

HEADER = "year,month,day,dep_time,carrier,flight,tailnum,origin,dest,air_time,distance"
UNITED = "2013,1,1,517,UA,1545,N14228,EWR,IAH,227,1400"
CANCELLED = "2013,1,1,NA,B6,125,N618JB,JFK,FLL,NA,1069"


@pytest.fixture(scope="module")
def flights() -> list[Flight]:
    return read_flights()


def feed(queue: str) -> Feed:
    return next(feed for feed in FEEDS if feed.queue == queue)


def test_a_row_becomes_a_flight_with_its_number_in_front_of_the_body() -> None:
    first, second = parse_flights([HEADER, UNITED, CANCELLED])

    assert first == Flight(1, b"1," + UNITED.encode(), "UA", "EWR", "IAH", 1400, False)
    assert first.key == "UA.EWR.IAH"
    assert second.is_cancelled
    assert second.headers == {
        "carrier": "B6",
        "origin": "JFK",
        "dest": "FLL",
        "distance": 1069,
        "cancelled": True,
    }


def test_a_limit_takes_the_first_flights() -> None:
    assert [flight.number for flight in parse_flights([HEADER, UNITED, CANCELLED], 1)] == [1]


def test_the_number_is_read_back_from_the_body() -> None:
    assert number_of(b"27004,2013,1,31,NA") == 27_004


def test_the_shipped_file_has_all_flights_of_that_january(flights: list[Flight]) -> None:
    assert len(flights) == FLIGHTS_IN_FILE
    assert [flight.number for flight in flights] == list(range(1, FLIGHTS_IN_FILE + 1))
    assert sum(flight.is_cancelled for flight in flights) == 521


def test_the_file_of_the_examples_is_the_file_of_the_package() -> None:
    shipped = Path(ROOT, "posthouse", "flights", "nycflights-2013-01.csv.gz")

    assert Path(ROOT, "examples", "flights", shipped.name).read_bytes() == shipped.read_bytes()


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
    ],
)
def test_a_queue_has_to_get_so_many_flights(flights: list[Flight], queue: str, count: int) -> None:
    assert len(expected_of(feed(queue), flights)) == count


def test_what_a_queue_has_to_get_comes_with_the_checksums_of_the_bodies() -> None:
    flights = parse_flights([HEADER, UNITED, CANCELLED])

    assert expected_of(feed("kennedy"), flights) == {2: zlib.crc32(flights[1].body)}


def test_a_destination_with_two_matching_bindings_is_expected_once(flights: list[Flight]) -> None:
    expected = expected_of(feed("california"), flights)

    assert len(expected) == sum(flight.dest in CALIFORNIA for flight in flights)


def test_every_queue_is_bound_to_a_declared_exchange_or_fed_by_the_default_one() -> None:
    assert all(feed.exchange in EXCHANGES or (feed.exchange == "" and not feed.rules) for feed in FEEDS)
    assert len({feed.queue for feed in FEEDS}) == len(FEEDS)


def test_bindings_are_shown_as_people_read_them() -> None:
    assert feed("board").binding == "(everything)"
    assert feed("new-york").binding == "JFK  LGA"
    assert feed("united-cancelled").binding == "all: carrier=UA, cancelled=True"

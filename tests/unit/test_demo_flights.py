"""The flights of the demo: the file that is shipped, its rows, and bodies."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.demo_flights import (
    FLIGHTS_IN_FILE,
    Flight,
    number_of,
    parse_flights,
    read_flights,
    with_moment,
    without_moment,
)
from tests.support.source_tree import ROOT

HEADER = "year,month,day,dep_time,dep_delay,carrier,flight,tailnum,origin,dest,air_time,distance"
UNITED = "2013,1,1,532,15,UA,1545,N14228,EWR,IAH,227,1400"
EARLY = "2013,1,1,515,-2,UA,1545,N14228,EWR,IAH,227,1400"
CANCELLED = "2013,1,1,NA,NA,B6,125,NA,JFK,FLL,NA,1069"


@pytest.fixture(scope="module")
def flights() -> list[Flight]:
    return read_flights()


def test_a_row_becomes_a_flight_with_its_number_in_front_of_the_body() -> None:
    first, second = parse_flights([HEADER, UNITED, CANCELLED])

    assert first == Flight(1, b"1," + UNITED.encode(), "UA", "EWR", "IAH", 1400, False, "N14228", 15)
    assert first.key == "UA.EWR.IAH"
    assert second.is_cancelled
    assert second.tail == ""
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


def test_a_flight_is_delayed_from_a_quarter_of_an_hour_on() -> None:
    late, early, cancelled = parse_flights([HEADER, UNITED, EARLY, CANCELLED])

    assert (late.late_min, late.is_delayed) == (15, True)
    assert not late._replace(late_min=14).is_delayed
    assert (early.late_min, early.is_delayed) == (0, False)
    assert (cancelled.late_min, cancelled.is_delayed) == (0, False)


def test_the_moment_of_a_delayed_flight_comes_off_its_body_again() -> None:
    body = with_moment(b"1,2013,1,1", 1_700_000_000_123)

    assert number_of(body) == 1
    assert without_moment(body) == (b"1,2013,1,1", 1_700_000_000_123)

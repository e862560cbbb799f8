"""The handler of the demo that fails: for which flights, with which error, and that it is repaired."""

from __future__ import annotations

import pytest

from posthouse.demo_flights import Flight, read_flights
from posthouse.demo_rebooking import NoAircraft, error_of, rebook, rebook_repaired


@pytest.fixture(scope="module")
def flights() -> list[Flight]:
    return read_flights()


def type_of_error(flight: Flight) -> str | None:
    try:
        rebook(flight.body)
    except NoAircraft:
        return "posthouse.demo_rebooking.NoAircraft"
    except ValueError:
        return "ValueError"
    return None


def test_it_fails_for_every_cancelled_flight_as_the_audit_says_and_for_no_other(flights: list[Flight]) -> None:
    assert [type_of_error(flight) for flight in flights] == [error_of(flight) for flight in flights]
    failing = {flight.number for flight in flights if error_of(flight) is not None}
    assert failing == {flight.number for flight in flights if flight.is_cancelled}


def test_it_fails_in_two_ways(flights: list[Flight]) -> None:
    assert {error_of(flight) for flight in flights} == {None, "ValueError", "posthouse.demo_rebooking.NoAircraft"}


def test_repaired_it_handles_every_flight(flights: list[Flight]) -> None:
    assert all(0 <= rebook_repaired(flight.body) <= 24 * 60 for flight in flights)

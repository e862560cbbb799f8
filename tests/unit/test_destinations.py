"""Destinations by example: their keys are told apart, and letters of one kind share a lane."""

from __future__ import annotations

import pytest

from posthouse.actors.destinations import LANES, Destination, destination_of, through


@pytest.mark.parametrize("destination", [Destination("q"), Destination("x", 0), Destination("", 15), Destination("15")])
def test_a_key_says_which_destination_it_is(destination: Destination) -> None:
    assert destination_of(destination.key) == destination


def test_a_queue_is_its_own_key_and_never_an_exchanges() -> None:
    assert Destination("x").key == "x"
    assert Destination("x").key != Destination("x", 0).key
    assert (Destination("x").actor, Destination("x", 3).actor) == ("queue:x", "exchange:x")
    assert (Destination("x").text, Destination("x", 3).text) == ("queue 'x'", "exchange 'x'")


def test_what_died_in_one_queue_under_one_key_shares_a_lane() -> None:
    assert through("x", "q", "k") == through("x", "q", "k")
    assert len({through("x", "q", f"k{number}").lane for number in range(200)}) == LANES

"""How late the delayed messages of the demo came: percentiles, and what is told apart."""

from __future__ import annotations

from posthouse.demo_lateness import BUSY, CALM, OUTAGE, Lateness, lateness_by_phase


def test_percentiles_are_values_that_so_large_a_share_does_not_exceed() -> None:
    found = Lateness.of(number / 1000 for number in range(100, 0, -1))

    assert found == Lateness(100, 0, 50.0, 99.0, 100.0)


def test_one_message_is_every_percentile() -> None:
    assert Lateness.of([0.002]) == Lateness(1, 0, 2.0, 2.0, 2.0)


def test_without_messages_there_are_no_percentiles() -> None:
    assert Lateness.of([]) == Lateness(0, 0, None, None, None)


def test_what_came_before_its_time_is_counted() -> None:
    assert Lateness.of([-0.001, 0.0, 0.001]).early == 1


def test_what_waited_while_nothing_was_delivered_is_told_apart_from_what_did_not() -> None:
    outage = (10.0, 12.0)
    received = [(9.0, 0.5), (9.5, 3.0), (11.0, 1.5), (12.0, 0.1), (12.5, 0.1), (20.1, 0.2)]

    found = lateness_by_phase(received, [outage], busy_until=20.0)

    assert {name: group.count for name, group in found.items()} == {BUSY: 2, OUTAGE: 3, CALM: 1}


def test_a_phase_without_messages_is_not_there() -> None:
    assert list(lateness_by_phase([(1.0, 0.1)], [], busy_until=0.0)) == [CALM]

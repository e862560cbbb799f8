"""The audit of the demo: each fault a broker could commit shows in its number, and in no other."""

from __future__ import annotations

import pytest

from posthouse.demo_audit import ENTRY_BYTES, Ledger, pack_entry

EXPECTED = {1: 11, 2: 22, 3: 33}


def entries(*received: tuple[int, int], start_at: float = 1.0) -> bytes:
    """Entries of `(number, attempt)` with the right checksums, one second apart."""
    return b"".join(
        pack_entry(number, attempt, EXPECTED.get(number, 0), start_at + second)
        for second, (number, attempt) in enumerate(received)
    )


def faults(ledger: Ledger) -> dict[str, int]:
    counted = {
        "lost": ledger.lost,
        "unflagged": ledger.unflagged_duplicates,
        "damaged": ledger.damaged,
        "unexpected": ledger.unexpected,
        "out of order": ledger.out_of_order,
    }
    return {name: count for name, count in counted.items() if count}


def test_each_message_once_and_in_order_is_good() -> None:
    ledger = Ledger(EXPECTED)

    ledger.read("a", entries((1, 1), (2, 1), (3, 1)))

    assert ledger.is_good
    assert ledger.received == ledger.entries == 3


def test_before_anything_came_everything_is_lost() -> None:
    ledger = Ledger(EXPECTED)

    assert ledger.lost == 3
    assert not ledger.is_complete
    assert ledger.last_at == 0.0


@pytest.mark.parametrize(
    ("received", "expected_faults"),
    [
        ([(1, 1), (3, 1)], {"lost": 1}),
        ([(1, 1), (2, 1), (2, 1), (3, 1)], {"unflagged": 1}),
        ([(1, 1), (3, 1), (2, 1)], {"out of order": 1}),
        ([(1, 1), (2, 1), (3, 1), (4, 1)], {"unexpected": 1}),
    ],
)
def test_a_fault_shows_in_its_own_number(received: list[tuple[int, int]], expected_faults: dict[str, int]) -> None:
    ledger = Ledger(EXPECTED)

    ledger.read("a", entries(*received))

    assert faults(ledger) == expected_faults
    assert not ledger.is_good


def test_a_body_that_changed_on_the_way_is_damaged() -> None:
    ledger = Ledger(EXPECTED)

    ledger.read("a", entries((1, 1), (2, 1)) + pack_entry(3, 1, 34, 3.0))

    assert faults(ledger) == {"damaged": 1}


def test_a_marked_duplicate_is_counted_and_allowed() -> None:
    ledger = Ledger(EXPECTED)

    ledger.read("a", entries((1, 1), (2, 1), (1, 2), (3, 1)))

    assert ledger.flagged_duplicates == 1
    assert ledger.is_good


def test_a_redelivery_to_somebody_who_had_nothing_of_it_is_no_duplicate() -> None:
    ledger = Ledger(EXPECTED)

    ledger.read("a", entries((2, 1), (3, 1)))
    ledger.read("b", entries((1, 2)))

    assert ledger.flagged_duplicates == 0
    assert ledger.is_good


def test_the_file_of_the_first_receiver_may_be_read_last() -> None:
    ledger = Ledger(EXPECTED)

    ledger.read("b", entries((1, 2), (2, 1), (3, 1)))
    ledger.read("a", entries((1, 1)))

    assert ledger.flagged_duplicates == 1
    assert ledger.is_good


def test_two_consumers_that_are_both_told_that_a_message_is_new_are_noticed() -> None:
    ledger = Ledger(EXPECTED)

    ledger.read("a", entries((1, 1), (2, 1), (3, 1)))
    ledger.read("b", entries((2, 1)))

    assert faults(ledger) == {"unflagged": 1}
    assert ledger.flagged_duplicates == 0


def test_order_is_a_matter_between_one_consumer_and_the_publisher() -> None:
    ledger = Ledger(EXPECTED)

    ledger.read("a", entries((2, 1), (3, 1)))
    ledger.read("b", entries((1, 1)))

    assert ledger.is_good


def test_where_order_is_not_asked_a_later_message_may_come_first() -> None:
    ledger = Ledger(EXPECTED, is_ordered=False)

    ledger.read("a", entries((3, 1), (1, 1), (2, 1)))

    assert ledger.is_good


def test_a_message_before_its_time_is_a_fault() -> None:
    ledger = Ledger(EXPECTED)

    ledger.read("a", pack_entry(1, 1, 11, 10.0, 500) + pack_entry(2, 1, 22, 11.0, -1) + pack_entry(3, 1, 33, 12.0, 1))

    assert ledger.is_complete
    assert ledger.early == 1
    assert not ledger.is_good


def test_lateness_is_that_of_the_first_receipt() -> None:
    ledger = Ledger(EXPECTED)

    ledger.read("a", pack_entry(1, 1, 11, 10.0, 250_000) + pack_entry(1, 2, 11, 12.0, 2_250_000))

    assert ledger.lateness == [(9.75, 0.25)]
    assert ledger.early == 0


def test_a_lateness_of_hours_is_cut_to_what_an_entry_holds() -> None:
    ledger = Ledger(EXPECTED)

    ledger.read("a", pack_entry(1, 1, 11, 9_000.0, 9_000_000_000))

    assert ledger.lateness[0][1] == pytest.approx(2_147.483647)


def test_half_an_entry_of_a_killed_consumer_is_left_for_later() -> None:
    ledger = Ledger(EXPECTED)
    written = entries((1, 1), (2, 1))

    assert ledger.read("a", written[:-1]) == ENTRY_BYTES
    assert ledger.received == 1
    assert ledger.read("a", written[ENTRY_BYTES:]) == ENTRY_BYTES
    assert ledger.received == 2


def test_the_first_receipt_after_a_moment_is_found_for_one_consumer_and_for_all() -> None:
    ledger = Ledger(EXPECTED)
    ledger.read("a", entries((1, 1), (2, 1), start_at=10.0))
    ledger.read("b", entries((3, 2), start_at=10.5))

    assert ledger.first_after(10.0) == 10.5
    assert ledger.first_after(10.0, "a") == 11.0
    assert ledger.first_after(11.0) is None
    assert ledger.first_after(0.0, "nobody") is None
    assert ledger.first_redelivered_after(10.0) == 10.5
    assert ledger.first_redelivered_after(10.5) is None
    assert ledger.last_at == 11.0

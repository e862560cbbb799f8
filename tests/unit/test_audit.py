"""The audit of the kill tests notices every fault it is there for."""

from __future__ import annotations

from tests.support.audit import Audit, body_of, entry_of


def audit(attempted: int = 3, confirmed: int = 3) -> Audit:
    audit = Audit()
    audit.attempt(1, attempted)
    audit.confirm(1, confirmed)
    return audit


def book(*received: tuple[int, int]) -> bytes:
    """Number and attempt of what came, of stream 1."""
    return b"".join(entry_of(body_of(1, number), attempt) for number, attempt in received)


def test_everything_once_and_in_order_is_right() -> None:
    assert audit().faults("q", [book((1, 1), (2, 1), (3, 1))]) == []


def test_a_second_delivery_that_says_so_is_right() -> None:
    assert audit().faults("q", [book((1, 1), (2, 1)), book((2, 2), (3, 1))]) == []


def test_what_was_never_confirmed_may_come_or_not() -> None:
    assert audit(confirmed=2).faults("q", [book((1, 1), (2, 1))]) == []
    assert audit(confirmed=2).faults("q", [book((1, 1), (2, 1), (3, 1))]) == []
    assert audit(confirmed=2).unconfirmed == 1
    assert audit(confirmed=2).confirmed == 2


def test_a_lost_message_is_named() -> None:
    assert audit().faults("q", [book((1, 1), (3, 1))]) == ["q: message 2 of stream 1 is lost"]
    assert audit().missing([book((1, 1), (3, 1))]) == 1


def test_an_invented_message_is_named() -> None:
    faults = audit().faults("q", [book((1, 1), (2, 1), (3, 1), (4, 1))])
    assert faults == ["q: message 4 of stream 1, attempt 1, notebook 0 was never sent"]


def test_a_second_delivery_that_does_not_say_so_is_named() -> None:
    faults = audit().faults("q", [book((1, 1), (2, 1)), book((2, 1), (3, 1))])
    assert "q: message 2 of stream 1, attempt 1, notebook 1 came again and says that it came first" in faults


def test_first_deliveries_out_of_order_are_named() -> None:
    faults = audit().faults("q", [book((2, 1), (1, 1), (3, 1))])
    assert "q: message 1 of stream 1, attempt 1, notebook 0 was first delivered after 2" in faults


def test_a_message_seen_for_the_first_time_out_of_order_is_named_whatever_its_attempt() -> None:
    faults = audit().faults("q", [book((2, 1), (1, 2), (3, 1))])
    assert faults == ["q: message 1 of stream 1, attempt 2, notebook 0 was new after 2"]


def test_what_a_killed_consumer_held_may_be_new_to_its_successor_after_later_messages() -> None:
    books = [book((1, 1)), book((4, 1), (2, 2), (3, 2))]
    assert audit(4, 4).faults("q", books, held_max=2) == []
    faults = audit(4, 4).faults("q", books, held_max=1)
    assert faults == ["q: message 3 of stream 1, attempt 2, notebook 1 was new after 4"]
    assert len(audit(4, 4).faults("q", [b"".join(books)], held_max=2)) == 2, "nobody was killed before the first"
    assert audit(4, 4).faults("q", [book((1, 1)), book((4, 1), (2, 1), (3, 2))], held_max=2)


def test_a_damaged_message_is_named() -> None:
    damaged = entry_of(body_of(1, 2)[:-1] + b"!", 1)
    faults = audit().faults("q", [book((1, 1)) + damaged + book((3, 1))])
    assert faults == ["q: message 2 of stream 1, attempt 1, notebook 0 is damaged"]
    assert audit(0, 0).faults("q", [entry_of(b"short", 1)])


def test_half_an_entry_of_a_killed_consumer_does_not_count() -> None:
    whole = book((1, 1), (2, 1))
    assert audit(confirmed=1).faults("q", [whole[:-3], book((2, 2), (3, 1))]) == []

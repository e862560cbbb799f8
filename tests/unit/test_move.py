"""The two ends of a move: what is sent again, what is taken, and what is never taken twice."""

from __future__ import annotations

import pytest

from posthouse.actors.move import IN_FLIGHT_BYTES_MAX, IN_FLIGHT_MESSAGES_MAX, Admission, Outbox, admission


@pytest.mark.parametrize(
    ("last_seen", "floor", "first", "last", "expected"),
    [
        (0, 1, 1, 3, Admission.NEW),
        (3, 1, 1, 3, Admission.SEEN),
        (3, 4, 4, 4, Admission.NEW),
        (3, 1, 5, 5, Admission.GAP),
        (0, 1, 2, 2, Admission.GAP),
        (0, 7, 7, 9, Admission.NEW),
        (3, 7, 7, 9, Admission.NEW),
        (3, 7, 8, 9, Admission.GAP),
    ],
)
def test_what_a_target_takes(last_seen: int, floor: int, first: int, last: int, expected: Admission) -> None:
    assert admission(last_seen, floor, first, last) is expected


def outbox(*counts: int) -> Outbox[str]:
    box: Outbox[str] = Outbox(5)
    for number, count in enumerate(counts):
        box.add(count, 10, f"item {number}")
    return box


def test_intents_are_numbered_without_a_gap_and_sent_in_order() -> None:
    box = outbox(2, 1, 3)
    sent = [box.take(), box.take(), box.take(), box.take()]
    assert [None if one is None else (one.first_seq, one.item) for one in sent] == [
        (1, "item 0"), (3, "item 1"), (4, "item 2"), None,
    ]  # fmt: skip
    assert (box.next_seq, box.floor, box.messages, len(box), box.has_unsent) == (7, 1, 6, 3, False)


def test_the_floor_rises_with_what_is_settled_from_below() -> None:
    box = outbox(2, 1, 3)
    first, second, third = (box.take() for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    assert box.answered(second)
    assert box.floor == 1
    assert box.answered(first)
    assert box.floor == 4
    assert not box.answered(first), "an answer counts once"
    assert box.answered(third)
    assert (box.floor, len(box), box.messages, box.in_flight) == (7, 0, 0, 0)


def test_what_was_refused_is_sent_again_in_its_old_order() -> None:
    box = outbox(1, 1, 1)
    sent = [box.take() for _ in range(3)]
    for number in (2, 3):
        box.refused(number)
    assert [box.answered(one) for one in sent if one] == [True, False, False]
    box.add(1, 10, "later")
    again = [box.take() for _ in range(3)]
    assert [one.first_seq for one in again if one] == [2, 3, 4]
    box.refused(99)


def test_what_is_on_its_way_is_bounded_but_one_may_always_go() -> None:
    box = outbox(IN_FLIGHT_MESSAGES_MAX, 1)
    assert box.take() is not None
    assert box.take() is None
    heavy: Outbox[str] = Outbox(5)
    heavy.add(1, 2 * IN_FLIGHT_BYTES_MAX, "a")
    heavy.add(1, 1, "b")
    assert heavy.take() is not None
    assert heavy.take() is None


def test_what_is_dropped_is_never_sent_and_never_answered() -> None:
    box = outbox(1, 1)
    sent = box.take()
    assert sent is not None
    for intent in box.intents():
        box.drop(intent)
        box.drop(intent)
    assert (len(box), box.messages, box.in_flight, box.take(), box.floor) == (0, 0, 0, None, 3)
    assert not box.answered(sent)


def test_a_replay_brings_intents_in_any_order() -> None:
    box: Outbox[str] = Outbox(5)
    box.add(1, 10, "second", first_seq=9)
    box.add(2, 10, "first", first_seq=4)
    box.replayed()
    assert (box.floor, box.next_seq) == (4, 10)
    first = box.take()
    assert first is not None
    assert first.item == "first"
    assert box.get(9) is not None

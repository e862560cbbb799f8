"""The two halves of a link, by example: windows, acknowledgements, what is sent again, what is dropped."""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec
import pytest

from posthouse.transport import wire
from posthouse.transport.errors import ProtocolViolation
from posthouse.transport.limits import ENVELOPE_BYTES_TARGET, Limits
from posthouse.transport.link import FRAME_OVERHEAD_BYTES, RESEND_PAUSE_MS, Receiver, Sender

LIMITS: Final = Limits(window_messages=10, window_bytes=1_000)
HEADER: Final = b"h" * wire.HEADER_BYTES


def sender_with(*sizes: int, limits: Limits = LIMITS) -> Sender:
    """A sender that was offered messages of these sizes, with contexts 1, 2, 3…"""
    sender = Sender(limits)
    for number, size in enumerate(sizes, start=1):
        sender.offer(b"\x01" * size, size, 1, number)
    return sender


def one_by_one(count: int, limits: Limits = LIMITS) -> Sender:
    """A sender with so many frames of one message in flight."""
    sender = Sender(limits)
    for number in range(1, count + 1):
        sender.offer(b"\x01", 1, 1, number)
        sender.frames_to_send()
    return sender


def sequences(sender: Sender) -> list[int]:
    return [frame.sequence for frame in sender.frames_to_send()]


def test_a_new_sender_is_idle_and_waits_for_nothing() -> None:
    sender = Sender(LIMITS)
    assert sender.is_idle
    assert not sender.has_backlog
    assert not sender.has_in_flight
    assert not sender.is_waiting_for_receipt
    assert sender.frames_to_send() == []


def test_what_waits_leaves_in_one_frame() -> None:
    sender = sender_with(10, 20, 30)
    assert (sender.backlog_messages, sender.backlog_bytes) == (3, 60)
    (frame,) = sender.frames_to_send()
    assert (frame.sequence, frame.messages, frame.size) == (1, 3, 60 + FRAME_OVERHEAD_BYTES)
    assert frame.seal(HEADER) == HEADER + b"\x93" + b"\x01" * 60
    assert (sender.backlog_messages, sender.backlog_bytes) == (0, 0)
    assert not sender.is_idle
    assert sender.is_waiting_for_receipt


def test_any_kind_of_bytes_can_be_a_piece() -> None:
    sender = Sender(LIMITS)
    for piece in (b"\x01", memoryview(b"\x02"), msgspec.Raw(b"\x03")):
        sender.offer(piece, 1, 1, None)
    (frame,) = sender.frames_to_send()
    assert frame.seal(HEADER)[len(HEADER) :] == b"\x93\x01\x02\x03"
    assert frame.seal(b"H" * 48)[:49] == b"H" * 48 + b"\x93"


def test_the_size_of_a_frame_is_never_less_than_its_bytes() -> None:
    for count in (1, 15, 16, 10_000):
        sender = sender_with(*[3] * count, limits=Limits())
        (frame,) = sender.frames_to_send()
        assert len(frame.seal(HEADER)) <= frame.size


def test_the_window_in_messages_holds_back_what_does_not_fit() -> None:
    sender = one_by_one(10)
    sender.offer(b"\x01", 1, 1, 11)
    assert sequences(sender) == []
    assert sender.messages_in_flight == 10
    assert sender.acknowledged(1, 1, []) == [1]
    assert sequences(sender) == [11]
    assert sender.messages_in_flight == 10


def test_the_window_in_bytes_counts_what_frames_cost_around_their_messages() -> None:
    sender = sender_with(400)
    sender.frames_to_send()
    sender.offer(b"", 1_000 - 400 - 2 * FRAME_OVERHEAD_BYTES + 1, 1, 2)
    assert sequences(sender) == []
    sender.acknowledged(1, 1, [])
    assert sequences(sender) == [2]
    sender.offer(b"", 400 - 1, 1, 3)
    assert sequences(sender) == [3]
    assert sender.bytes_in_flight == 1_000


def test_a_frame_takes_only_what_its_window_has_room_for() -> None:
    assert [frame.messages for frame in sender_with(*[1] * 12).frames_to_send()] == [10]
    assert [frame.messages for frame in sender_with(*[300] * 4).frames_to_send()] == [3]


def test_one_message_over_the_window_may_go_alone() -> None:
    sender = sender_with(5_000, 1)
    assert [frame.messages for frame in sender.frames_to_send()] == [1]
    assert sequences(sender) == []
    sender.acknowledged(1, 1, [])
    assert sequences(sender) == [2]
    many = Sender(LIMITS)
    many.offer(b"", 1, 99, None)
    many.offer(b"", 1, 1, None)
    assert [frame.messages for frame in many.frames_to_send()] == [99]


def test_messages_that_count_for_nothing_still_fill_the_window_frame_by_frame() -> None:
    sender = Sender(LIMITS)
    for _ in range(11):
        sender.offer(b"\x01", 1, 0, None)
        sender.frames_to_send()
    assert sender.last_sequence == 10
    assert sender.messages_in_flight == 10
    assert sender.has_backlog


def test_a_frame_closes_at_its_target_size_at_the_frame_limit_and_at_its_number_of_messages() -> None:
    wide = Limits(window_messages=1 << 30, window_bytes=1 << 30, frame_bytes_max=1 << 30)
    half = ENVELOPE_BYTES_TARGET // 2
    assert [frame.messages for frame in sender_with(half, half, 1, limits=wide).frames_to_send()] == [1, 2]
    low = Limits(frame_bytes_max=100)
    frames = sender_with(30, 19, 30, 20, limits=low).frames_to_send()
    assert [frame.messages for frame in frames] == [2, 1, 1]
    many = sender_with(*[1] * (wire.PIECES_MAX + 1), limits=wide).frames_to_send()
    assert [frame.messages for frame in many] == [wire.PIECES_MAX, 1]


def test_received_is_not_settled() -> None:
    sender = one_by_one(3)
    assert sender.acknowledged(3, 1, []) == [1]
    assert not sender.is_waiting_for_receipt
    assert sender.has_in_flight
    assert sender.acknowledged(3, 3, []) == [2, 3]
    assert sender.is_idle
    assert (sender.messages_in_flight, sender.bytes_in_flight) == (0, 0)


def test_an_old_acknowledgement_takes_nothing_back() -> None:
    sender = one_by_one(5)
    sender.acknowledged(5, 3, [5, 5])
    assert sender.acknowledged(2, 1, []) == []
    assert sender.acknowledged(4, 1, [3, 4]) == [4]
    assert sender.received == 5
    assert sender.is_idle


def test_frames_are_settled_in_any_order_and_once() -> None:
    sender = one_by_one(8)
    assert sender.acknowledged(8, 1, [3, 4, 7, 7]) == [1, 3, 4, 7]
    assert sender.acknowledged(8, 1, [3, 5, 7, 7]) == [5]
    assert sender.acknowledged(8, 1, [3, 4, 7, 7]) == []
    assert sender.acknowledged(8, 1, [2, 7]) == [2, 6]
    assert sender.acknowledged(8, 8, []) == [8]
    assert sender.is_idle
    assert (sender.messages_in_flight, sender.bytes_in_flight) == (0, 0)


def test_what_is_settled_in_order_passes_over_what_was_settled_early() -> None:
    sender = one_by_one(8)
    assert sender.acknowledged(8, 0, [3, 3]) == [3]
    assert sender.acknowledged(8, 4, []) == [1, 2, 4]


def test_one_frame_that_stays_unsettled_makes_nothing_grow() -> None:
    sender, receiver = one_by_one(1), Receiver()
    receiver.accept(1)
    for sequence in range(2, 5_000):
        sender.offer(b"\x01", 1, 1, sequence)
        sender.frames_to_send()
        receiver.accept(sequence)
        receiver.settle(sequence)
        assert sender.acknowledged(receiver.received, receiver.settled, receiver.ranges()) == [sequence]
    assert receiver.ranges() == [2, 4_999]
    assert sender.messages_in_flight == 1
    assert len(sender._in_flight) == len(sender._known_ranges) == 1


def test_contexts_that_are_none_come_back_to_nobody() -> None:
    sender = Sender(LIMITS)
    sender.offer(b"\x01", 1, 1, None)
    sender.offer(b"\x01", 1, 1, "kept")
    sender.frames_to_send()
    assert sender.acknowledged(1, 1, []) == ["kept"]
    assert sender.is_idle


@pytest.mark.parametrize(
    ("received", "settled", "ranges", "says"),
    [
        (4, 0, [], "received 4 and settled 0 are said of 3 frames"),
        (2, 3, [], "received 2 and settled 3 are said of 3 frames"),
        (3, 0, [2], "not pairs"),
        (3, 1, [1, 2], "range 1 to 2 does not follow 1"),
        (3, 0, [3, 2], "range 3 to 2 does not follow 0"),
        (3, 0, [2, 2, 2, 3], "range 2 to 3 does not follow 2"),
        (3, 0, [-2, 2], "range -2 to 2 does not follow 0"),
        (2, 0, [2, 3], "frame 3 is said to be settled and only 2 to be received"),
        (3, 0, [2, 1 << 63], "said to be settled"),
    ],
)
def test_an_acknowledgement_of_what_cannot_be_changes_nothing(
    received: int, settled: int, ranges: list[int], says: str
) -> None:
    sender = one_by_one(3)
    with pytest.raises(ProtocolViolation, match=says):
        sender.acknowledged(received, settled, ranges)
    assert (sender.received, sender.messages_in_flight) == (0, 3)


def test_what_is_missing_is_sent_again_from_the_first_gap() -> None:
    sender = one_by_one(5)
    sender.acknowledged(2, 0, [])
    sender.send_again(5, 1_000)
    sender.offer(b"\x01", 1, 1, 6)
    assert sequences(sender) == [3, 4, 5, 6]
    assert sequences(sender) == []
    assert sender.messages_in_flight == 6


def test_nothing_is_sent_again_when_nothing_is_missing() -> None:
    sender = one_by_one(3)
    sender.acknowledged(3, 0, [])
    sender.send_again(3, 1_000)
    assert sequences(sender) == []


def test_frames_are_sent_again_once_in_a_pause_however_many_gaps_are_reported() -> None:
    sender = one_by_one(3)
    sender.send_again(2, 0)
    assert sequences(sender) == [1, 2, 3]
    sender.send_again(3, RESEND_PAUSE_MS - 1)
    assert sequences(sender) == []
    sender.send_again(3, RESEND_PAUSE_MS)
    assert sequences(sender) == [1, 2, 3]


def test_what_arrived_meanwhile_is_not_sent_again() -> None:
    sender = one_by_one(3)
    sender.send_again(3, 0)
    sender.acknowledged(2, 2, [])
    assert sequences(sender) == [3]


def test_a_new_session_numbers_everything_unsettled_from_one_before_what_waits() -> None:
    sender = one_by_one(4)
    sender.offer(b"\x01", 1, 1, 5)
    sender.acknowledged(4, 1, [3, 3])
    sender.send_again(4, 0)
    sender.restart()
    assert (sender.backlog_messages, sender.backlog_bytes) == (3, 3)
    assert (sender.messages_in_flight, sender.bytes_in_flight, sender.received) == (0, 0, 0)
    (frame,) = sender.frames_to_send()
    assert frame.sequence == 1
    assert sender.acknowledged(1, 1, []) == [2, 4, 5]


def test_what_is_decided_without_being_settled_stays_behind_when_a_session_ends() -> None:
    sender = sender_with(1, 2, 3, 4)
    sender.frames_to_send()
    sender.offer(b"\x01" * 5, 5, 1, 5)
    sender.forget(lambda piece: len(bytes(piece)) in (2, 5))
    assert (sender.backlog_messages, sender.backlog_bytes) == (3, 8)
    (frame,) = sender.frames_to_send()
    assert sender.acknowledged(frame.sequence, frame.sequence, []) == [1, 3, 4]
    assert sender.is_idle


def test_a_new_session_with_a_smaller_window_is_not_overrun() -> None:
    sender = one_by_one(10)
    sender.restart()
    sender.limits = Limits(window_messages=4)
    assert [frame.messages for frame in sender.frames_to_send()] == [4]
    assert sender.acknowledged(1, 1, []) == [1, 2, 3, 4]
    assert [frame.messages for frame in sender.frames_to_send()] == [4]


def test_an_abandoned_sender_returns_every_unsettled_context_in_order_and_starts_afresh() -> None:
    sender = one_by_one(4)
    sender.offer(b"\x01", 1, 1, 5)
    sender.offer(b"\x01", 1, 1, None)
    sender.acknowledged(4, 1, [3, 3])
    assert sender.abandon() == [2, 4, 5]
    assert sender.is_idle
    assert (sender.backlog_messages, sender.backlog_bytes, sender.last_sequence) == (0, 0, 0)
    assert sender.abandon() == []


def test_a_receiver_takes_the_next_frame_drops_the_known_and_reports_the_early() -> None:
    receiver = Receiver()
    assert receiver.accept(1) is True
    assert receiver.accept(1) is False
    assert receiver.accept(0) is False
    assert receiver.accept(3) is None
    assert receiver.accept(2) is True
    assert receiver.received == 2


def test_settled_ranges_grow_at_either_end_close_holes_and_join_what_is_settled() -> None:
    receiver = Receiver()
    seen: list[Any] = []
    for sequence in (5, 7, 8, 4, 6, 10, 2):
        assert receiver.settle(sequence)
        seen.append(receiver.ranges())
    assert seen == [
        [5, 5],
        [5, 5, 7, 7],
        [5, 5, 7, 8],
        [4, 5, 7, 8],
        [4, 8],
        [4, 8, 10, 10],
        [2, 2, 4, 8, 10, 10],
    ]
    assert receiver.has_ranges
    assert receiver.settle(1)
    assert (receiver.settled, receiver.ranges()) == (2, [4, 8, 10, 10])
    assert receiver.settle(3)
    assert (receiver.settled, receiver.ranges()) == (8, [10, 10])
    assert receiver.settle(9)
    assert (receiver.settled, receiver.ranges(), receiver.has_ranges) == (10, [], False)


def test_nothing_is_settled_twice() -> None:
    receiver = Receiver()
    for sequence in (1, 3, 5, 6, 7):
        assert receiver.settle(sequence)
    for sequence in (1, 3, 5, 6, 7):
        assert not receiver.settle(sequence)
    assert receiver.ranges() == [3, 3, 5, 7]


def test_any_order_of_settling_ends_with_everything_settled() -> None:
    for seed in range(30):
        source = random.Random(seed)
        order = source.sample(range(1, 61), 60)
        receiver, settled = Receiver(), set()
        for sequence in order:
            assert receiver.settle(sequence)
            settled.add(sequence)
            ranges = receiver.ranges()
            said = set(range(1, receiver.settled + 1))
            for first, last in zip(ranges[::2], ranges[1::2], strict=True):
                said |= set(range(first, last + 1))
            assert said == settled
        assert (receiver.settled, receiver.ranges()) == (60, [])


def test_more_ranges_than_an_acknowledgement_can_carry_are_said_from_the_first() -> None:
    receiver = Receiver()
    for sequence in range(3, 2 * wire.RANGES_MAX + 9, 2):
        receiver.settle(sequence)
    assert len(receiver.ranges()) == 2 * wire.RANGES_MAX
    assert receiver.ranges()[:4] == [3, 3, 5, 5]


def test_credit_is_what_is_unsettled_and_one_frame_may_always_come() -> None:
    receiver = Receiver()
    receiver.take_credit(99, 5_000, LIMITS)
    with pytest.raises(ProtocolViolation, match="100 messages and 5001 bytes are unsettled, its window is 10 and"):
        receiver.take_credit(1, 1, LIMITS)


@pytest.mark.parametrize(("messages", "frame_bytes"), [(6, 10), (1, 600)])
def test_credit_ends_by_messages_and_by_bytes_and_comes_back(messages: int, frame_bytes: int) -> None:
    receiver = Receiver()
    receiver.take_credit(5, 500, LIMITS)
    with pytest.raises(ProtocolViolation):
        receiver.take_credit(messages, frame_bytes, LIMITS)
    receiver = Receiver()
    receiver.take_credit(5, 500, LIMITS)
    receiver.return_credit(5, 500)
    receiver.take_credit(messages, frame_bytes, LIMITS)
    receiver.take_credit(1, 1, LIMITS)

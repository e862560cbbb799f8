"""A stream: how messages become batches, and what receipts do to them."""

from __future__ import annotations

from posthouse.stream import BATCH_MESSAGES_TARGET, Stream
from posthouse.transport import messages
from posthouse.transport.batch import lengths_of, properties_of
from posthouse.transport.errors import DiskSpaceLow, UnknownExchange
from posthouse.transport.limits import BATCH_BYTES_TARGET
from posthouse.transport.messages import NIL, Batch, Options, Receipt

KEY = ("k", NIL, None)
WALL_MS = 1_700_000_000_000


class Outbox:
    """A stream and what it handed to the link."""

    def __init__(self) -> None:
        self.sent: list[tuple[Batch, int]] = []
        self.stream = Stream(5, "ex", self._forward, lambda: WALL_MS)

    def _forward(self, encoded: bytes, count: int) -> None:
        batch = messages.decode(encoded)
        assert isinstance(batch, Batch)
        self.sent.append((batch, count))

    def send(self, *counts: int) -> Stream:
        """One closed batch of so many messages for each count."""
        for count in counts:
            for _ in range(count):
                self.stream.add(b"x", KEY)
            self.stream.close_batch()
        return self.stream


# ---- batches ----


def test_a_batch_says_everything_its_messages_share() -> None:
    box = Outbox()
    options = Options(content_type="text/plain")
    assert [box.stream.add(body, ("k", NIL, options)) for body in (b"a", b"bcd", b"")] == [1, 2, 3]
    assert box.stream.has_open_batch
    box.stream.close_batch()
    ((batch, count),) = box.sent
    assert (batch.exchange, batch.routing_key, batch.stream, batch.first_seq, batch.count) == ("ex", "k", 5, 1, 3)
    assert (count, batch.published_ms, batch.options, batch.headers) == (3, WALL_MS, options, NIL)
    assert list(lengths_of(batch)) == [1, 3, 0]
    assert bytes(batch.bodies) == b"abcd"
    assert not box.stream.has_open_batch


def test_closing_an_empty_batch_sends_nothing() -> None:
    box = Outbox()
    box.stream.close_batch()
    assert box.sent == []


def is_quiet(stream: Stream) -> bool:
    return stream.is_quiet


def is_full(stream: Stream) -> bool:
    return stream.is_full


def test_the_stream_is_quiet_until_a_batch_leaves_and_again_when_it_is_confirmed() -> None:
    box = Outbox()
    stream = box.stream
    assert is_quiet(stream)
    stream.add(b"lone", KEY)
    assert is_quiet(stream)
    stream.close_batch()
    assert not is_quiet(stream)
    assert (stream.unconfirmed_messages, stream.unconfirmed_bytes) == (1, 4)
    stream.receipt(Receipt(5, 1, 1, ("q",)))
    assert is_quiet(stream)
    assert (stream.unconfirmed_messages, stream.unconfirmed_bytes) == (0, 0)


def test_a_batch_is_full_at_its_limit_of_messages_or_of_bytes() -> None:
    stream = Outbox().stream
    for _ in range(BATCH_MESSAGES_TARGET - 1):
        stream.add(b"", KEY)
    assert not is_full(stream)
    stream.add(b"", KEY)
    assert is_full(stream)
    stream.close_batch()
    stream.add(b"x" * (BATCH_BYTES_TARGET - 1), KEY)
    assert not is_full(stream)
    stream.add(b"x", KEY)
    assert is_full(stream)
    stream.close_batch()
    assert not is_full(stream)


def test_another_key_begins_another_batch_and_an_equal_one_does_not() -> None:
    box = Outbox()
    box.stream.add(b"a", ("k", NIL, Options(priority=0)))
    box.stream.add(b"b", ("k", NIL, Options(priority=0)))
    box.stream.add(b"c", ("other", NIL, None))
    box.stream.close_batch()
    assert [(batch.routing_key, batch.count, batch.first_seq) for batch, _ in box.sent] == [
        ("k", 2, 1),
        ("other", 1, 3),
    ]


def test_many_messages_at_once_are_a_batch_of_their_own_and_numbers_never_skip() -> None:
    box = Outbox()
    box.stream.add(b"a", KEY)
    box.stream.add_many([b"b", b"c"], KEY)
    box.stream.close_batch()
    box.stream.add(b"d", KEY)
    box.stream.close_batch()
    assert [(batch.first_seq, batch.count) for batch, _ in box.sent] == [(1, 1), (2, 2), (4, 1)]
    assert box.stream.next_seq == 5


def test_identifiers_belong_to_the_message_just_added_and_the_others_have_none() -> None:
    box = Outbox()
    box.stream.add(b"a", KEY)
    box.stream.add(b"b", KEY)
    box.stream.describe("id b", None)
    box.stream.add(b"c", KEY)
    box.stream.add(b"d", KEY)
    box.stream.describe(None, "reply d")
    box.stream.add(b"e", KEY)
    box.stream.close_batch()
    box.stream.add(b"f", KEY)
    box.stream.close_batch()
    assert properties_of(box.sent[0][0]) == [None, ("id b", None), None, (None, "reply d"), None]
    assert properties_of(box.sent[1][0]) is None


def test_a_batch_that_was_left_to_the_stand_in_is_left_no_more_when_it_is_closed() -> None:
    stream = Outbox().stream
    stream.add(b"a", KEY)
    stream.has_been_left = True
    stream.close_batch()
    assert not stream.has_been_left


# ---- receipts ----


def test_one_receipt_may_span_several_batches() -> None:
    stream = Outbox().send(2, 3, 1)
    stream.receipt(Receipt(5, 1, 5, ("q",)))
    assert (stream.unconfirmed_messages, stream.unconfirmed_bytes) == (1, 1)
    assert stream.is_confirmed(5)
    assert not stream.is_confirmed(6)


def test_a_receipt_that_comes_twice_counts_once() -> None:
    stream = Outbox().send(2, 2)
    for _ in range(2):
        stream.receipt(Receipt(5, 1, 2, code="unroutable", text="no queue"))
    assert stream.unconfirmed_messages == 2
    assert [number for number, _ in stream.refused] == [1, 2]


def test_receipts_may_come_in_any_order_and_what_waits_before_is_not_confirmed() -> None:
    stream = Outbox().send(1, 1)
    stream.receipt(Receipt(5, 2, 1))
    assert not stream.is_confirmed(1)
    assert stream.unknown(2) == [1]
    stream.receipt(Receipt(5, 1, 1))
    assert stream.is_confirmed(2)


def test_a_receipt_may_cover_what_an_earlier_one_decided() -> None:
    stream = Outbox().send(1, 2, 1)
    stream.waiters = {2: None, 4: None}
    early, late = Receipt(5, 2, 2, ("early",)), Receipt(5, 1, 4, ("late",))
    stream.receipt(early)
    stream.receipt(late)
    assert is_quiet(stream)
    assert stream.unconfirmed_bytes == 0
    assert stream.waiters == {2: early, 4: late}


def test_a_refused_range_is_told_message_by_message_with_its_reason() -> None:
    stream = Outbox().send(2, 2)
    stream.receipt(Receipt(5, 3, 2, code="disk_space_low", text="make room"))
    assert [(number, type(error), str(error)) for number, error in stream.refused] == [
        (3, DiskSpaceLow, "make room"),
        (4, DiskSpaceLow, "make room"),
    ]
    assert stream.unconfirmed_messages == 2


def test_whoever_waits_for_a_number_gets_the_receipt_that_decides_it() -> None:
    stream = Outbox().send(2, 1)
    stream.waiters = {2: None, 3: None}
    receipt = Receipt(5, 1, 2, ("q",))
    stream.receipt(receipt)
    assert stream.waiters == {2: receipt, 3: None}


def test_what_is_unknown_ends_at_the_number_asked_for() -> None:
    stream = Outbox().send(2, 3)
    assert stream.unknown(4) == [1, 2, 3, 4]
    stream.receipt(Receipt(5, 1, 2))
    assert stream.unknown(4) == [3, 4]
    assert stream.unknown(2) == []


def test_when_the_exchange_is_gone_everything_outstanding_is_refused() -> None:
    stream = Outbox().send(2, 1)
    error = UnknownExchange("it was deleted")
    stream.fail(error)
    assert stream.failure is error
    assert stream.refused == [(1, error), (2, error), (3, error)]
    assert is_quiet(stream)
    assert stream.is_confirmed(3)
    assert stream.unconfirmed_bytes == 0

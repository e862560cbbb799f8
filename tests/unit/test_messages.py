"""The vocabulary: one golden sample of every message, in both directions, and what a decoder refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pytest

from posthouse.transport import messages
from posthouse.transport.descriptions import BreakerSpec, RetrySpec
from posthouse.transport.messages import (
    NIL,
    ActorDown,
    ActorUp,
    Batch,
    Bind,
    BindingSpec,
    Cancel,
    Consume,
    ConsumerCancelled,
    ConsumerInfo,
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    DeleteQueue,
    Deliver,
    DescribeTree,
    Durability,
    ExchangeSpec,
    Explain,
    Failed,
    Get,
    ListBindings,
    ListConsumers,
    ListExchanges,
    ListQueues,
    Locate,
    Message,
    Options,
    Outcome,
    Peek,
    PrepareDelete,
    Purge,
    QueueConsumers,
    QueueInfo,
    QueueSpec,
    QueueStatus,
    QueueUnused,
    Receipt,
    Reply,
    Settle,
    StoreNote,
    TopologyChange,
    Unbind,
    WatchTopology,
)
from posthouse.transport.messages_dead import (
    Attempt,
    Bury,
    Cause,
    DeadLetterFilter,
    DeadLetterInfo,
    DeadLetterStatus,
    DeadLetterStoreInfo,
    Death,
    GetDeadLetter,
    ListCauses,
    ListDeadLetters,
    LookAfter,
    PurgeDeadLetters,
    Redrive,
    RedriveInfo,
    RedriveStatus,
    Restore,
)
from posthouse.transport.messages_use import QueueUsed

GOLDEN: Final = Path(__file__).parent.parent / "golden" / "wire_messages.json"
EXCHANGE: Final = ExchangeSpec(name="orders", kind="topic")
QUEUE: Final = QueueSpec(
    name="billing",
    exclusive=True,
    owner=77,
    serial=5,
    retry=RetrySpec(kind="fixed", max_attempts=3, jitter=False),
    ttl_ms=60_000,
    max_length=10,
    overflow="dead-letter",
    priority=True,
    expires_ms=1_800_000,
    breaker=BreakerSpec(window=50, failure_share=0.5),
)
BINDING: Final = BindingSpec(source="orders", destination="billing", key="eu.*", arguments={"x-match": "all"})
BATCH: Final = Batch(
    exchange="orders",
    routing_key="eu.berlin",
    stream=77,
    first_seq=41,
    count=2,
    published_ms=1_700_000_000_000,
    headers=msgspec.Raw(messages.encode({"kind": "book"})),
    lengths=memoryview(b"\x05\0\0\0\x03\0\0\0"),
    bodies=memoryview(b"helloabc"),
    properties=memoryview(messages.encode([["m-1", None], None])),
    options=Options(durability=Durability.OS, content_type="text/plain", reply_to="r", ttl_ms=60_000, priority=4),
)

DEATH: Final = Death(
    reason="attempts_exhausted",
    queue="billing",
    died_ms=1_700_000_009_000,
    attempt=5,
    first_ms=1_700_000_001_000,
    fingerprint="8d8be5ad2bca",
    cause="ValueError: no amount",
    history=(
        Attempt(
            attempt=5,
            at_ms=1_700_000_009_000,
            consumer="shop",
            how="nack",
            error_type="ValueError",
            error="no amount",
            traceback="a trace",
        ),
    ),
)
FILTER: Final = DeadLetterFilter(
    queue="billing",
    reason="rejected",
    fingerprint="8d8be5ad2bca",
    after_ms=1,
    before_ms=2,
    headers={"kind": "book"},
    ids=(7, 8),
)

SAMPLES: Final[tuple[Message, ...]] = (
    BATCH,
    Receipt(77, 41, 2, ("billing", "audit"), Durability.SYNC, True, "queue_full", "the queue is full"),
    StoreNote(77, 41, 2, "duplicate", "seen before"),
    Consume(1, 9, 100, True, True),
    Cancel(2, 9),
    Deliver(9, 1_000, 1, msgspec.Raw(messages.encode(BATCH))),
    Settle(
        9,
        Outcome.NACK,
        [1_000, 1_004, 1_006, 1_006],
        3,
        False,
        "poison",
        5_000,
        {"type": "ValueError", "message": "no amount", "traceback": "a trace"},
    ),
    ConsumerCancelled(9, "unknown_queue", "the queue was deleted"),
    Get(4, True),
    Peek(5, 20),
    Purge(6),
    QueueStatus(7),
    QueueConsumers(8),
    DeclareExchange(9, EXCHANGE),
    DeclareQueue(10, QUEUE),
    DeleteExchange(11, "orders", True),
    DeleteQueue(12, "billing", True, True),
    Bind(13, BINDING),
    Unbind(14, BINDING),
    ListExchanges(15),
    ListQueues(16),
    ListBindings(17),
    ListConsumers(18),
    Explain(19, "orders", "eu.berlin", {"kind": "book"}),
    DescribeTree(20),
    Locate(21, "queue:billing"),
    QueueUnused("billing", 5, True),
    PrepareDelete(22, True, True, True),
    QueueUsed(),
    WatchTopology(23),
    TopologyChange(24, True, (EXCHANGE,), (QUEUE,), (BINDING,), ("old",), ("older",), (BINDING,)),
    Reply(25, NIL),
    Failed(26, "unknown_queue", "there is no queue 'x'"),
    ActorUp("queue:billing", 3, "ipc:///run/posthouse/billing-3"),
    ActorDown("queue:billing", 3, "restarting", "it crashed"),
    Bury(5, 41, 2, 40, DEATH, msgspec.Raw(messages.encode(BATCH))),
    Restore(40, msgspec.Raw(messages.encode(BATCH)), 27),
    ListDeadLetters(28, FILTER, 50, 7),
    ListCauses(29, FILTER, 50),
    GetDeadLetter(30, 7),
    PurgeDeadLetters(31, FILTER),
    Redrive(32, FILTER, "other", 500.0, 10, 0.25, True),
    RedriveStatus(33, 2, True),
    DeadLetterStatus(34),
    LookAfter(35, 1_000, 1_009),
)

VALUES: Final = (
    QueueInfo(
        name="billing",
        ready=3,
        unacked=1,
        bytes=400,
        ready_by_priority=(2, 0, 0, 0, 1, 0, 0, 0, 0, 0),
        breaker="open",
        breaker_opened=2,
    ),
    DeadLetterInfo(
        id=7,
        reason="rejected",
        queue="billing",
        exchange="orders",
        routing_key="eu.berlin",
        message_id="m-1",
        attempt=1,
        first_ms=1,
        last_ms=2,
        fingerprint="8d8be5ad2bca",
        cause="ValueError: no amount",
        size=5,
    ),
    Cause(
        fingerprint="8d8be5ad2bca",
        cause="ValueError: no amount",
        count=12,
        queues=("billing",),
        reasons=("rejected",),
        first_ms=1,
        last_ms=2,
    ),
    DeadLetterStoreInfo(
        messages=12,
        leaving=1,
        bytes=60,
        messages_max=100,
        bytes_max=1_000,
        is_full=False,
        buried=20,
        redriven=7,
        purged=1,
        refused=3,
    ),
    RedriveInfo(id=2, state="stopped", matched=12, moved=10, returned=2, failed=1, text="1 of 10 canaries failed"),
    ConsumerInfo(queue="billing", consumer=9, client="shop", prefetch=100, unacked=1, auto_ack=False, is_active=True),
)


def golden() -> dict[str, str]:
    """Hexadecimal MessagePack by the name of the message or value."""
    said: dict[str, str] = json.loads(GOLDEN.read_text())
    return said


def comparable(value: Any) -> Any:
    """Plain values in which memory views and raw pieces can be compared."""
    return msgspec.msgpack.decode(messages.encode(value))


@pytest.mark.parametrize("sample", [*SAMPLES, *VALUES], ids=lambda sample: type(sample).__name__)
def test_every_message_is_written_as_its_golden_sample(sample: Any) -> None:
    assert messages.encode(sample).hex() == golden()[type(sample).__name__]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_every_golden_sample_is_read_as_its_message(sample: Message) -> None:
    data = bytes.fromhex(golden()[type(sample).__name__])
    for form in (data, memoryview(data), msgspec.Raw(data)):
        message = messages.decode(form)
        assert type(message) is type(sample)
        assert comparable(message) == comparable(sample)


def test_values_in_answers_are_read_as_what_they_were() -> None:
    for value in VALUES:
        data = bytes.fromhex(golden()[type(value).__name__])
        assert msgspec.msgpack.decode(data, type=type(value)) == value


def test_every_member_of_the_vocabulary_has_one_sample_and_a_number_of_its_own() -> None:
    members = get_args(Message)
    assert [type(sample) for sample in SAMPLES] == list(members)
    tags = [member.__struct_config__.tag for member in members]
    assert len(set(tags)) == len(tags)
    assert all(isinstance(tag, int) and 0 < tag < 128 for tag in tags), "one byte in MessagePack"
    assert set(golden()) == {type(sample).__name__ for sample in (*SAMPLES, *VALUES)}


def test_a_message_is_an_array_that_starts_with_its_number() -> None:
    for sample in SAMPLES:
        plain = msgspec.msgpack.decode(messages.encode(sample))
        assert plain[0] == type(sample).__struct_config__.tag
        assert len(plain) == 1 + len(type(sample).__struct_fields__)


def test_missing_trailing_fields_have_their_defaults_and_later_ones_are_passed_over() -> None:
    assert messages.decode(msgspec.msgpack.encode([10, 1, 9])) == Consume(1, 9, 256, False, False)
    assert messages.decode(msgspec.msgpack.encode([11, 2, 9, "later", {}])) == Cancel(2, 9)


def test_a_body_shares_the_memory_of_the_frame_it_came_in() -> None:
    data = bytearray(messages.encode(BATCH))
    batch = messages.decode(memoryview(data))
    assert isinstance(batch, Batch)
    at = data.index(b"helloabc")
    data[at : at + 8] = b"HELLOABC"
    assert bytes(batch.bodies) == b"HELLOABC"


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc0", b"\x90", b"\x91\x7f", b"\x92\x0b\x01", b"\x93\x0b\xa1x\x09", b"\x93\x0b\x02\x09\x00"],
    ids=["nothing", "nil", "no number", "unknown number", "field missing", "wrong type", "trailing bytes"],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        messages.decode(data)


@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80", b"\xc3"], ids=["byte", "surrogate", "half"])
def test_text_that_is_no_utf8_is_refused_like_anything_else(text: bytes) -> None:
    """An actor catches DecodeError and no other; UnicodeDecodeError is Python's, and would end its process."""
    name = bytes((0xA0 | len(text),)) + text
    with pytest.raises(msgspec.DecodeError):
        messages.decode(b"\x93\x2a\x01" + name)


def test_a_nest_deeper_than_python_can_follow_is_refused_like_anything_else() -> None:
    explain = b"\x95\x28\x01\xa1x\xa1k\x81\xa1a"
    with pytest.raises(msgspec.DecodeError):
        messages.decode(explain + b"\x91" * 200_000 + b"\xc0")


def test_nil_is_nil() -> None:
    assert msgspec.msgpack.decode(NIL) is None

"""Who gets what, when and how often: credit, settlement, redelivery, takeover, and lives of clients and queues."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

import posthouse
from posthouse.errors import InvalidArgument, ResourceLocked
from posthouse.testing.broker import BrokerProcess
from posthouse.testing.waiting import eventually
from tests.support.queue_traffic import numbers, publish, ready, take

_numbers: Final = itertools.count(1)


@pytest.fixture
def broker(shared: BrokerProcess) -> Iterator[posthouse.Broker]:
    with shared.connect() as broker:
        yield broker


@pytest.fixture
def queue(broker: posthouse.Broker) -> Iterator[str]:
    name = f"queue-{next(_numbers)}"
    broker.declare_queue(name, retry=posthouse.Retry(kind="off"), dead_letter="off")
    yield name
    broker.delete_queue(name)


def test_consumers_of_a_queue_share_it_by_their_credit(
    shared: BrokerProcess, broker: posthouse.Broker, queue: str
) -> None:
    with ExitStack() as stack:
        consumers = [stack.enter_context(shared.connect(door=door)) for door in (False, False, True)]
        streams = [stack.enter_context(consumer.consume(queue, prefetch=10)) for consumer in consumers]
        publish(broker, queue, 300)
        shares = [0, 0, 0]
        seen: list[int] = []
        while len(seen) < 300:
            for index, messages in enumerate(streams):
                for message in messages.batch(10, timeout_s=1.0 if len(seen) < 290 else 0.1):
                    shares[index] += 1
                    seen.append(int(message.body))
                    message.ack()
    assert sorted(seen) == list(range(300))
    assert min(shares) >= 60, f"shares of 300: {shares}"


def test_nobody_holds_more_than_the_prefetch(broker: posthouse.Broker, queue: str) -> None:
    publish(broker, queue, 50)
    with broker.consume(queue, prefetch=7) as messages:
        held = take(messages, 7)
        assert messages.get(timeout_s=0.2) is None
        assert broker.queue_info(queue).unacked == 7
        for message in held[:3]:
            message.ack()
        assert numbers(take(messages, 3)) == [7, 8, 9]
        assert messages.get(timeout_s=0.2) is None
        assert broker.queue_info(queue).unacked == 7
    eventually(lambda: ready(broker, queue) == 47)


def test_messages_may_be_settled_in_any_order_and_in_any_way(broker: posthouse.Broker, queue: str) -> None:
    publish(broker, queue, 12)
    with broker.consume(queue, prefetch=100) as messages:
        held = take(messages, 12)
        for number in (11, 0, 5):
            held[number].ack()
        for number in (10, 1):
            held[number].reject("not wanted")
        for number in (9, 2, 6):
            held[number].nack(requeue=True)
        held[3].nack(requeue=False)
        back = take(messages, 3)
        assert numbers(back) == [2, 6, 9]
        assert [message.attempt for message in back] == [2, 2, 2]
        info = eventually(lambda: (found := broker.queue_info(queue)).acked == 3 and found)
        assert (info.ready, info.unacked, info.rejected) == (0, 6, 3)
    eventually(lambda: ready(broker, queue) == 6)
    assert [int(message.body) for message in broker.peek(queue)] == [2, 4, 6, 7, 8, 9]


def test_settling_twice_is_refused_and_a_settlement_counts_once(broker: posthouse.Broker, queue: str) -> None:
    publish(broker, queue, 1)
    message = broker.get(queue)
    assert message is not None
    message.ack()
    with pytest.raises(InvalidArgument):
        message.nack()
    with pytest.raises(InvalidArgument):
        message.ack()
    eventually(lambda: broker.queue_info(queue).unacked == 0)
    assert broker.get(queue) is None


def test_requeued_messages_return_to_their_place_before_later_ones(broker: posthouse.Broker, queue: str) -> None:
    publish(broker, queue, 20)
    with broker.consume(queue, prefetch=5) as messages:
        for message in reversed(take(messages, 5)):
            message.nack()
        assert numbers(take(messages, 5)) == [0, 1, 2, 3, 4]
    eventually(lambda: ready(broker, queue) == 20)
    assert [int(message.body) for message in broker.peek(queue, 20)] == list(range(20))


def test_get_takes_one_and_peek_takes_none(broker: posthouse.Broker, queue: str) -> None:
    assert broker.get(queue) is None
    assert broker.peek(queue) == []
    publish(broker, queue, 5)
    assert numbers(broker.peek(queue, 3)) == [0, 1, 2]
    with pytest.raises(InvalidArgument):
        broker.peek(queue)[0].ack()
    first = broker.get(queue)
    assert first is not None
    assert (first.body, first.attempt) == (b"0", 1)
    second = broker.get(queue, auto_ack=True)
    assert second is not None
    assert second.body == b"1"
    assert (broker.queue_info(queue).unacked, ready(broker, queue)) == (1, 3)
    first.nack()
    eventually(lambda: ready(broker, queue) == 4)
    again = broker.get(queue)
    assert again is not None
    assert (again.body, again.attempt) == (b"0", 2)


def test_a_purge_takes_what_is_ready_and_leaves_what_is_held(broker: posthouse.Broker, queue: str) -> None:
    publish(broker, queue, 10)
    with broker.consume(queue, prefetch=3) as messages:
        held = take(messages, 3)
        assert broker.purge_queue(queue) == 7
        assert broker.purge_queue(queue) == 0
        assert broker.queue_info(queue).unacked == 3
        held[0].nack()
        assert numbers(take(messages, 1)) == [0]


def test_an_exclusive_consumer_shuts_others_out_until_it_leaves(
    shared: BrokerProcess, broker: posthouse.Broker, queue: str
) -> None:
    other = shared.connect()
    with broker.consume(queue, exclusive=True), pytest.raises(ResourceLocked):
        other.consume(queue)
    other.consume(queue).close()


def test_auto_ack_settles_at_delivery(broker: posthouse.Broker, queue: str) -> None:
    publish(broker, queue, 100)
    with broker.consume(queue, auto_ack=True) as messages:
        assert numbers(take(messages, 100)) == list(range(100))
    info = broker.queue_info(queue)
    assert (info.ready, info.unacked) == (0, 0)


def test_a_receipt_says_how_safe_the_message_is(broker: posthouse.Broker, queue: str) -> None:
    broker.declare_queue("passing", durable=False)
    broker.declare_exchange("levels", "fanout")
    broker.bind("levels", queue)
    assert broker.publish("", b"x", queue).durability == "sync"
    assert broker.publish("", b"x", queue, durability="os").durability == "os"
    assert broker.publish("", b"x", queue, durability="memory").durability == "memory"
    assert broker.publish("", b"x", "passing").durability == "memory"
    assert broker.publish("levels", b"x").durability == "sync"
    broker.bind("levels", "passing")
    assert broker.publish("levels", b"x").durability == "memory"
    broker.delete_exchange("levels")
    broker.delete_queue("passing")


def test_everything_said_of_a_message_arrives_with_it(broker: posthouse.Broker, queue: str) -> None:
    broker.declare_exchange("said", "topic")
    broker.bind("said", queue, "#")
    headers: dict[str, Any] = {
        "text": "größer ✈",
        "whole": -(2**63),
        "real": 0.1,
        "yes": True,
        "nothing": None,
        "bytes": b"\x00\xff",
        "list": [1, "two", [3.0]],
        "map": {"a": {"b": 1}},
    }
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    broker.publish(
        "said",
        bytes(range(256)),
        "a.b.c",
        headers,
        message_id="id-1",
        correlation_id="conversation-2",
        content_type="application/octet-stream",
        reply_to="answers",
    )
    broker.publish("said", b"", "plain")
    full, plain = broker.peek(queue)
    assert full.body == bytes(range(256))
    assert (full.exchange, full.routing_key, full.headers) == ("said", "a.b.c", headers)
    assert (full.message_id, full.correlation_id) == ("id-1", "conversation-2")
    assert (full.content_type, full.reply_to) == ("application/octet-stream", "answers")
    assert before <= full.published_at <= datetime.now(UTC)
    assert (plain.body, plain.routing_key, plain.headers) == (b"", "plain", {})
    assert (plain.correlation_id, plain.content_type, plain.reply_to) == (None, None, None)
    assert plain.message_id
    assert plain.message_id == broker.peek(queue)[1].message_id
    broker.delete_exchange("said")


@pytest.mark.parametrize("door", [False, True])
def test_a_body_at_the_limit_goes_through_whole(
    shared: BrokerProcess, broker: posthouse.Broker, queue: str, door: bool
) -> None:
    body = os.urandom(1024) * (16 * 1024)
    other = shared.connect(door=door)
    assert other.publish("", body, queue).durability == "sync"
    message = other.get(queue, auto_ack=True)
    assert message is not None
    assert message.body == body

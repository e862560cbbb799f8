"""The table of docs/error-handling.md, cell by cell, with real processes: every pattern under every kind of trouble.

A test's name says the column, its parameter the row.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import posthouse
from posthouse import Retry
from posthouse.errors import DiskSpaceLow, Unroutable
from posthouse.testing.broker import BrokerProcess, end, read_line, start_python
from posthouse.testing.waiting import eventually
from tests.support.patterns import PATTERNS, Pattern, Route
from tests.support.queue_traffic import HOLDER, numbers, ready, take
from tests.support.small_disk import MIB, disk_to_fill

LATER_S = 3600.0
"""What is delayed by so much still waits whenever a process is killed; `bring_near` then makes it due."""

SOON = Retry(max_attempts=2, first_delay_s=0.02, jitter=False)

patterns = pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)


@pytest.fixture
def broker(shared: BrokerProcess) -> Iterator[posthouse.Broker]:
    with shared.connect() as broker:
        yield broker


def publish(broker: posthouse.Broker, route: Route, count: int, first: int = 0) -> None:
    """Bodies as numbers, all confirmed when it returns."""
    with broker.publisher(route.exchange) as out:
        route.send(out, count, first)


def take_all(broker: posthouse.Broker, queue: str, count: int) -> list[posthouse.Message]:
    """Exactly so many messages, acked; the queue is empty afterwards."""
    with broker.consume(queue) as messages:
        taken = take(messages, count)
        for message in taken:
            message.ack()
    info = eventually(lambda: (found := broker.queue_info(queue)).unacked == 0 and found)
    assert info.ready == 0, "nothing came twice"
    return taken


def is_point_to_point(pattern: Pattern) -> bool:
    return pattern.kind is None


# ---- nobody is subscribed ----


@patterns
def test_no_queue_bound(broker: posthouse.Broker, pattern: Pattern) -> None:
    """Held, and delivered once when a queue is bound; the default exchange refuses, as nobody can ever be bound."""
    route = pattern.of(broker)
    if is_point_to_point(pattern):
        with pytest.raises(Unroutable):
            route.publish(broker, b"0")
        return
    receipts = [route.publish(broker, b"%d" % number) for number in range(3)]
    if pattern.delay_s is None:
        assert all(receipt.held and not receipt.queues for receipt in receipts)
    else:
        assert all(receipt.scheduled_id for receipt in receipts)
        eventually(lambda: len(broker.held.list(route.exchange)) == 3)
    route.open(broker)
    assert numbers(take_all(broker, route.queue, 3)) == [0, 1, 2]
    assert broker.held.list(route.exchange) == []


@patterns
def test_no_queue_is_ever_bound(broker: posthouse.Broker, pattern: Pattern) -> None:
    """A dead letter with reason no_subscriber, once the time of holding is over, and a redrive repairs it."""
    if is_point_to_point(pattern):
        with pytest.raises(Unroutable):
            pattern.of(broker).publish(broker, b"0")
        return
    route = pattern.of(broker, hold_for_s=0.05)
    route.publish(broker, b"0")
    (letter,) = eventually(lambda: dead_of(broker, route))
    assert (letter.reason, letter.exchange, letter.routing_key) == (
        "no_subscriber", route.exchange, route.routing_key,
    )  # fmt: skip
    route.open(broker)
    broker.dead_letters.redrive(fingerprint=letter.fingerprint, to=route.queue)
    assert numbers(take_all(broker, route.queue, 1)) == [0]
    other = pattern.of(broker, hold_for_s=0.05)
    for number in range(2):
        other.publish(broker, b"%d" % number)
    letters = eventually(lambda: len(found := dead_of(broker, other)) == 2 and found)
    other.open(broker)
    broker.dead_letters.redrive(ids=[letters[1].id])
    assert numbers(take_all(broker, other.queue, 1)) == [1], "and to its exchange again, if nobody says where to"
    assert [letter.id for letter in dead_of(broker, other)] == [letters[0].id]
    assert broker.dead_letters.purge(ids=[letters[0].id]) == 1


@patterns
def test_queue_without_consumer(broker: posthouse.Broker, pattern: Pattern) -> None:
    """Stored; delivered in order to the first consumer that comes."""
    route = pattern.of(broker).open(broker)
    publish(broker, route, 10)
    eventually(lambda: ready(broker, route.queue) == 10)
    taken = take_all(broker, route.queue, 10)
    assert numbers(taken) == list(range(10))
    assert {message.attempt for message in taken} == {1}


@patterns
def test_no_consumer_ever_comes(broker: posthouse.Broker, pattern: Pattern) -> None:
    """A dead letter with reason expired, where the queue has a TTL."""
    route = pattern.of(broker).open(broker, ttl_s=0.05)
    route.publish(broker, b"0")
    (letter,) = eventually(lambda: broker.dead_letters.list(queue=route.queue))
    assert letter.reason == "expired"


# ---- delivery fails ----


@patterns
def test_consumer_fails(broker: posthouse.Broker, pattern: Pattern) -> None:
    """Retried up to the limit, then a dead letter with its history; a redrive brings it back."""
    route = pattern.of(broker).open(broker, retry=SOON)
    publish(broker, route, 2)
    with broker.consume(route.queue) as messages:
        for _ in range(2 * SOON.max_attempts):
            (message,) = take(messages, 1)
            message.nack(error=ValueError("no amount"))
    letters = eventually(lambda: len(found := broker.dead_letters.list(queue=route.queue)) == 2 and found)
    assert {(letter.reason, letter.attempt, letter.exchange) for letter in letters} == {
        ("attempts_exhausted", 2, route.exchange)
    }
    history = broker.dead_letters.get(letters[0].id).history
    assert [(one.attempt, one.how, one.error_type) for one in history] == [
        (1, "nack", "ValueError"), (2, "nack", "ValueError"),
    ]  # fmt: skip
    broker.dead_letters.redrive(queue=route.queue)
    assert sorted(numbers(take_all(broker, route.queue, 2))) == [0, 1]
    assert broker.dead_letters.list(queue=route.queue) == []


@patterns
def test_consumer_rejects_or_never_answers(broker: posthouse.Broker, pattern: Pattern) -> None:
    """Rejected: a dead letter at once. Held longer than the ack timeout: an attempt that failed."""
    route = pattern.of(broker).open(broker, retry=Retry(max_attempts=1), ack_timeout_s=0.1)
    publish(broker, route, 2)
    with broker.consume(route.queue) as messages:
        taken = {int(message.body): message for message in take(messages, 2)}
        taken[0].reject("never")
        letters = eventually(lambda: len(found := broker.dead_letters.list(queue=route.queue)) == 2 and found)
    assert {letter.reason for letter in letters} == {"rejected", "attempts_exhausted"}
    how = [one.how for letter in letters for one in broker.dead_letters.get(letter.id).history]
    assert sorted(how) == ["ack_timeout", "reject"]
    assert broker.queue_info(route.queue).ready == 0


@patterns
def test_consumer_dies(shared: BrokerProcess, broker: posthouse.Broker, pattern: Pattern) -> None:
    """What it held goes to the next consumer, marked as a second attempt."""
    route = pattern.of(broker).open(broker, retry=SOON)
    publish(broker, route, 4)
    holder = start_python(HOLDER, shared.ipc, route.queue, "3")
    try:
        assert read_line(holder) == "holds 0 1 2"
    finally:
        end([holder])
    taken = sorted(take_all(broker, route.queue, 4), key=lambda message: int(message.body))
    assert [(int(message.body), message.attempt) for message in taken] == [(0, 2), (1, 2), (2, 2), (3, 1)]


# ---- a server is in trouble ----


@patterns
def test_queue_process_dies(shared: BrokerProcess, broker: posthouse.Broker, pattern: Pattern) -> None:
    """What was confirmed is there, what is on its way arrives, each once and in order."""
    route = pattern.of(broker).open(broker)
    publish(broker, route, 100)
    with broker.publisher(route.exchange) as out:
        route.send(out, 50, first=100)
        shared.kill(f"queue:{route.queue}")
        route.send(out, 50, first=150)
    eventually(lambda: ready(broker, route.queue) == 200)
    assert numbers(take_all(broker, route.queue, 200)) == list(range(200))


@patterns
def test_exchange_process_dies(shared: BrokerProcess, broker: posthouse.Broker, pattern: Pattern) -> None:
    """The publisher sends again what was not confirmed, and the queue recognises what it has."""
    route = pattern.of(broker).open(broker).later(LATER_S)
    with broker.publisher(route.exchange) as out:
        route.send(out, 100)
        shared.kill(route.actor)
        route.send(out, 100, first=100)
    assert waiting(broker, route) == (200 if pattern.delay_s else 0)
    due_s = bring_near(broker, route)
    assert arrives(broker, route, 200) >= due_s, "never early"
    assert numbers(take_all(broker, route.queue, 200)) == list(range(200))


@patterns
def test_exchange_process_dies_while_it_holds(
    shared: BrokerProcess, broker: posthouse.Broker, pattern: Pattern
) -> None:
    """What it held is in its journal. (The default exchange holds nothing.)"""
    route = pattern.of(broker)
    if is_point_to_point(pattern):
        shared.kill(route.actor)
        with pytest.raises(Unroutable):
            route.publish(broker, b"0")
        return
    publish(broker, route, 20)
    shared.kill(route.actor)
    route.open(broker)
    shared.kill(route.actor)
    eventually(lambda: ready(broker, route.queue) == 20)
    assert numbers(take_all(broker, route.queue, 20)) == list(range(20))


@patterns
def test_scheduler_process_dies(shared: BrokerProcess, broker: posthouse.Broker, pattern: Pattern) -> None:
    """What it keeps is in its journal, and leaves once; what is not delayed does not notice."""
    route = pattern.of(broker).open(broker).later(LATER_S)
    with broker.publisher(route.exchange) as out:
        route.send(out, 100)
        shared.kill("delay")
        route.send(out, 100, first=100)
    if pattern.delay_s:
        assert waiting(broker, route) == 200
        shared.kill("delay")
        assert waiting(broker, route) == 200, "they were there when it was killed"
    due_s = bring_near(broker, route)
    assert arrives(broker, route, 200) >= due_s, "never early"
    assert numbers(take_all(broker, route.queue, 200)) == list(range(200))


@patterns
def test_broker_dies(process: BrokerProcess, pattern: Pattern) -> None:
    """Everything confirmed is there after kill -9 of all processes, stored, held, delayed or dead."""
    broker = process.connect()
    stored = pattern.of(broker).open(broker).later(LATER_S)
    dead = pattern.of(broker).open(broker)
    held = pattern.of(broker)
    publish(broker, stored, 20)
    publish(broker, dead, 1)
    if not is_point_to_point(pattern):
        publish(broker, held, 20)
    with broker.consume(dead.queue) as messages:
        take(messages, 1)[0].reject("never")
    assert waiting(broker, stored) == (20 if pattern.delay_s else 0)
    process.restart()
    bring_near(broker, stored)
    eventually(lambda: ready(broker, stored.queue) == 20)
    assert numbers(take_all(broker, stored.queue, 20)) == list(range(20))
    assert len(eventually(lambda: broker.dead_letters.list(queue=dead.queue))) == 1
    if not is_point_to_point(pattern):
        held.open(broker)
        assert numbers(take_all(broker, held.queue, 20)) == list(range(20))


@patterns
def test_disk_full(short_path: Path, pattern: Pattern) -> None:
    """Refused before the disk is full, and nothing half done; what is there is delivered, and room heals it."""
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(disk_to_fill(short_path / "disk"))
        config = short_path / "posthouse.toml"
        config.write_text(f"disk_free_bytes_min = {disk.low_bytes}\nsegment_bytes_max = {MIB}\n")
        process = stack.enter_context(BrokerProcess(disk.path, "--config", str(config)))
        broker = process.connect()
        route = pattern.of(broker).open(broker)
        publish(broker, route, 10)
        eventually(lambda: ready(broker, route.queue) == 10)
        disk.fill()
        accepted = 0

        def refused() -> posthouse.errors.Refused | None:
            nonlocal accepted
            refusal = refusal_of(broker, route)
            accepted += refusal is None
            return refusal

        assert isinstance(eventually(refused, 60.0, "a publisher is refused"), DiskSpaceLow)
        with broker.consume(route.queue) as messages:
            taken = take(messages, 10)
            assert numbers(taken) == list(range(10))
            for message in taken:
                message.ack()
        disk.empty()
        eventually(lambda: refused() is None, 60.0, "a publisher is served again")
        assert numbers(take_all(broker, route.queue, accepted)) == [1000] * accepted, "taken or refused, never half"
        eventually(lambda: waiting(broker, route) == 0)


def waiting(broker: posthouse.Broker, route: Route) -> int:
    """How many delayed messages for its exchange have yet to become due."""
    return len(broker.delayed.list(route.exchange, limit=1_000))


def bring_near(broker: posthouse.Broker, route: Route) -> float:
    """What its exchange will get later becomes due soon, in the order it was published; returns when."""
    due = datetime.now(UTC) + timedelta(seconds=0.3)
    for waits in sorted(broker.delayed.list(route.exchange, limit=1_000), key=lambda one: int(one.scheduled_id)):
        broker.delayed.reschedule(waits.scheduled_id, due)
    return due.timestamp() if route.pattern.delay_s else 0.0


def arrives(broker: posthouse.Broker, route: Route, count: int) -> float:
    """Wait until so many are in the queue; returns when the first was seen there."""
    seen_s = 0.0

    def are_all_there() -> bool:
        nonlocal seen_s
        there = ready(broker, route.queue)
        seen_s = seen_s or (time.time() if there else 0.0)
        return there == count

    eventually(are_all_there)
    return seen_s


def dead_of(broker: posthouse.Broker, route: Route) -> list[posthouse.DeadLetter]:
    return [letter for letter in broker.dead_letters.list(reason="no_subscriber") if letter.exchange == route.exchange]


def refusal_of(broker: posthouse.Broker, route: Route) -> posthouse.errors.Refused | None:
    """Of a probe that says so in its body."""
    try:
        route.publish(broker, b"1000")
    except posthouse.errors.Refused as error:
        return error
    return None

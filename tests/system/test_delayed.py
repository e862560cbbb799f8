"""Delayed messages with real processes: on time, kept through every kind of kill, published once, told by name."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

import posthouse
from posthouse.errors import InvalidArgument, UnknownDelayed, UnknownExchange
from posthouse.testing.broker import BrokerProcess, run_command
from posthouse.testing.waiting import eventually


def arrivals(broker: posthouse.Broker, queue: str, count: int, within_s: float = 20.0) -> list[tuple[bytes, float]]:
    """Bodies and the moments they came."""
    found: list[tuple[bytes, float]] = []
    deadline = time.monotonic() + within_s
    with broker.consume(queue) as messages:
        while len(found) < count and time.monotonic() < deadline:
            taken = messages.batch(1_000, timeout_s=1.0)
            found += [(message.body, time.time()) for message in taken]
            messages.ack_all(taken)
    return found


@pytest.mark.parametrize("kind", ["direct", "topic", "fanout", "headers"])
def test_every_type_of_exchange_delays_and_routes_when_the_message_is_due(shared: BrokerProcess, kind: str) -> None:
    broker = shared.connect()
    name = f"delaying-{kind}"
    broker.declare_exchange(name, kind)
    broker.declare_queue(name)
    due = time.time() + 0.5
    receipt = broker.publish(name, b"x", routing_key="k", headers={"colour": "red"}, delay_s=0.5)
    assert (receipt.queues, receipt.durability) == ([], "sync")
    assert receipt.scheduled_id is not None
    # Nobody was bound when it was published. It is routed when it is due, and then somebody is.
    broker.bind(name, name, "k", arguments={"colour": "red"} if kind == "headers" else None)
    ((body, came_at),) = arrivals(broker, name, 1)
    assert body == b"x"
    assert due <= came_at < due + 5.0


def test_a_message_is_never_early_and_they_come_by_time(shared: BrokerProcess) -> None:
    broker = shared.connect()
    broker.declare_queue("by-time")
    source = random.Random(3)
    due: dict[bytes, float] = {}
    with broker.publisher("") as out:
        delays = [source.random() * 2.0 + 0.01 for _ in range(500)]
        asked_at = time.time()
        due |= {str(number).encode(): asked_at + delay_s for number, delay_s in enumerate(delays)}
        out.send_many(list(due), routing_key="by-time", delay_s=delays)
    came = arrivals(broker, "by-time", 500)
    assert sorted(body for body, _ in came) == sorted(due)
    assert min(at - due[body] for body, at in came) >= 0
    in_ms = [round(due[body] * 1000) for body, _ in came]
    assert all(later >= earlier - 2 for earlier, later in pairwise(in_ms))


def test_ids_and_keys_cancel_put_off_replace_and_fire(shared: BrokerProcess) -> None:
    broker = shared.connect(door=True)
    broker.declare_exchange("named", "fanout")
    broker.declare_queue("named")
    broker.bind("named", "named")
    first, second, third = (
        broker.publish("named", body, delay_s=3_600).scheduled_id for body in (b"cancelled", b"fired", b"put off")
    )
    for body in (b"one", b"two", b"last"):
        broker.publish("named", body, delay_s=3_600, schedule_key="debounce")
    broker.publish("named", b"at", deliver_at=datetime.now(UTC) + timedelta(days=1), message_id="m-1")
    listed = broker.delayed.list("named")
    assert [message.schedule_key for message in listed] == [None, None, None, "debounce", None]
    broker.delayed.cancel(first)
    broker.delayed.fire(second)
    broker.delayed.reschedule(third, datetime.now(UTC) + timedelta(seconds=0.3))
    broker.delayed.fire(schedule_key="debounce")
    assert sorted(body for body, _ in arrivals(broker, "named", 3)) == [b"fired", b"last", b"put off"]
    for gone in (first, second, "999999"):
        with pytest.raises(UnknownDelayed):
            broker.delayed.cancel(gone)
    (left,) = broker.delayed.list("named")
    broker.delayed.cancel(left.scheduled_id)
    assert broker.delayed.list("named") == []


def test_what_cannot_be_meant_is_refused_and_changes_nothing(shared: BrokerProcess) -> None:
    broker = shared.connect()
    before = broker.delayed.info()
    for options in (
        {"delay_s": -1},
        {"delay_s": 0},
        {"delay_s": float("nan")},
        {"deliver_at": datetime(2001, 1, 1, tzinfo=UTC)},
    ):
        with pytest.raises(InvalidArgument):
            broker.publish("", b"x", routing_key="q", **options)
    with pytest.raises(UnknownExchange):
        broker.publish("never declared", b"x", delay_s=5)
    assert broker.delayed.info() == before


def test_what_nobody_can_route_when_it_is_due_becomes_a_dead_letter(shared: BrokerProcess) -> None:
    broker = shared.connect()

    def dead(exchange: str) -> list[posthouse.DeadLetter]:
        found = broker.dead_letters.list(reason="delivery_failed")
        return [one for one in found if one.exchange == exchange]

    broker.declare_exchange("returning", "fanout", unrouted="return")
    broker.declare_exchange("passing", "fanout", unrouted="return")
    broker.publish("returning", b"kept", delay_s=0.05)
    broker.publish("passing", b"stranded", delay_s=0.3)
    broker.delete_exchange("passing")
    (failed,) = eventually(lambda: dead("returning"))
    assert failed.cause.startswith("unroutable: ")
    (stranded,) = eventually(lambda: dead("passing"))
    assert stranded.cause.startswith("unknown_exchange: ")
    assert broker.delayed.list("returning") == broker.delayed.list("passing") == []
    broker.declare_queue("returned")
    broker.bind("returning", "returned")
    assert broker.dead_letters.redrive(ids=[failed.id]).moved == 1
    assert [body for body, _ in arrivals(broker, "returned", 1)] == [b"kept"]
    broker.dead_letters.redrive(ids=[stranded.id], to="returned")
    assert [body for body, _ in arrivals(broker, "returned", 1)] == [b"stranded"]
    assert dead("returning") == dead("passing") == []


def test_the_command_line_lists_and_changes_what_waits(shared: BrokerProcess) -> None:
    at = ("--data", str(shared.data))
    shared.connect().declare_queue("by-hand")
    said = run_command("publish", "", "hello", "--key", "by-hand", "--delay", "1h", "--schedule-key", "by hand", *at)
    assert said.stdout.startswith("scheduled as ")
    scheduled_id = said.stdout.split()[2]
    assert scheduled_id in run_command("delayed", "list", *at).stdout
    assert run_command("delayed", "reschedule", scheduled_id, "--delay", "2h", *at).returncode == 0
    assert run_command("delayed", "fire", "--key", "by hand", *at).returncode == 0
    assert [body for body, _ in arrivals(shared.connect(), "by-hand", 1)] == [b"hello"]
    assert run_command("delayed", "cancel", scheduled_id, *at).returncode == 1


def test_the_broker_may_be_killed_whole_and_what_was_overdue_comes_oldest_first(
    process: BrokerProcess, short_path: Path
) -> None:
    broker = process.connect()
    broker.declare_queue("later")
    with broker.publisher("") as out:
        out.send_many(
            [str(number).encode() for number in range(200)],
            routing_key="later",
            delay_s=[2.0 - n / 200 for n in range(200)],
        )
        out.send(b"far", routing_key="later", delay_s=3_600)
    process.restart()
    came = arrivals(process.connect(), "later", 200)
    assert [body for body, _ in came] == [str(number).encode() for number in reversed(range(200))]
    assert process.connect().delayed.info().waiting == 1


def test_kills_of_every_actor_on_the_way_lose_nothing_double_nothing_and_hurry_nothing(process: BrokerProcess) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    source = random.Random(seed)
    broker = process.connect(timeout_s=60.0)
    broker.declare_exchange("struck", "fanout")
    for queue in ("left", "right"):
        broker.declare_queue(queue)
        broker.bind("struck", queue)
    due: dict[bytes, float] = {}
    number = 0
    for victim in ["delay", "exchange:struck", "queue:left", "delay", "registry", "delay", "exchange:struck", "delay"]:
        out = broker.publisher("struck")
        delays = [source.random() * 3.0 + 0.001 for _ in range(150)]
        bodies = [str(number + index).encode() for index in range(150)]
        number += 150
        now = time.time()
        due |= {body: now + delay_s for body, delay_s in zip(bodies, delays, strict=True)}
        out.send_many(bodies, delay_s=delays)
        process.kill(victim)
        out.flush(timeout_s=30.0)
        out.close()
    messages: list[posthouse.Message] = []
    for queue in ("left", "right"):
        eventually(partial(_is_full, broker, queue, number), 60.0)
        messages += broker.peek(queue, 1_000)
        came = arrivals(broker, queue, number)
        assert sorted(body for body, _ in came) == sorted(due), f"seed {seed}"
        assert broker.queue_info(queue).stored == number
    for message in messages:
        assert message.published_at.timestamp() >= due[message.body] - 0.001
    assert eventually(lambda: broker.delayed.info().fired == number)


def _is_full(broker: posthouse.Broker, queue: str, count: int) -> bool:
    return broker.queue_info(queue).ready >= count

"""Dead-letter exchanges, undone redrives and a full store with real processes, some of which are killed on the way."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import posthouse
from posthouse.dead_letter_requests import DeadLetter
from posthouse.errors import (
    InvalidArgument,
    PreconditionFailed,
    UnknownDeadLetter,
    UnknownExchange,
    UnknownQueue,
)
from posthouse.testing.broker import BrokerProcess, run_command
from posthouse.testing.waiting import eventually
from tests.system.conftest import StartBroker

_numbers = itertools.count(1)


@pytest.fixture
def broker(shared: BrokerProcess) -> Iterator[posthouse.Broker]:
    with shared.connect() as broker:
        broker.dead_letters.purge()
        yield broker


def declare(broker: posthouse.Broker, **policies: Any) -> str:
    name = f"place-{next(_numbers)}"
    broker.declare_queue(name, **policies)
    return name


def reject_all(broker: posthouse.Broker, queue: str, count: int) -> None:
    with broker.consume(queue) as messages:
        for _ in range(count):
            message = messages.get(timeout_s=60.0)
            assert message is not None
            message.reject("bad order")
    eventually(lambda: broker.queue_info(queue).leaving == 0)


def bodies(broker: posthouse.Broker, queue: str) -> list[bytes]:
    return [message.body for message in broker.peek(queue, 1_000)]


def resting(broker: posthouse.Broker, queue: str) -> list[DeadLetter]:
    return [letter for letter in broker.dead_letters.list(queue=queue) if not letter.is_leaving]


def deaths(message: posthouse.Message) -> list[tuple[str, str, int]]:
    return [(one["queue"], one["reason"], one["count"]) for one in message.headers["x-death"]]


# ---- dead-letter exchange ----


def test_what_dies_arrives_where_its_dead_letter_exchange_sends_it(broker: posthouse.Broker) -> None:
    broker.declare_exchange("graves", "topic")
    parked = declare(broker)
    broker.bind("graves", parked, "dead.#")
    work = declare(broker, dead_letter_exchange="graves", dead_letter_routing_key="dead.order")
    broker.publish("", b"order", work, headers={"kind": "book"}, ttl_s=60.0, message_id="m-1")
    reject_all(broker, work, 1)
    message = eventually(lambda: broker.get(parked))
    assert (message.body, message.exchange, message.routing_key) == (b"order", "graves", "dead.order")
    assert (message.message_id, message.headers["kind"], message.attempt) == ("m-1", "book", 1)
    (death,) = message.headers["x-death"]
    assert death | {"time": 0} == {
        "queue": work, "reason": "rejected", "count": 1, "time": 0, "exchange": "", "routing-keys": [work],
        "original-expiration": "60000",
    }  # fmt: skip
    assert abs(death["time"] - time.time()) < 60
    assert (message.headers["x-first-death-queue"], message.headers["x-last-death-reason"]) == (work, "rejected")
    message.ack()
    eventually(lambda: broker.dead_letters.status().messages == 0)


def test_a_pause_built_of_two_queues_works_and_never_goes_in_circles(broker: posthouse.Broker) -> None:
    """The classic: a rejected message waits in a second queue until it expires, and comes back."""
    pause = f"pause-{next(_numbers)}"
    work = declare(broker, dead_letter_exchange="", dead_letter_routing_key=pause)
    broker.declare_queue(pause, ttl_s=0.05, dead_letter_exchange="", dead_letter_routing_key=work)
    broker.publish("", b"again", work)
    for times in range(3):
        message = eventually(lambda: broker.get(work))
        if times:
            assert deaths(message) == [(pause, "expired", times), (work, "rejected", times)]
        message.reject("not yet")
    last = eventually(lambda: broker.get(work))
    assert deaths(last) == [(pause, "expired", 3), (work, "rejected", 3)]
    last.ack()
    circle = f"circle-{next(_numbers)}"
    broker.declare_queue(circle, ttl_s=0.05, dead_letter_exchange="", dead_letter_routing_key=circle)
    broker.publish("", b"round", circle)
    (letter,) = eventually(partial(resting, broker, circle))
    assert letter.reason == "expired"
    remark = broker.dead_letters.get(letter.id).history[-1]
    assert (remark.how, "circle" in remark.error) == ("republish", True)


def test_where_the_exchange_has_no_queue_or_is_not_there_the_store_has_it(broker: posthouse.Broker) -> None:
    broker.declare_exchange("nobody", "topic", unrouted="drop")
    for exchange in ("nobody", "never-declared"):
        queue = declare(broker, dead_letter_exchange=exchange)
        broker.publish("", b"x", queue)
        reject_all(broker, queue, 1)
        (letter,) = eventually(partial(resting, broker, queue))
        history = broker.dead_letters.get(letter.id).history
        assert (letter.reason, [one.how for one in history]) == ("rejected", ["reject", "republish"])
    broker.declare_exchange("never-declared", "fanout")
    parked = declare(broker)
    broker.bind("never-declared", parked)
    assert broker.dead_letters.redrive(queue=queue, to_exchange="never-declared", timeout_s=60.0).moved == 1
    assert bodies(broker, parked) == [b"x"]


def test_kills_on_the_way_through_an_exchange_lose_nothing_and_double_nothing(process: BrokerProcess) -> None:
    with process.connect(timeout_s=30.0) as broker:
        broker.declare_exchange("graves", "fanout")
        broker.declare_queue("parked")
        broker.declare_queue("also")
        broker.bind("graves", "parked")
        broker.bind("graves", "also")
        broker.declare_queue("work", dead_letter_exchange="graves")
        with broker.publisher("") as out:
            for number in range(200):
                out.send(b"%d" % number, "work")
        killed = itertools.cycle(("dead-letter", "exchange:graves", "queue:parked", "queue:also"))
        with broker.consume("work", prefetch=10) as messages:
            for number in range(200):
                message = messages.get(timeout_s=20.0)
                assert message is not None
                message.reject("no")
                if number % 25 == 20:
                    process.kill(next(killed))
        process.restart()
    with process.connect(timeout_s=30.0) as broker:
        # What was rejected and not heard of when everything died is there again, and dies once more.
        while broker.queue_info("work").ready:
            message = broker.get("work")
            assert message is not None
            message.reject("no")
        eventually(lambda: broker.queue_info("work").leaving == 0)
        eventually(lambda: broker.dead_letters.status().messages == 0)
        for queue in ("parked", "also"):
            assert sorted(int(body) for body in bodies(broker, queue)) == list(range(200))


# ---- redrives ----


def test_a_redrive_goes_on_when_the_store_is_killed_in_the_middle(process: BrokerProcess) -> None:
    with process.connect(timeout_s=30.0) as broker:
        broker.declare_queue("q")
        with broker.publisher("") as out:
            for number in range(300):
                out.send(b"%d" % number, "q")
        reject_all(broker, "q", 300)
        info = broker.dead_letters.redrive(rate=300.0, wait=False)
        eventually(lambda: broker.dead_letters.redrive_status(info.id).moved > 30)
        process.kill("dead-letter")
        eventually(lambda: broker.dead_letters.redrive_status(info.id).state == "done")
        told = broker.dead_letters.redrive_status(info.id)
        assert (told.matched, told.moved, told.remaining) == (300, 300, 0)
        assert sorted(int(body) for body in bodies(broker, "q")) == list(range(300))


def test_an_undo_brings_back_what_nobody_was_given_and_nothing_else(process: BrokerProcess) -> None:
    with process.connect(timeout_s=30.0) as broker:
        broker.declare_queue("q")
        for number in range(20):
            broker.publish("", b"%d" % number, "q")
        reject_all(broker, "q", 20)
        before = {letter.message_id: letter for letter in broker.dead_letters.list()}
        info = broker.dead_letters.redrive(timeout_s=60.0)
        broker.publish("", b"of another", "q")
        touched = [broker.get("q") for _ in range(3)]
        for message in touched:
            assert message is not None
            message.nack(retry_after_s=0.0)
        eventually(lambda: broker.queue_info("q").unacked == 0)
        process.kill("queue:q")
        told = broker.dead_letters.redrive_undo(info.id)
        assert told.taken_back == 17
        process.kill("dead-letter")
        eventually(lambda: broker.dead_letters.status().messages == 17)
        eventually(lambda: broker.queue_info("q").leaving == 0)
        assert bodies(broker, "q") == [b"0", b"1", b"2", b"of another"]
        for letter in broker.dead_letters.list():
            old = before[letter.message_id]
            assert (letter.reason, letter.fingerprint, letter.last_at) == (old.reason, old.fingerprint, old.last_at)
            assert (letter.earlier, letter.life) == (old.id, 1)
        assert broker.dead_letters.redrive_undo(info.id).taken_back == 17, "nothing more the second time"


def test_a_letter_that_dies_again_remembers(broker: posthouse.Broker) -> None:
    queue = declare(broker)
    broker.publish("", b"x", queue)
    reject_all(broker, queue, 1)
    (first,) = broker.dead_letters.list(queue=queue)
    broker.dead_letters.redrive(queue=queue, timeout_s=60.0)
    reject_all(broker, queue, 1)
    (second,) = broker.dead_letters.list(queue=queue)
    assert (second.earlier, second.life, second.attempt, second.first_at) == (first.id, 2, 2, first.first_at)
    assert [one.attempt for one in broker.dead_letters.get(second.id).history] == [1, 2]


# ---- a full store ----


def test_a_full_store_leaves_messages_where_they_are_and_says_so(start_broker: StartBroker, short_path: Path) -> None:
    config = short_path / "posthouse.toml"
    config.write_text("dead_letters_max = 3\n")
    process = start_broker("--config", str(config))
    with process.connect() as broker:
        broker.declare_queue("q")
        broker.declare_queue("other", dead_letter_exchange="", dead_letter_routing_key="nobody-home")
        for number in range(5):
            broker.publish("", b"%d" % number, "q")
        broker.publish("", b"x", "other")
        with broker.consume("q") as messages:
            for _ in range(5):
                message = messages.get(timeout_s=60.0)
                assert message is not None
                message.reject("no")
        eventually(lambda: broker.dead_letters.status().is_full and broker.dead_letters.status().refused > 0)
        message = broker.get("other")
        assert message is not None
        message.reject("no")
        status = broker.dead_letters.status()
        assert (status.messages, status.messages_max) == (3, 3)
        eventually(lambda: broker.queue_info("other").leaving == 1)
        assert (broker.queue_info("q").leaving, broker.queue_info("q").ready, broker.get("q")) == (2, 0, None)
        alarm = process.wait_logged("dead_letters_full", actor="dead-letter")
        assert "3 messages of 3" in alarm["reason"]
        process.kill("queue:q")
        eventually(lambda: broker.queue_info("q").leaving == 2)
        assert broker.dead_letters.purge() == 3
        eventually(lambda: broker.queue_info("q").leaving == 0 and broker.queue_info("other").leaving == 0)
        assert {letter.queue for letter in broker.dead_letters.list()} == {"q", "other"}
        assert broker.dead_letters.status().messages == 3


# ---- bad input ----


def test_bad_input_is_refused_and_changes_nothing(broker: posthouse.Broker) -> None:
    for wrong in (
        {"dead_letter": "off", "dead_letter_exchange": "x"}, {"dead_letter_routing_key": "k"},
        {"dead_letter_exchange": 7}, {"dead_letter_exchange": "x\n"},
        {"dead_letter_exchange": "x", "dead_letter_routing_key": "k" * 300},
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            broker.declare_queue("never-made", **wrong)
    with pytest.raises(UnknownQueue):
        broker.queue_info("never-made")
    queue = declare(broker, dead_letter_exchange="x")
    with pytest.raises(PreconditionFailed, match="dead_letter_exchange"):
        broker.declare_queue(queue)
    with pytest.raises(UnknownExchange):
        broker.dead_letters.redrive(to_exchange="nowhere")
    with pytest.raises(UnknownDeadLetter):
        broker.dead_letters.redrive_undo(1 << 40)
    options: dict[str, Any]
    for options in (
        {"to": "a", "to_exchange": "b"}, {"to_exchange": "b", "canary": 1}, {"canary": 0}, {"canary": -1},
        {"canary": 1, "failure_share": 1.5}, {"canary": 1, "failure_share": -0.5}, {"rate": 0},
        {"rate": float("nan")}, {"newer_than_s": -1},
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            broker.dead_letters.redrive(**options)


def test_the_command_line_declares_redrives_and_undoes(shared: BrokerProcess, broker: posthouse.Broker) -> None:
    queue = f"place-{next(_numbers)}"

    def command(*arguments: str) -> str:
        ran = run_command(*arguments, "--data", str(shared.data))
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    command("declare", "queue", queue, "--dead-letter-exchange", "", "--dead-letter-routing-key", "nobody-home")
    for number in range(4):
        broker.publish("", b"%d" % number, queue)
    reject_all(broker, queue, 4)
    eventually(lambda: [one.is_leaving for one in broker.dead_letters.list(queue=queue)] == [False] * 4)
    shown = command("dlq", "redrive", "--queue", queue, "--newer-than", "1h", "--dry-run")
    assert "4 dead letters would" in shown
    assert "rejected" in shown
    lines = [json.loads(line) for line in command("dlq", "redrive", "--queue", queue, "--json").splitlines()]
    assert (lines[-1]["state"], lines[-1]["moved"], lines[-1]["remaining"]) == ("done", 4, 0)
    assert "taking back 4 of 4" in command("dlq", "undo", str(lines[-1]["id"]))
    (letter, *_) = eventually(lambda: broker.dead_letters.list(queue=queue))
    assert "before that it was dead letter" in command("dlq", "show", str(letter.id))
    assert run_command("dlq", "undo", "99999", "--data", str(shared.data)).returncode == 1

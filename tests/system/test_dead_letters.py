"""Retries, dead letters and redrives with real processes, some of which are killed on the way."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

import posthouse
from posthouse import Retry
from posthouse.errors import InvalidArgument, PreconditionFailed, QueueFull, UnknownDeadLetter, UnknownQueue
from posthouse.testing.broker import BrokerProcess, end, read_line, run_command, start_python
from posthouse.testing.waiting import eventually

SOON = Retry(max_attempts=3, first_delay_s=0.05, jitter=False)
_numbers = itertools.count(1)

KILLED_BY_IT = """
import os, sys
import posthouse

with posthouse.connect(sys.argv[1], name="victim") as broker, broker.consume(sys.argv[2], prefetch=1) as messages:
    message = messages.get(timeout_s=20.0)
    print("got", message.attempt, flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def broker(shared: BrokerProcess) -> Iterator[posthouse.Broker]:
    with shared.connect() as broker:
        broker.dead_letters.purge()
        yield broker


def declare(broker: posthouse.Broker, **policies: Any) -> str:
    name = f"dying-{next(_numbers)}"
    broker.declare_queue(name, **{"retry": SOON, **policies})
    return name


def fail_all(broker: posthouse.Broker, queue: str, count: int) -> None:
    """Reject so many messages, each with an error of its own."""
    with broker.consume(queue) as messages:
        for _ in range(count):
            message = messages.get(timeout_s=60.0)
            assert message is not None
            try:
                raise ValueError(f"no amount in {message.body!r}")
            except ValueError as error:
                message.reject("bad order", error=error)
    eventually(lambda: broker.queue_info(queue).leaving == 0)


def test_a_nack_waits_and_the_last_one_ends_in_the_dead_letters(broker: posthouse.Broker) -> None:
    queue = declare(broker)
    broker.publish("", b"order 1", queue, headers={"kind": "book"})
    times = []
    with broker.consume(queue) as messages:
        for _ in range(3):
            message = messages.get(timeout_s=60.0)
            assert message is not None
            times.append(time.monotonic())
            message.nack(error=KeyError("amount"))
    assert times[1] - times[0] >= 0.045
    assert times[2] - times[1] >= 0.09
    (letter,) = eventually(lambda: broker.dead_letters.list(queue=queue))
    assert (letter.reason, letter.attempt, letter.routing_key) == ("attempts_exhausted", 3, queue)
    full = broker.dead_letters.get(letter.id)
    assert (full.body, full.headers) == (b"order 1", {"kind": "book"})
    assert [(one.attempt, one.how, one.error_type) for one in full.history] == [
        (1, "nack", "KeyError"), (2, "nack", "KeyError"), (3, "nack", "KeyError"),
    ]  # fmt: skip


def test_a_reject_says_why_and_with_what_error_and_who_it_was(shared: BrokerProcess, broker: posthouse.Broker) -> None:
    queue = declare(broker)
    with shared.connect(name="the one who asked") as other:
        for error in (None, KeyError("amount")):
            broker.publish("", b"order 1", queue)
            message = other.get(queue)
            assert message is not None
            message.reject("not ours", error=error)
    letters = eventually(lambda: len(found := broker.dead_letters.list(queue=queue)) == 2 and found)
    histories = [broker.dead_letters.get(letter.id).history for letter in letters]
    assert [(one.reason, one.error_type, one.error, one.consumer) for (one,) in histories] == [
        ("not ours", "", "not ours", "the one who asked"), ("not ours", "KeyError", "'amount'", "the one who asked"),
    ]  # fmt: skip
    shown = run_command("dlq", "show", str(letters[1].id), "--data", str(shared.data)).stdout
    assert "attempt 1" in shown
    assert "reject by the one who asked  not ours  KeyError: 'amount'" in shown


def test_the_consumer_may_say_when(broker: posthouse.Broker) -> None:
    queue = declare(broker, retry=Retry(first_delay_s=500.0))
    broker.publish("", b"x", queue)
    with broker.consume(queue) as messages:
        message = messages.get(timeout_s=60.0)
        assert message is not None
        message.nack(retry_after_s=0.05)
        again = messages.get(timeout_s=60.0)
        assert again is not None
        assert again.attempt == 2
        again.nack()
        eventually(lambda: broker.queue_info(queue).waiting == 1)


def test_many_failures_are_one_cause_and_a_redrive_repairs_them(broker: posthouse.Broker) -> None:
    queue = declare(broker)
    for number in range(20):
        broker.publish("", b"order %d" % number, queue)
    fail_all(broker, queue, 20)
    (cause,) = broker.dead_letters.causes(queue=queue)
    assert cause.count == 20
    assert broker.dead_letters.redrive(fingerprint=cause.fingerprint, dry_run=True).matched == 20
    info = broker.dead_letters.redrive(fingerprint=cause.fingerprint, timeout_s=20.0)
    assert (info.state, info.moved) == ("done", 20)
    assert broker.dead_letters.list(queue=queue) == []
    with broker.consume(queue) as messages:
        taken = [messages.get(timeout_s=60.0) for _ in range(20)]
        assert sorted(message.body for message in taken if message) == sorted(b"order %d" % n for n in range(20))
        assert {message.attempt for message in taken if message} == {1}
        for message in taken:
            assert message is not None
            message.ack()
    eventually(lambda: broker.queue_info(queue).unacked == 0)


def test_canaries_that_fail_again_save_the_rest(shared: BrokerProcess, broker: posthouse.Broker) -> None:
    queue = declare(broker)
    for number in range(6):
        broker.publish("", b"%d" % number, queue)
    fail_all(broker, queue, 6)
    info = broker.dead_letters.redrive(queue=queue, canary=2, wait=False)
    fail_all(broker, queue, 2)
    eventually(lambda: broker.dead_letters.redrive_status(info.id).state == "stopped")
    told = broker.dead_letters.redrive_status(info.id)
    assert (told.moved, "canaries failed" in told.text) == (2, True)
    assert len(broker.dead_letters.list(queue=queue)) == 6
    assert broker.queue_info(queue).ready == 0


def test_a_message_that_kills_its_consumers_ends_in_the_dead_letters(
    shared: BrokerProcess, broker: posthouse.Broker
) -> None:
    queue = declare(broker, retry=Retry(max_attempts=2))
    broker.publish("", b"poison", queue)
    for attempt in (1, 2):
        program = start_python(KILLED_BY_IT, shared.ipc, queue)
        try:
            assert read_line(program) == f"got {attempt}"
        finally:
            end([program])
    (letter,) = eventually(lambda: broker.dead_letters.list(queue=queue))
    assert [one.how for one in broker.dead_letters.get(letter.id).history] == ["consumer_gone"] * 2


def test_a_handler_that_never_returns_loses_its_message(broker: posthouse.Broker) -> None:
    queue = declare(broker, ack_timeout_s=0.2, retry=Retry(max_attempts=1))
    broker.publish("", b"slow", queue)
    with broker.consume(queue) as messages:
        assert messages.get(timeout_s=60.0) is not None
        (letter,) = eventually(lambda: broker.dead_letters.list(queue=queue))
        assert broker.dead_letters.get(letter.id).history[0].how == "ack_timeout"


def test_what_expires_or_is_too_much_goes_where_the_queue_says(broker: posthouse.Broker) -> None:
    short = declare(broker, ttl_s=0.05)
    broker.publish("", b"old", short)
    assert eventually(lambda: broker.dead_letters.list(queue=short))[0].reason == "expired"
    own = declare(broker)
    broker.publish("", b"lives", own)
    broker.publish("", b"old", own, ttl_s=0.05)
    assert eventually(lambda: broker.dead_letters.list(queue=own))[0].message_id
    assert broker.queue_info(own).ready == 1
    small = declare(broker, max_length=2, overflow="dead-letter")
    for body in (b"1", b"2", b"3"):
        broker.publish("", body, small)
    assert broker.dead_letters.get(eventually(lambda: broker.dead_letters.list(queue=small))[0].id).body == b"1"
    strict = declare(broker, max_length=1, overflow="reject-publish")
    broker.publish("", b"1", strict)
    with pytest.raises(QueueFull):
        broker.publish("", b"2", strict)
    lossy = declare(broker, max_length=1)
    for body in (b"1", b"2"):
        broker.publish("", body, lossy)
    assert [message.body for message in broker.peek(lossy)] == [b"2"]


def test_kills_on_the_way_lose_nothing_and_double_nothing(shared: BrokerProcess, broker: posthouse.Broker) -> None:
    queue = declare(broker)
    with broker.publisher("") as out:
        for number in range(300):
            out.send(b"%d" % number, queue)
    with broker.consume(queue) as messages:
        for number in range(300):
            message = messages.get(timeout_s=60.0)
            assert message is not None
            message.reject("no")
            if number == 150:
                shared.kill("dead-letter")
    shared.kill(f"queue:{queue}")
    with shared.connect() as other:
        eventually(lambda: other.queue_info(queue).leaving == 0)
        # What was delivered and not yet rejected when its queue died is there again.
        left = other.queue_info(queue).ready
        assert other.dead_letters.status().messages + left == 300
        info = other.dead_letters.redrive(queue=queue, wait=False)
        shared.kill("dead-letter")
        shared.kill(f"queue:{queue}")
        assert info.matched == 300 - left
        eventually(lambda: other.dead_letters.redrive(queue=queue, timeout_s=60.0).state == "done")
        eventually(lambda: other.dead_letters.status().messages == 0)
        assert sorted(int(message.body) for message in other.peek(queue, 1_000)) == list(range(300))


def test_bad_input_is_refused_and_changes_nothing(broker: posthouse.Broker) -> None:
    queue = declare(broker)
    with pytest.raises(PreconditionFailed, match="retry"):
        broker.declare_queue(queue, retry=Retry(max_attempts=9))
    for wrong in (
        {"retry": 5}, {"ttl_s": 0}, {"ttl_s": -1.0}, {"ttl_s": float("nan")}, {"max_length": 0},
        {"overflow": "explode"},
        {"overflow": "reject-publish"}, {"max_length": 1, "overflow": "dead-letter", "dead_letter": "off"},
        {"ack_timeout_s": 1e30}, {"dead_letter": "maybe"}, {"colour": "red"},
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            broker.declare_queue("never-made", **wrong)
    for given in (
        {"max_attempts": 0}, {"first_delay_s": -1}, {"factor": 0.5}, {"kind": "x"}, {"max_delay_s": 0.5},
        {"jitter": 1}, {"first_delay_s": float("inf")},
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            Retry(**given)
    with pytest.raises(UnknownQueue):
        broker.dead_letters.redrive(to="nowhere")
    with pytest.raises(UnknownDeadLetter):
        broker.dead_letters.get(1 << 40)
    for options in (
        {"reason": "boredom"}, {"rate": 0}, {"rate": -1}, {"canary": 0}, {"failure_share": 1.0}, {"colour": "red"},
        {"ids": [0]}, {"since": "yesterday"}, {"older_than_s": -1},
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            broker.dead_letters.redrive(**options)
    broker.publish("", b"x", queue)
    message = broker.get(queue)
    assert message is not None
    with pytest.raises(InvalidArgument):
        message.nack(retry_after_s=-1.0)
    message.ack()


def test_the_command_line_lists_shows_redrives_and_purges(shared: BrokerProcess, broker: posthouse.Broker) -> None:
    queue = declare(broker)
    for number in range(4):
        broker.publish("", b"order %d" % number, queue)
    fail_all(broker, queue, 4)

    def dlq(*arguments: str) -> Any:
        ran = run_command("dlq", *arguments, "--data", str(shared.data))
        assert ran.returncode == 0, ran.stderr
        return ran.stdout + ran.stderr

    (cause,) = json.loads(dlq("causes", "--queue", queue, "--json"))
    assert (cause["count"], cause["reasons"]) == (4, ["rejected"])
    assert cause["fingerprint"] in dlq("causes", "--queue", queue)
    letters = json.loads(dlq("list", "--queue", queue, "--json"))
    assert [(letter["reason"], letter["queue"]) for letter in letters] == [("rejected", queue)] * 4
    listed = dlq("list", "--queue", queue, "--limit", "3")
    assert listed.count(cause["fingerprint"]) == 3
    assert f"4 dead letters, 1 cause; more with --after {letters[2]['id']}" in listed
    assert "more with" not in dlq("list", "--queue", queue, "--limit", "3", "--after", str(letters[2]["id"]))
    shown = json.loads(dlq("show", str(letters[0]["id"]), "--json"))
    assert (shown["body"], shown["history"][0]["error_type"]) == ("order 0", "ValueError")
    assert "no amount" in dlq("show", str(letters[0]["id"]))
    assert "2 dead letters would" in dlq(
        "redrive", "--id", str(letters[0]["id"]), "--id", str(letters[1]["id"]), "--dry-run"
    )
    assert "redrove 1 of 1" in dlq("redrive", "--id", str(letters[0]["id"]))
    assert "removed 3" in dlq("purge", "--queue", queue, "--yes")
    assert json.loads(dlq("list", "--queue", queue, "--json")) == []
    assert run_command("dlq", "purge", "--yes", "--data", str(shared.data)).returncode == 2

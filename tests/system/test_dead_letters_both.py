"""Retries, limits and dead letters as the blocking client and the one for asyncio promise them alike."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from posthouse import DeadLetter, Retry
from posthouse.errors import (
    InvalidArgument,
    PreconditionFailed,
    QueueFull,
    UnknownDeadLetter,
    UnknownQueue,
)
from tests.support.both_clients import with_both

SOON = Retry(max_attempts=2, first_delay_s=0.02, jitter=False)


async def letters_of(broker: Any, queue: str, count: int) -> list[DeadLetter]:
    """The dead letters of a queue, once there are so many."""
    async with asyncio.timeout(15.0):
        while len(found := await broker.dead_letters.list(queue=queue)) < count:
            await broker.queue_info(queue)
    assert len(found) == count
    return list(found)


async def bury(broker: Any, queue: str, count: int) -> list[DeadLetter]:
    """Publish so many messages and reject them."""
    for number in range(count):
        await broker.publish("", b"order %d" % number, queue)
    for _ in range(count):
        message = await broker.get(queue)
        await message.reject("bad order", error=ValueError("no amount"))
    return await letters_of(broker, queue, count)


@with_both
async def test_a_nack_waits_and_the_last_one_ends_in_the_dead_letters(broker: Any, queue: str) -> None:
    own = f"{queue}-retried"
    await broker.declare_queue(own, retry=SOON)
    await broker.publish("", b"order 1", own, {"kind": "book"})
    async with broker.consume(own) as messages:
        for attempt in (1, 2):
            message = await messages.get(timeout_s=60.0)
            assert message.attempt == attempt
            await message.nack(error=KeyError("amount"), retry_after_s=0.03 if attempt == 1 else None)
        (letter,) = await letters_of(broker, own, 1)
    full = await broker.dead_letters.get(letter.id)
    assert (full.reason, full.attempt, full.body, full.headers) == (
        "attempts_exhausted", 2, b"order 1", {"kind": "book"},
    )  # fmt: skip
    assert [(one.attempt, one.how, one.error_type) for one in full.history] == [
        (1, "nack", "KeyError"),
        (2, "nack", "KeyError"),
    ]


@with_both
async def test_dead_letters_are_listed_counted_redriven_and_purged(broker: Any, queue: str) -> None:
    letters = await bury(broker, queue, 3)
    assert {letter.reason for letter in letters} == {"rejected"}
    (cause,) = await broker.dead_letters.causes(queue=queue)
    assert (cause.count, cause.cause, cause.fingerprint) == (3, "ValueError: no amount", letters[0].fingerprint)
    assert (await broker.dead_letters.status()).messages >= 3
    counted = await broker.dead_letters.redrive(queue=queue, dry_run=True)
    assert (counted.state, counted.matched, counted.moved) == ("dry_run", 3, 0)
    done = await broker.dead_letters.redrive(queue=queue, ids=[letters[0].id])
    assert (done.state, done.moved, (await broker.queue_info(queue)).ready) == ("done", 1, 1)
    assert await broker.dead_letters.purge(queue=queue, fingerprint=cause.fingerprint) == 2
    assert await broker.dead_letters.list(queue=queue) == []
    with pytest.raises(UnknownDeadLetter):
        await broker.dead_letters.get(letters[0].id)


@with_both
async def test_a_slow_redrive_is_looked_at_and_stopped(broker: Any, queue: str) -> None:
    await bury(broker, queue, 3)
    begun = await broker.dead_letters.redrive(queue=queue, rate=0.001, wait=False)
    assert begun.state == "running"
    assert (await broker.dead_letters.redrive_status(begun.id)).state == "running"
    stopped = await broker.dead_letters.redrive_stop(begun.id)
    async with asyncio.timeout(15.0):
        while stopped.state != "stopped":  # What is on its way arrives first.
            stopped = await broker.dead_letters.redrive_status(begun.id)
    assert stopped.moved + len(await broker.dead_letters.list(queue=queue)) >= 2
    with pytest.raises(UnknownDeadLetter):
        await broker.dead_letters.redrive_status(1 << 40)
    await broker.dead_letters.purge(queue=queue)


@with_both
async def test_a_redrive_into_the_queue_that_rejects_again_comes_to_an_end(broker: Any, queue: str) -> None:
    first = await bury(broker, queue, 4)
    async with broker.consume(queue) as messages:
        done = await broker.dead_letters.redrive(queue=queue, to=queue)
        assert (done.state, done.moved) == ("done", 4)
        for _ in range(4):
            await (await messages.get(timeout_s=60.0)).reject("still bad")
    again = await letters_of(broker, queue, 4)
    assert min(letter.id for letter in again) > max(letter.id for letter in first)
    assert [letter.message_id for letter in again] == [letter.message_id for letter in first]
    await broker.dead_letters.purge(queue=queue)


@with_both
async def test_a_queue_within_bounds_refuses_drops_and_lets_expire(broker: Any, queue: str) -> None:
    full, short, brief = f"{queue}-full", f"{queue}-short", f"{queue}-brief"
    await broker.declare_queue(full, max_length=1, overflow="reject-publish")
    await broker.publish("", b"1", full)
    with pytest.raises(QueueFull):
        await broker.publish("", b"2", full)
    await broker.declare_queue(short, max_bytes=4, overflow="dead-letter")
    for body in (b"123", b"456"):
        await broker.publish("", body, short)
    assert [letter.reason for letter in await letters_of(broker, short, 1)] == ["max_length"]
    await broker.declare_queue(brief, ttl_s=0.05)
    await broker.publish("", b"gone soon", brief)
    await broker.publish("", b"sooner", brief, ttl_s=0.01)
    assert [letter.reason for letter in await letters_of(broker, brief, 2)] == ["expired", "expired"]
    assert [(await broker.queue_info(name)).ready for name in (full, short, brief)] == [1, 1, 0]


WRONG_POLICIES: list[dict[str, Any]] = [
    {"retry": 5}, {"retry": "off"}, {"ttl_s": 0}, {"ttl_s": -1.0}, {"ttl_s": float("nan")}, {"ttl_s": 1e30},
    {"ack_timeout_s": 0}, {"ack_timeout_s": float("inf")}, {"max_length": 0}, {"max_length": -1},
    {"max_length": 1.5}, {"max_length": True}, {"max_bytes": 0}, {"overflow": "explode"}, {"overflow": 1},
    {"overflow": "reject-publish"}, {"overflow": "dead-letter"},
    {"max_length": 1, "overflow": "dead-letter", "dead_letter": "off"}, {"dead_letter": "maybe"}, {"priority": 5},
]  # fmt: skip

WRONG_RETRIES: list[dict[str, Any]] = [
    {"max_attempts": 0}, {"max_attempts": -1}, {"max_attempts": 2.5}, {"max_attempts": 10**9}, {"factor": 0.5},
    {"factor": float("nan")}, {"factor": float("inf")}, {"first_delay_s": -1}, {"first_delay_s": float("nan")},
    {"max_delay_s": 0.5}, {"max_delay_s": 1e30}, {"kind": "x"}, {"jitter": 1},
]  # fmt: skip

WRONG_REDRIVES: list[dict[str, Any]] = [
    {"to": ""}, {"to": 7}, {"rate": 0}, {"rate": -1}, {"rate": float("nan")}, {"rate": 1e9}, {"canary": 0},
    {"canary": -5}, {"canary": 10**6}, {"failure_share": 0.5}, {"canary": 1, "failure_share": 1.0},
    {"canary": 1, "failure_share": float("nan")}, {"reason": "boredom"}, {"fingerprint": 7}, {"ids": [0]},
    {"ids": range(1, 1_100)}, {"since": "yesterday"}, {"older_than_s": -1}, {"headers": {1: 2}},
    {"queue": "two\nlines"}, {"dry_run": "perhaps"}, {"timeout_s": -1}, {"colour": "red"},
]  # fmt: skip


@with_both
async def test_what_makes_no_sense_is_refused_and_changes_nothing(broker: Any, queue: str) -> None:
    (letter,) = await bury(broker, queue, 1)
    made = {info.name for info in await broker.queues()}
    for policies in WRONG_POLICIES:
        with pytest.raises(InvalidArgument):
            await broker.declare_queue("never-made", **policies)
    for given in WRONG_RETRIES:
        with pytest.raises(InvalidArgument):
            await broker.declare_queue("never-made", retry=Retry(**given))
    with pytest.raises(PreconditionFailed, match="retry"):
        await broker.declare_queue(queue, retry=Retry(max_attempts=9))
    for options in WRONG_REDRIVES:
        with pytest.raises(InvalidArgument):
            await broker.dead_letters.redrive(**{"queue": queue, **options})
    with pytest.raises(UnknownQueue):
        await broker.dead_letters.redrive(queue=queue, to="nowhere")
    for number in (0, -1, 1.5, True, 1 << 63):
        with pytest.raises(InvalidArgument):
            await broker.dead_letters.get(number)
        with pytest.raises(InvalidArgument):
            await broker.dead_letters.redrive_stop(number)
    for limit in (0, -1, 10**6, "ten"):
        with pytest.raises(InvalidArgument):
            await broker.dead_letters.list(limit=limit)
    with pytest.raises(UnknownDeadLetter):
        await broker.dead_letters.get(1 << 40)
    assert await broker.dead_letters.list(queue=queue) == [letter]
    assert {info.name for info in await broker.queues()} == made
    await broker.publish("", b"x", queue)
    message = await broker.get(queue)
    for wish in (-1.0, float("nan"), 1e30, "soon"):
        with pytest.raises(InvalidArgument):
            await message.nack(retry_after_s=wish)
    await message.ack()
    await broker.dead_letters.purge(queue=queue)


@with_both
async def test_a_dead_letter_exchange_and_a_redrive_through_one(broker: Any, queue: str) -> None:
    parked, graves = f"{queue}-parked", f"{queue}-graves"
    mortal = f"{queue}-mortal"
    await broker.declare_queue(mortal, dead_letter_exchange=graves, dead_letter_routing_key="dead")
    (letter,) = await bury(broker, mortal, 1)
    async with asyncio.timeout(15.0):
        while (await broker.dead_letters.list(queue=mortal))[0].is_leaving:
            await broker.queue_info(mortal)
    await broker.declare_exchange(graves, "fanout")
    await broker.declare_queue(parked)
    await broker.bind(graves, parked)
    info = await broker.dead_letters.redrive(queue=mortal, to_exchange=graves, newer_than_s=600.0, timeout_s=60.0)
    assert (info.state, info.moved, info.remaining) == ("done", 1, 0)
    message = await broker.get(parked)
    assert (message.body, message.routing_key, "x-death" in message.headers) == (b"order 0", mortal, False)
    with pytest.raises(PreconditionFailed, match="exchange"):
        await broker.dead_letters.redrive_undo(info.id)
    assert letter.life == 1


@with_both
async def test_a_redrive_is_undone(broker: Any, queue: str) -> None:
    own = f"{queue}-undone"
    await broker.declare_queue(own)
    letters = await bury(broker, own, 3)
    info = await broker.dead_letters.redrive(queue=own, timeout_s=60.0)
    assert (await broker.dead_letters.redrive_undo(info.id)).taken_back == 3
    back = await letters_of(broker, own, 3)
    assert [letter.earlier for letter in back] == [letter.id for letter in letters]
    with pytest.raises(UnknownDeadLetter):
        await broker.dead_letters.redrive_undo(1 << 40)

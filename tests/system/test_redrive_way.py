"""Redrives to where letters cannot stay: a queue that does not exist, or whose dead letters come back to it."""

from __future__ import annotations

from typing import Any, Final

import pytest

from posthouse.errors import PreconditionFailed, UnknownQueue
from posthouse.testing.broker import BrokerProcess, run_command
from tests.support.both_clients import with_both

LOOKS_MAX: Final = 5_000


async def bury(broker: Any, queue: str) -> int:
    """One message that was rejected; the id of its letter."""
    await broker.publish("", b"0", queue)
    async with broker.consume(queue) as messages:
        await (await messages.get(10.0)).reject("no")
    for _ in range(LOOKS_MAX):
        letters = await broker.dead_letters.list(queue=queue)
        if letters:
            return int(letters[0].id)
    raise AssertionError("what was rejected is no dead letter")


@with_both
async def test_a_queue_that_is_not_there_is_refused_whoever_names_it(broker: Any, queue: str) -> None:
    letter = await bury(broker, queue)
    for where in ({"to": "nowhere"}, {"queue": queue, "to": "nowhere"}, {"queue": "never was"}):
        with pytest.raises(UnknownQueue, match="there is no queue"):
            await broker.dead_letters.redrive(**where)
    await broker.delete_queue(queue)
    for dry_run in (False, True):
        with pytest.raises(UnknownQueue, match=f"there is no queue '{queue}'"):
            await broker.dead_letters.redrive(queue=queue, dry_run=dry_run)
    info = await broker.dead_letters.redrive(ids=[letter])
    assert (info.state, info.moved, info.text) == ("stopped", 0, f"there is no queue '{queue}'")
    assert [one.id for one in await broker.dead_letters.list(queue=queue)] == [letter]
    assert await broker.dead_letters.purge(queue=queue) == 1


@with_both
async def test_a_circle_is_refused_unless_it_is_meant(broker: Any, queue: str) -> None:
    letter = await bury(broker, queue)
    circle = f"{queue}-circle"
    await broker.declare_queue(circle, dead_letter_exchange="", dead_letter_routing_key=f"{queue}-pause")
    await broker.declare_queue(f"{queue}-pause", ttl_s=60.0, dead_letter_exchange="", dead_letter_routing_key=circle)
    for dry_run in (False, True):
        with pytest.raises(PreconditionFailed, match=f"{circle} → {queue}-pause → {circle}"):
            await broker.dead_letters.redrive(queue=queue, to=circle, dry_run=dry_run)
    with pytest.raises(PreconditionFailed, match="allow_circle"):
        await broker.dead_letters.redrive(queue=circle)
    assert [one.id for one in await broker.dead_letters.list(queue=queue)] == [letter]
    assert (await broker.queue_info(circle)).stored == 0
    info = await broker.dead_letters.redrive(queue=queue, to=circle, allow_circle=True)
    assert (info.state, info.moved) == ("done", 1)
    assert (await broker.queue_info(circle)).ready == 1


def test_the_command_line_says_it_too(shared: BrokerProcess) -> None:
    with shared.connect() as broker:
        broker.declare_queue("ring", dead_letter_exchange="", dead_letter_routing_key="ring")

    def redrive(*options: str) -> tuple[int, str]:
        ran = run_command("dlq", "redrive", *options, "--data", str(shared.data))
        return ran.returncode, ran.stderr + ran.stdout

    code, said = redrive("--to", "ring")
    assert code == 1
    assert "error[precondition_failed]: what dies in queue 'ring' comes back to it (ring → ring)" in said
    assert redrive("--to", "ring", "--allow-circle", "--queue", "ring")[0] == 0
    code, said = redrive("--queue", "gone")
    assert (code, "error[unknown_queue]: there is no queue 'gone'" in said) == (1, True)

"""The exchange and bytes that no honest publisher sends: they cost their sender, and nobody else."""

from __future__ import annotations

import msgspec
import pytest

from posthouse.transport import messages
from posthouse.transport.limits import Limits
from posthouse.transport.messages import (
    Batch,
    Options,
    Purge,
    Receipt,
    StoreNote,
)
from tests.support.actor_bench import batch
from tests.support.exchange_bench import TOPOLOGY, ExchangeWorld, refusal


def _hostile(**changes: object) -> Batch:
    return msgspec.structs.replace(batch(b"abc", b"de", routing_key="one"), **changes)


LIES = {
    "a count that is too high": _hostile(count=3),
    "a count of nothing": _hostile(count=0, lengths=memoryview(b"")),
    "a count without end": _hostile(count=1 << 40),
    "lengths beyond the bodies": _hostile(lengths=memoryview(b"\xff" * 8)),
    "lengths short of the bodies": _hostile(lengths=memoryview(bytes(8))),
    "half a length": _hostile(lengths=memoryview(b"\0" * 7)),
    "a number below one": _hostile(first_seq=0),
    "a number out of range": _hostile(first_seq=(1 << 62) - 1),
    "a stream below zero": _hostile(stream=-1),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_batch_that_contradicts_itself_ends_only_its_session(lie: str) -> None:
    world = ExchangeWorld()
    world.queue("one")
    bad = world.bench.client("bad", 2)
    assert world.bench.deliver(bad, LIES[lie]) == []
    assert bad.endings == ["protocol_violation"]
    assert world.publish(batch(b"x", routing_key="one")) == [Receipt(7, 1, 1, ("one",))]


WRONG = {
    "a key that is too long": _hostile(routing_key="é" * 128),
    "headers that are too long": _hostile(headers=msgspec.Raw(messages.encode({"h": "x" * 65_536}))),
    "the wrong exchange": _hostile(exchange="fan"),
    "headers that are no map": _hostile(headers=msgspec.Raw(b"\x07")),
    "properties that are none": _hostile(properties=memoryview(b"\xc1")),
    "properties for fewer messages": _hostile(properties=memoryview(messages.encode([["id", None]]))),
    "properties of another form": _hostile(properties=memoryview(messages.encode([1, 2]))),
    "properties that are not UTF-8": _hostile(properties=memoryview(b"\x92\xc0\x92\xa1\xff\xc0")),
    "properties nested without end": _hostile(properties=memoryview(b"\x91" * 5_000 + b"\xc0")),
    "a dedup_id that is too long": _hostile(options=Options(dedup_id="x" * 256)),
    "an unknown durability": _hostile(options=Options(durability=9)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_batch_with_a_wrong_value_is_refused_and_its_session_goes_on(wrong: str) -> None:
    world = ExchangeWorld()
    queue = world.queue("one")
    assert refusal(world.publish(WRONG[wrong])).code == "invalid_argument"
    assert queue.take_heard() == []
    assert world.publish(batch(b"x", routing_key="one", first_seq=3)) == [Receipt(7, 3, 1, ("one",))]


def test_a_body_over_the_limit_is_refused() -> None:
    world = ExchangeWorld(limits=Limits(body_bytes_max=10, ping_interval_ms=200))
    world.queue("one")
    assert refusal(world.publish(batch(b"x" * 11, routing_key="one"))).code == "invalid_argument"
    assert world.publish(batch(b"x" * 6, b"y" * 6, routing_key="one", first_seq=2)) == [Receipt(7, 2, 2, ("one",))]


def test_only_the_registry_changes_the_topology_and_only_queues_remark() -> None:
    world = ExchangeWorld()
    world.queue("one")
    for forged in (TOPOLOGY, StoreNote(7, 1, 1, "duplicate"), Purge(1)):
        bad = world.bench.client(f"bad {type(forged).__name__}", 2)
        world.bench.deliver(bad, forged)
        assert bad.endings == ["protocol_violation"]
    assert world.publish(batch(b"x", routing_key="one")) == [Receipt(7, 1, 1, ("one",))]

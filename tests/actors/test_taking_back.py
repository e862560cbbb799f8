"""A queue that is asked to let go of a redrive: what nobody was given yet is buried, whatever its own policies say."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from posthouse.actors import departures
from posthouse.transport import messages
from posthouse.transport.messages import Batch, Outcome, QueueSpec, Settle, StoreNote
from posthouse.transport.messages_dead import TAKEN_BACK, Bury, Restore, TakeBack
from tests.support.actor_bench import Peer, batch
from tests.support.queue_bench import SPEC, QueueWorld

STREAM = 900


def restore(world: QueueWorld, *bodies: bytes, seq: int, stream: int = STREAM) -> None:
    moved = Restore(1, msgspec.Raw(messages.encode(batch(*bodies, stream=stream, first_seq=seq))))
    world.bench.deliver(store(world), moved)


def store(world: QueueWorld) -> Peer:
    return world.bench.clients.get("dead-letter") or world.bench.client("dead-letter", client_id=0)


def take_back(world: QueueWorld, *ranges: int, stream: int = STREAM, after: int = 0) -> list[int]:
    answer: list[int] = world.ask(store(world), TakeBack(5, stream, list(ranges), after))
    return answer


def buried(peer: Peer) -> list[tuple[str, int, list[bytes]]]:
    """Reason, first number and body of each burial."""
    found = []
    for message in peer.take_heard():
        if isinstance(message, Bury):
            inner = messages.decode(message.batch)
            assert isinstance(inner, Batch)
            found.append((message.death.reason, inner.first_seq, [bytes(inner.bodies)]))
    return found


@pytest.fixture
def world() -> QueueWorld:
    return QueueWorld()


def test_what_was_never_given_to_anybody_goes_back_and_the_rest_stays(world: QueueWorld) -> None:
    graves = world.bench.actor("dead-letter")
    world.store(b"own")
    restore(world, b"a", b"b", b"c", seq=1)
    restore(world, b"d", seq=4)
    restore(world, b"x", seq=1, stream=STREAM + 1)
    assert take_back(world, 2, 4) == [3, 0]
    assert buried(graves) == [(TAKEN_BACK, 2, [b"bc"]), (TAKEN_BACK, 4, [b"d"])]
    assert world.drain() == [b"own", b"a", b"x"]
    assert take_back(world, 2, 4) == [0, 0], "the second time there is nothing"
    world.bench.crash(power=True)
    assert world.drain() == [b"own", b"a", b"x"]


def test_what_is_held_or_was_delivered_before_is_not_taken(world: QueueWorld) -> None:
    world.bench.actor("dead-letter")
    restore(world, b"held", b"returned", b"never", seq=1)
    consumer = world.consumer(prefetch=2)
    assert take_back(world, 1, 3) == [1, 0]
    world.bench.leave(consumer)
    assert take_back(world, 1, 3) == [0, 0]
    assert world.drain() == [b"held", b"returned"]


def test_a_crash_on_the_way_back_sends_the_same_numbers_again(world: QueueWorld) -> None:
    graves = world.bench.actor("dead-letter")
    graves.settles_at_once = False
    restore(world, b"a", b"b", seq=1)
    assert take_back(world, 1, 2) == [2, 0]
    assert world.info().leaving == 2
    (first,) = [message for message in graves.take_heard() if isinstance(message, Bury)]
    world.bench.crash(power=True)
    graves = world.bench.actor("dead-letter", generation=2)
    world.bench.run()
    (again,) = [message for message in graves.take_heard() if isinstance(message, Bury)]
    assert (again.stream, again.first_seq, again.count) == (first.stream, first.first_seq, 2)
    assert (world.info().leaving, world.drain()) == (0, [])


@pytest.mark.parametrize("policies", [{"dead_letter": "off"}, {"dead_letter": "store", "dead_letter_exchange": "x"}])
def test_the_queues_own_word_on_dead_letters_has_no_part_in_it(policies: dict[str, Any]) -> None:
    spec: QueueSpec = msgspec.structs.replace(SPEC, **policies)
    world = QueueWorld(spec)
    graves = world.bench.actor("dead-letter")
    restore(world, b"a", seq=1)
    take_back(world, 1, 1)
    (bury,) = [message for message in graves.take_heard() if isinstance(message, Bury)]
    assert (bury.death.reason, bury.death.republish_to) == (TAKEN_BACK, None)


def test_many_batches_are_looked_through_step_by_step(world: QueueWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "LOOK_BATCHES_MAX", 2)
    world.bench.actor("dead-letter")
    for seq in range(1, 6):
        restore(world, b"%d" % seq, seq=seq)
    taken, after = 0, 0
    steps = 0
    while steps == 0 or after:
        count, after = take_back(world, 1, 5, after=after)
        taken += count
        steps += 1
    assert (taken, steps, world.drain()) == (5, 3, [])


def test_only_the_dead_letters_may_ask(world: QueueWorld) -> None:
    restore(world, b"a", seq=1)
    peer = world.bench.client("somebody", client_id=3)
    world.bench.deliver(peer, TakeBack(5, STREAM, [1, 1]))
    assert peer.endings == ["protocol_violation"]
    assert world.drain() == [b"a"]


def test_half_a_range_ends_the_session(world: QueueWorld) -> None:
    peer = store(world)
    world.bench.deliver(peer, TakeBack(5, STREAM, [1, 2, 3]))
    assert peer.endings == ["protocol_violation"]


def test_what_dies_in_a_queue_with_a_dead_letter_exchange_names_it() -> None:
    spec = msgspec.structs.replace(SPEC, dead_letter="store", dead_letter_exchange="x", dead_letter_routing_key="k")
    world = QueueWorld(spec)
    graves = world.bench.actor("dead-letter")
    world.store(b"a")
    consumer = world.consumer()
    world.bench.deliver(consumer, Settle(1, Outcome.REJECT, [1, 1]))
    (bury,) = [message for message in graves.take_heard() if isinstance(message, Bury)]
    assert (bury.death.republish_to, bury.death.republish_key) == ("x", "k")


def test_a_full_store_is_offered_less_and_less_often(world: QueueWorld) -> None:
    graves = world.bench.actor("dead-letter")
    graves.settles_at_once = False
    restore(world, b"a", seq=1)
    take_back(world, 1, 1)
    offered: list[int] = []
    for _ in range(1_000):
        for message in graves.take_heard():
            if isinstance(message, Bury):
                offered.append(world.bench.now_ms)
                graves.say(StoreNote(message.stream, message.first_seq, 1, "queue_full", "the store is full"))
        world.bench.run()
        graves.settle()
        world.bench.run()
        world.bench.advance(50)
        if len(offered) == 6:
            break
    pauses = [later - earlier for earlier, later in itertools.pairwise(offered)]
    assert pauses == sorted(pauses)
    assert pauses[0] >= departures.OFFER_AGAIN_MS
    assert pauses[-1] >= departures.OFFER_AGAIN_MS_MAX
    assert world.info().leaving == 1

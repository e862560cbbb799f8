"""Redrives through the deaths of the store, their undoing, and what a letter remembers of its earlier lives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from posthouse.actors import dead_letter_store
from posthouse.actors.dead_letter_store import DeadLetterStore, StoreLimits
from posthouse.actors.past_lives import FORGOTTEN
from posthouse.transport import messages
from posthouse.transport.batch import headers_of, slice_batch
from posthouse.transport.messages import Batch, Failed, Receipt, Reply
from posthouse.transport.messages_dead import (
    TAKEN_BACK,
    Attempt,
    Bury,
    Cause,
    DeadLetterFilter,
    DeadLetterInfo,
    Death,
    GetDeadLetter,
    LookAfter,
    Redrive,
    RedriveInfo,
    Restore,
    TakeBack,
    UndoRedrive,
)
from tests.support.actor_bench import WALL_MS, Peer, result_of
from tests.support.dead_letter_bench import ALL, STREAM, DeadLetterWorld, republished, restored


@pytest.fixture
def world() -> DeadLetterWorld:
    return DeadLetterWorld(past_bytes_max=1 << 20)


def death_of(world: DeadLetterWorld, number: int) -> Death:
    _, died, _ = world.ask(lambda request: GetDeadLetter(request, number), tuple[DeadLetterInfo, Death, Batch])
    assert isinstance(died, Death)
    return died


def undo(world: DeadLetterWorld, queue: Peer, number: int, *steps: tuple[int, int]) -> RedriveInfo:
    """Ask for the undo, answer as the queue each of its questions, and return what the asker hears."""
    heard = world.bench.deliver(world.asker, UndoRedrive(500, number))
    for step in steps:
        (look,) = [message for message in queue.take_heard() if isinstance(message, TakeBack)]
        queue.say(Reply(look.request, msgspec.Raw(messages.encode(step))))
        world.bench.run()
        heard = world.asker.take_heard()
    found: RedriveInfo = result_of(heard[-1], RedriveInfo)
    return found


# ---- lineage ----


def test_a_letter_that_dies_again_points_to_its_earlier_life_and_its_history_goes_on(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    world.bury(b"a")
    world.bury(b"b", died_ms=WALL_MS + 5)
    world.redrive()
    ((_, batch),) = restored(queue)
    world.bench.crash(power=True)
    assert world.die_again(batch) == []
    assert [(letter.earlier, letter.life, letter.attempt) for letter in world.letters()] == [(1, 2, 2), (2, 2, 2)]
    assert [letter.first_ms for letter in world.letters()] == [WALL_MS, WALL_MS + 5]
    died = death_of(world, 3)
    assert [one.attempt for one in died.history] == [1, 2], "attempts count on"
    assert (died.fingerprint, died.died_ms) == ("f9", WALL_MS + 9)
    again = world.bench.actor("queue:ewr", generation=2)
    world.redrive()
    ((_, batch),) = restored(again)
    world.die_again(batch)
    assert [(letter.earlier, letter.life, letter.attempt) for letter in world.letters()] == [(3, 3, 3), (4, 3, 3)]


def test_of_a_batch_that_dies_in_parts_each_message_keeps_its_own_life(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    world.bury(b"a", b"b", b"c")
    world.bury(b"d")
    world.redrive()
    ((_, batch),) = restored(queue)
    world.die_again(slice_batch(batch, 1, 4))
    assert [(letter.id, letter.earlier) for letter in world.letters()] == [(5, 2), (6, 3), (7, 4)]
    assert [death_of(world, number).earlier for number in (5, 7)] == [2, 4]


def test_where_an_earlier_life_is_forgotten_the_history_says_so() -> None:
    world = DeadLetterWorld()
    queue = world.bench.actor("queue:ewr")
    world.bury(b"a")
    world.redrive()
    ((_, batch),) = restored(queue)
    for number in range(60):
        world.bury(b"x" * 400, queue=f"q{number}")
        world.purge(DeadLetterFilter(queue=f"q{number}"))
    world.die_again(batch)
    (letter,) = world.letters()
    assert (letter.earlier, letter.life) == (1, 2)
    assert death_of(world, letter.id).history[0].error == FORGOTTEN


# ---- through the death of the store ----


def test_a_redrive_goes_on_after_the_store_died_in_the_middle(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    for number in range(6):
        world.bury(b"%d" % number)
    info = world.redrive(rate=10.0)
    world.bench.advance(250)
    assert sum(batch.count for _, batch in restored(queue)) == 3
    world.bench.crash(power=True)
    told = world.look(info.id)
    assert (told.state, told.matched, told.moved, told.remaining) == ("running", 6, 4, 2), "one goes at once"
    world.bench.advance(1_000)
    assert [bytes(batch.bodies) for _, batch in restored(queue)] == [b"3", b"4", b"5"]
    assert (world.look(info.id).state, world.look(info.id).moved) == ("done", 6)
    world.bench.crash()
    assert (world.look(info.id).state, world.look(info.id).moved) == ("done", 6)


def test_a_redrive_whose_canaries_were_out_when_the_store_died_is_reported_as_stopped(world: DeadLetterWorld) -> None:
    world.bench.actor("queue:ewr")
    for number in range(4):
        world.bury(b"%d" % number)
    info = world.redrive(canary=2)
    world.bench.crash(power=True)
    told = world.look(info.id)
    assert (told.state, told.moved, "restarted" in told.text) == ("stopped", 2, True)
    assert world.status().messages == 2


def test_canaries_that_were_acked_are_not_sent_again_after_a_crash(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    for number in range(5):
        world.bury(b"%d" % number)
    info = world.redrive(canary=2, rate=10.0)
    while world.look(info.id).moved < 3:
        for message in queue.take_heard():
            if isinstance(message, LookAfter):
                queue.say(Reply(message.request, msgspec.Raw(messages.encode([0, 0]))))
            elif isinstance(message, Restore) and message.request:
                queue.say(Reply(message.request, msgspec.Raw(messages.encode(11))))
        world.bench.advance(50)
    restored(queue)
    world.bench.crash(power=True)
    world.bench.advance(1_000)
    assert [(move.request, bytes(batch.bodies)) for move, batch in restored(queue)] == [(0, b"3"), (0, b"4")]
    assert (world.look(info.id).state, world.look(info.id).moved) == ("done", 5)


# ---- elsewhere, and what it would be ----


def test_a_dry_run_says_what_they_died_of(world: DeadLetterWorld) -> None:
    world.bury(b"a", b"b")
    world.bury(b"c", fingerprint="f2", queue="jfk")
    info = world.redrive(dry_run=True)
    assert [(cause.fingerprint, cause.count) for cause in info.causes] == [("f1", 2), ("f2", 1)]
    assert isinstance(info.causes[0], Cause)
    assert (info.state, info.matched, info.remaining) == ("dry_run", 3, 3)


def test_letters_go_through_an_exchange_as_they_are(world: DeadLetterWorld) -> None:
    exchange = world.bench.actor("exchange:again")
    exchange.settles_at_once = False
    world.bury(b"a", headers={"n": 1})
    world.bench.deliver(world.asker, Redrive(70, ALL, to_exchange="again"))
    ((move, batch),) = republished(exchange)
    assert (move.no_cycles, batch.exchange, batch.routing_key, headers_of(batch)) == (False, "again", "k", {"n": 1})
    exchange.say(Receipt(batch.stream, batch.first_seq, 1, ("q",)))
    world.bench.run()
    exchange.settle()
    world.bench.run()
    told = world.look(1)
    assert (told.state, told.moved, world.status().redriven) == ("done", 1, 1)
    (refused,) = world.bench.deliver(world.asker, UndoRedrive(71, 1))
    assert isinstance(refused, Failed)
    assert refused.code == "precondition_failed"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (Redrive(5, ALL, to_exchange="nowhere"), "unknown_exchange"),
        (Redrive(5, ALL, to="q", to_exchange="nowhere"), "invalid_argument"),
        (Redrive(5, ALL, to_exchange="nowhere", canary=1), "invalid_argument"),
        (UndoRedrive(5, 77), "unknown_dead_letter"),
    ],
)
def test_what_makes_no_sense_is_refused_and_moves_nothing(world: DeadLetterWorld, asked: Any, code: str) -> None:
    world.bury(b"a")
    world.bench.down("exchange:nowhere", "unknown", "no such child")
    heard = world.bench.deliver(world.asker, asked)
    world.answer()
    (answer,) = heard or world.asker.take_heard()
    assert isinstance(answer, Failed)
    assert answer.code == code
    assert [letter.is_leaving for letter in world.letters()] == [False]


# ---- undo ----


def test_an_undo_asks_the_queue_for_what_it_was_sent_and_the_letters_are_as_they_were(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    world.bury(b"a", b"b", reason="expired")
    info = world.redrive()
    ((_, batch),) = restored(queue)
    told = undo(world, queue, info.id, (1, 501), (1, 0))
    assert (told.taken_back, told.moved) == (2, 2)
    died = Death(reason=TAKEN_BACK, queue="ewr", died_ms=WALL_MS + 50)
    world.bench.deliver(world.source, Bury(STREAM, world.next_seq, 2, 1, died, msgspec.Raw(messages.encode(batch))))
    for _ in range(2):
        first, second = world.letters()
        assert (first.reason, first.fingerprint, first.last_ms, first.life) == ("expired", "f1", WALL_MS, 1)
        assert (first.earlier, second.earlier, first.attempt) == (1, 2, 1)
        assert [one.how for one in death_of(world, first.id).history] == ["reject", TAKEN_BACK]
        world.bench.crash(power=True)
    assert world.look(info.id).taken_back == 2


def test_an_undo_stops_what_still_runs_and_waits_for_what_is_on_its_way(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    queue.settles_at_once = False
    for number in range(5):
        world.bury(b"%d" % number)
    info = world.redrive(rate=10.0)
    assert world.bench.deliver(world.asker, UndoRedrive(90, info.id)) == []
    assert not [message for message in queue.heard if isinstance(message, TakeBack)]
    queue.settles_at_once = True
    queue.settle()
    world.bench.run()
    (look,) = [message for message in queue.take_heard() if isinstance(message, TakeBack)]
    assert look.ranges == [1, 1]
    queue.say(Reply(look.request, msgspec.Raw(messages.encode([0, 0]))))
    world.bench.run()
    told = result_of(world.asker.take_heard()[-1], RedriveInfo)
    assert (told.state, told.moved, told.taken_back, told.text) == ("stopped", 1, 0, "it was undone")
    assert world.status().messages == 4


def test_an_undo_whose_queue_is_deleted_takes_nothing_back(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    world.bury(b"a")
    info = world.redrive()
    restored(queue)
    world.bench.deliver(world.asker, UndoRedrive(91, info.id))
    world.bench.down("queue:ewr", "stopped", "deleted")
    assert world.answer() == ["ewr"]
    told = result_of(world.asker.take_heard()[-1], RedriveInfo)
    assert told.taken_back == 0


def test_the_oldest_redrives_are_forgotten_and_what_goes_on_is_not(
    world: DeadLetterWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_store, "REDRIVES_REMEMBERED", 2)
    world.bench.actor("queue:ewr")
    world.bury(b"a", queue="away")
    running = world.redrive(DeadLetterFilter(queue="away"), rate=1.0)
    for _ in range(4):
        world.bury(b"b")
        world.redrive(DeadLetterFilter(queue="ewr"))
    (answer,) = world.bench.deliver(world.asker, UndoRedrive(300, 2))
    assert isinstance(answer, Failed)
    assert world.look(running.id).state == "running"
    world.bench.crash(power=True)
    assert world.look(running.id).state == "running"
    assert world.look(5).state == "done"


def test_a_letter_keeps_the_first_and_the_last_remarks() -> None:
    store = DeadLetterStore(StoreLimits())
    for number in range(9):
        store.note([(1, 3)], Attempt(attempt=0, at_ms=number, consumer="", how="republish"))
    ((first, last, remarks),) = store.notes.pieces(1, 3)
    assert (first, last, [one.at_ms for one in remarks]) == (1, 3, [0, 6, 7, 8])

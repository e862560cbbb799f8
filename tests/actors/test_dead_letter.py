"""The dead-letter actor: what it keeps, shows, refuses and sends back, whatever dies on the way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from posthouse.actors import dead_letter
from posthouse.actors.dead_letter_store import StoreLimits
from posthouse.supervisor.journal import JournalSettings
from posthouse.transport import messages
from posthouse.transport.batch import headers_of, message_id_of, slice_batch
from posthouse.transport.messages import Batch, Failed, Reply, StoreNote
from posthouse.transport.messages_dead import (
    Cause,
    DeadLetterFilter,
    DeadLetterInfo,
    Death,
    GetDeadLetter,
    ListCauses,
    ListDeadLetters,
    LookAfter,
    PurgeDeadLetters,
    Redrive,
    RedriveStatus,
)
from tests.support.actor_bench import WALL_MS, Peer, Setting, result_of
from tests.support.dead_letter_bench import ALL, HISTORY, LIMITS, STREAM, DeadLetterWorld, burial, restored


@pytest.fixture
def world() -> DeadLetterWorld:
    return DeadLetterWorld()


def refusal(world: DeadLetterWorld, request: Any) -> Failed:
    (answer,) = world.bench.deliver(world.asker, request)
    assert isinstance(answer, Failed), answer
    return answer


# ---- keeping ----


def test_a_burial_is_synced_before_it_is_settled_and_survives_a_power_cut(world: DeadLetterWorld) -> None:
    assert world.bury(b"a", b"b", headers={"n": 1}) == []
    assert world.bench.tape.index("fdatasync") > world.bench.tape.index("pwritev")
    assert [message.count for message in world.source.settled] == [2]
    world.bench.crash(power=True)
    assert world.ids() == [1, 2]
    info, died, batch = world.ask(lambda number: GetDeadLetter(number, 2), tuple[DeadLetterInfo, Death, Batch])
    assert (info.reason, info.queue, info.exchange, info.routing_key) == ("rejected", "ewr", "flights", "k")
    assert (info.message_id, info.cause, info.last_ms) == ("7-2", "KeyError: 'x'", WALL_MS)
    assert (bytes(batch.bodies), headers_of(batch), died.history) == (b"b", {"n": 1}, HISTORY)


def test_what_is_sent_again_is_not_buried_again_and_a_gap_is_refused(world: DeadLetterWorld) -> None:
    world.bury(b"a")
    world.bench.crash()
    assert world.bury(b"a", seq=1) == []
    assert world.ids() == [1]
    (note,) = world.bury(b"c", seq=3)
    assert isinstance(note, StoreNote)
    assert note.code == "gap"
    assert world.bury(b"c", seq=3, floor=3) == []
    assert world.status().buried == 2


def test_a_full_store_takes_nothing_and_says_so_until_there_is_room() -> None:
    world = DeadLetterWorld(StoreLimits(messages_max=2, disk_free_bytes_min=0))
    world.bury(b"a", b"b")
    (note,) = world.bury(b"c", seq=3)
    assert isinstance(note, StoreNote)
    assert (note.code, note.first_seq) == ("queue_full", 3)
    (note,) = world.bury(b"d", seq=4)
    assert isinstance(note, StoreNote)
    assert note.code == "gap", "order is kept: nothing passes what was refused"
    assert (world.status().is_full, world.status().refused, world.ids()) == (True, 1, [1, 2])
    assert world.ask(lambda number: PurgeDeadLetters(number, ALL), int) == 2
    assert world.bury(b"c", seq=3) == []
    assert world.ids() == [3]


def test_a_store_whose_disk_is_nearly_full_takes_nothing() -> None:
    world = DeadLetterWorld(StoreLimits(disk_free_bytes_min=1 << 62))
    (note,) = world.bury(b"a")
    assert isinstance(note, StoreNote)
    assert "disk" in note.text


@pytest.mark.parametrize("wrong", ["count", "no batch", "number"])
def test_a_burial_that_contradicts_itself_ends_the_session(world: DeadLetterWorld, wrong: str) -> None:
    good = burial(b"a")
    fields = {name: getattr(good, name) for name in good.__struct_fields__}
    no_batch = msgspec.Raw(messages.encode(Reply(1, messages.NIL)))
    faults: dict[str, dict[str, Any]] = {
        "count": {"count": 2},
        "no batch": {"batch": no_batch},
        "number": {"first_seq": 0},
    }
    fields |= faults[wrong]
    world.bench.deliver(world.source, good.__class__(**fields))
    assert world.source.endings == ["protocol_violation"]
    assert world.status().messages == 0


# ---- showing ----


def test_a_filter_means_what_it_says(world: DeadLetterWorld) -> None:
    world.bury(b"1", headers={"n": 1, "x": True})
    world.bury(b"2", queue="jfk", died_ms=WALL_MS + 10)
    world.bury(b"3", reason="expired", fingerprint="f2", headers={"n": 2})
    for wanted, ids in (
        (DeadLetterFilter(queue="jfk"), [2]),
        (DeadLetterFilter(reason="expired"), [3]),
        (DeadLetterFilter(fingerprint="f1"), [1, 2]),
        (DeadLetterFilter(after_ms=WALL_MS + 1), [2]),
        (DeadLetterFilter(before_ms=WALL_MS + 1), [1, 3]),
        (DeadLetterFilter(headers={"n": 1}), [1]),
        (DeadLetterFilter(headers={"x": 1}), []),
        (DeadLetterFilter(ids=(3, 1, 99)), [1, 3]),
        (DeadLetterFilter(queue="jfk", reason="expired"), []),
    ):
        assert world.ids(wanted) == ids, wanted
    assert [letter.id for letter in world.letters(limit=1, after=1)] == [2]


def test_thousands_of_letters_are_a_few_causes(world: DeadLetterWorld) -> None:
    for _ in range(3):
        world.bury(b"a", b"b")
    world.bury(b"c", fingerprint="f2", queue="jfk")
    found = world.ask(lambda number: ListCauses(number, ALL), list[Cause])
    assert [(cause.fingerprint, cause.count, cause.queues) for cause in found] == [
        ("f1", 6, ("ewr",)), ("f2", 1, ("jfk",)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (ListDeadLetters(1, ALL, 0), "invalid_argument"),
        (ListCauses(1, ALL, 10_000), "invalid_argument"),
        (GetDeadLetter(1, 7), "unknown_dead_letter"),
        (RedriveStatus(1, 7), "unknown_dead_letter"),
        (Redrive(1, ALL, rate=-1.0), "invalid_argument"),
        (Redrive(1, ALL, to="\n"), "invalid_argument"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(world: DeadLetterWorld, request_: Any, code: str) -> None:
    assert refusal(world, request_).code == code


def test_what_is_purged_is_gone_after_a_restart_too(world: DeadLetterWorld) -> None:
    world.bury(b"a", b"b", b"c")
    assert world.ask(lambda number: PurgeDeadLetters(number, DeadLetterFilter(ids=(2,))), int) == 1
    world.bench.crash(power=True)
    assert (world.ids(), world.status().purged) == ([1, 3], 1)
    assert world.ask(lambda number: PurgeDeadLetters(number, DeadLetterFilter(queue="jfk")), int) == 0


def test_letters_beyond_the_memory_are_listed_with_those_that_came_in_the_same_round() -> None:
    world = DeadLetterWorld(StoreLimits(memory_bytes_max=1, disk_free_bytes_min=0))
    world.bury(b"a")
    world.source.say(burial(b"b", seq=2))
    world.asker.say(ListDeadLetters(1, ALL, 10, 0))
    world.bench.run()
    (answer,) = world.asker.take_heard()
    found = result_of(answer, list[DeadLetterInfo])
    assert [(letter.id, letter.message_id) for letter in found] == [(1, "7-1"), (2, "7-2")]


# ---- sending back ----


def test_letters_return_to_their_queue_as_one_batch_that_keeps_their_ids(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    world.bury(b"a", b"b")
    world.bury(b"c")
    info = world.redrive()
    ((move, batch),) = restored(queue)
    assert (info.matched, batch.count, batch.first_seq, move.floor) == (3, 3, 1, 1)
    assert [message_id_of(batch, index) for index in range(3)] == ["7-1", "7-2", "7-3"]
    assert batch.options is not None
    assert (batch.options.dedup_id, batch.options.ttl_ms, batch.options.content_type) == (None, None, "t")
    assert (batch.exchange, batch.routing_key, bytes(batch.bodies)) == ("flights", "k", b"abc")
    assert world.look(info.id).state == "done"
    assert (world.status().messages, world.status().redriven) == (0, 3)
    world.bench.crash(power=True)
    assert world.status().messages == 0


def test_what_was_on_its_way_when_the_store_died_is_sent_again_under_its_number(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    queue.settles_at_once = False
    world.bury(b"a")
    world.bury(b"b", key="other")
    world.redrive()
    first = [(batch.stream, batch.first_seq, bytes(batch.bodies)) for _, batch in restored(queue)]
    assert [(seq, body) for _, seq, body in first] == [(1, b"a"), (2, b"b")]
    world.bench.crash(power=True)
    queue = world.bench.actor("queue:ewr", generation=2)
    again = [(batch.stream, batch.first_seq, bytes(batch.bodies)) for _, batch in restored(queue)]
    assert again == first
    assert world.status().messages == 0


def test_a_queue_that_refuses_leaves_them_in_the_store_and_the_redrive_stops(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    queue.settles_at_once = False
    world.bury(b"a")
    info = world.redrive()
    ((_, batch),) = restored(queue)
    queue.say(StoreNote(batch.stream, 1, 1, "queue_full", "the queue is full"))
    world.bench.run()
    queue.settle()
    world.bench.run()
    told = world.look(info.id)
    assert (told.state, told.moved, told.returned) == ("stopped", 0, 1)
    assert "full" in told.text
    queue.settles_at_once = True
    assert world.ids() == [1]
    world.bench.crash()
    queue = world.bench.actor("queue:ewr", generation=2)
    world.redrive()
    ((move, batch),) = restored(queue)
    assert (batch.first_seq, move.floor) == (2, 2), "a number is never used for anything else"


def test_a_redrive_to_a_queue_that_does_not_exist_is_refused_and_moves_nothing(world: DeadLetterWorld) -> None:
    world.bury(b"a")
    world.bench.down("queue:nowhere", "unknown", "no such child")
    assert world.bench.deliver(world.asker, Redrive(5, ALL, to="nowhere")) == []
    assert world.answer("ewr") == ["nowhere"]
    (answer,) = world.asker.take_heard()
    assert isinstance(answer, Failed)
    assert answer.code == "unknown_queue"
    world.bench.down("queue:sick", "quarantined", "it crashed too often")
    assert refusal(world, Redrive(6, ALL, to="sick")).code == "actor_down"
    assert world.ids() == [1]


def test_letters_whose_queue_was_deleted_stay_and_the_others_go(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:jfk")
    world.bench.down("queue:ewr", "unknown", "no such child")
    world.bury(b"a")
    world.bury(b"b", queue="jfk")
    info = world.redrive()
    world.bench.run()
    assert [bytes(batch.bodies) for _, batch in restored(queue)] == [b"b"]
    assert world.look(info.id).returned == 0, "the supervisor's word is not enough"
    world.answer("jfk")
    told = world.look(info.id)
    assert (told.moved, told.returned, told.state) == (1, 1, "stopped")
    assert world.ids() == [1]


def test_elsewhere_means_elsewhere_and_a_dry_run_means_nothing(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:other")
    world.bury(b"a")
    assert (world.redrive(dry_run=True).matched, world.redrive(dry_run=True).state) == (1, "dry_run")
    assert world.status().messages == 1
    world.bench.deliver(world.asker, Redrive(70, ALL, to="other"))
    assert [bytes(batch.bodies) for _, batch in restored(queue)] == [b"a"]


def test_the_same_request_asked_again_is_the_same_redrive(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    world.bury(b"a")
    (one,) = world.bench.deliver(world.asker, Redrive(9, ALL))
    world.bury(b"b")
    (other,) = world.bench.deliver(world.asker, Redrive(9, ALL))
    assert isinstance(one, Reply)
    assert isinstance(other, Reply)
    assert len(restored(queue)) == 1
    assert world.ids() == [2]


def test_a_rate_spreads_them_over_time_and_it_can_be_stopped_by_hand(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    for _ in range(5):
        world.bury(b"a")
    info = world.redrive(rate=10.0)
    assert len(restored(queue)) == 1
    world.bench.advance(250)
    assert len(restored(queue)) == 2
    assert world.look(info.id, stop=True).state == "stopped"
    world.bench.advance(1_000)
    assert restored(queue) == []
    assert world.status().messages == 2


def canaries(world: DeadLetterWorld, queue: Peer) -> tuple[int, Batch]:
    """Two canaries of five letters are on their way, and their queue tells where they are."""
    for _ in range(5):
        world.bury(b"x")
    info = world.redrive(canary=2)
    ((move, batch),) = restored(queue)
    assert batch.count == 2
    queue.say(Reply(move.request, msgspec.Raw(messages.encode(11))))
    world.bench.advance(250)
    return info.id, batch


def looks(queue: Peer) -> list[LookAfter]:
    return [message for message in queue.take_heard() if isinstance(message, LookAfter)]


def test_canaries_that_are_acked_let_the_rest_go(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    job, _ = canaries(world, queue)
    (look,) = looks(queue)
    assert (look.first_offset, look.last_offset) == (11, 12)
    queue.say(Reply(look.request, msgspec.Raw(messages.encode([0, 0]))))
    world.bench.run()
    assert [batch.count for _, batch in restored(queue)] == [3]
    assert world.look(job).state == "done"


def test_canaries_that_fail_stop_it_and_the_rest_stays(world: DeadLetterWorld) -> None:
    queue = world.bench.actor("queue:ewr")
    job, sent = canaries(world, queue)
    (look,) = looks(queue)
    queue.say(Reply(look.request, msgspec.Raw(messages.encode([2, 1]))))
    world.bench.run()
    assert world.look(job).state == "canary", "a failed attempt is no outcome: the next may be acked"
    world.die_again(slice_batch(sent, 1, 2))
    told = world.look(job)
    assert (told.state, told.moved, told.failed) == ("stopped", 2, 1)
    assert world.status().messages == 4


# ---- the journal ----


def test_old_letters_do_not_pin_the_journal_and_survive_being_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter, "COMPACT_RATIO", 0)
    small = JournalSettings(segment_bytes_first=4096, segment_bytes_max=4096, preallocate=False)
    world = DeadLetterWorld(LIMITS._replace(compact_bytes_min=1), setting=Setting(journal=small))
    queue = world.bench.actor("queue:ewr")
    queue.settles_at_once = False
    world.bury(b"old", b"leaving")
    world.bench.deliver(world.asker, Redrive(80, DeadLetterFilter(ids=(2,))))
    for number in range(60):
        world.bury(b"x" * 400)
        world.ask(lambda request, last=number + 3: PurgeDeadLetters(request, DeadLetterFilter(ids=(last,))), int)
    assert world.status().journal_bytes < 30_000
    (before,) = restored(queue)
    world.bench.crash(power=True)
    queue = world.bench.actor("queue:ewr", generation=2)
    (after,) = restored(queue)
    assert (after[1].stream, after[1].first_seq) == (before[1].stream, before[1].first_seq)
    assert world.ids() == [1]
    assert world.bury(b"again", seq=60) == []
    assert world.status().buried == 62


def test_a_stream_is_known_by_its_last_number_only(world: DeadLetterWorld) -> None:
    world.bury(b"a")
    assert world.bench.deliver(world.source, burial(b"a", seq=1, stream=STREAM + 1)) == []
    assert world.ids() == [1, 2]

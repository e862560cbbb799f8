"""The scheduler's core, by example: what it takes and refuses, keys, turns, ends. The model test does the rest."""

from __future__ import annotations

import msgspec
import pytest

from posthouse.actors import delay_records as records
from posthouse.actors.delay_contents import RECENT_BATCHES_MAX, DelayContents
from posthouse.actors.delay_ledger import FAILED, FIRING
from posthouse.actors.delay_records import Counters, KeptHead, Kind, Mark
from posthouse.actors.delay_state import ON_WAY_MAX
from posthouse.transport import messages
from posthouse.transport.errors import InvalidArgument, JournalCorrupt, UnknownDelayed
from posthouse.transport.limits import DELAY_MS_MAX
from posthouse.transport.messages import Options
from tests.support.delay_samples import NOW_MS, Desk, delayed_batch, waiting


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (delayed_batch(1, 2, key="k"), "share a schedule_key"),
        (delayed_batch(1, key=""), "1 to 255 bytes"),
        (delayed_batch(1, key="é" * 128), "1 to 255 bytes"),
        (delayed_batch(1, DELAY_MS_MAX + 1), "at most a century"),
        (delayed_batch(1, -NOW_MS), "milliseconds since 1970"),
        (msgspec.structs.replace(delayed_batch(1), options=None), "no deliver_at_ms"),
        (msgspec.structs.replace(delayed_batch(1), options=Options()), "no deliver_at_ms"),
        (msgspec.structs.replace(delayed_batch(1), due=None), "no times of its own"),
        (msgspec.structs.replace(delayed_batch(1), due=memoryview(b"1234567")), "8 bytes for each"),
        (msgspec.structs.replace(delayed_batch(1), due=memoryview(b"\xff" * 8)), "milliseconds since 1970"),
        (delayed_batch(1, options=Options(deliver_at_ms=5)), "8 bytes for each"),
        (msgspec.structs.replace(delayed_batch(1), options=Options(deliver_at_ms=1 << 63), due=None), "own"),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(batch: messages.Batch, says: str) -> None:
    desk = Desk()
    with pytest.raises(InvalidArgument, match=says):
        desk.store(batch)
    assert (desk.journal, waiting(desk.state), desk.state.next_due()) == ([], {}, 0)


def test_a_time_that_has_passed_is_due_at_once() -> None:
    desk = Desk()
    desk.store(delayed_batch(-5_000))
    assert desk.state.take_due(NOW_MS, 10) == [(1, NOW_MS - 5_000)]


def test_a_batch_sent_again_is_not_taken_twice_and_gets_its_ids_again() -> None:
    desk = Desk()
    batch = delayed_batch(1, 2, 3)
    assert desk.store(batch) == desk.store(batch) == 1
    assert desk.restart().admit(batch, NOW_MS).first_id == 1
    assert len(desk.journal) == 1


def test_of_a_batch_that_is_known_in_part_the_rest_is_taken() -> None:
    desk = Desk()
    desk.store(delayed_batch(1, 2))
    desk.store(delayed_batch(1, 2, 30, 40))
    assert waiting(desk.state) == {1: NOW_MS + 1, 2: NOW_MS + 2, 3: NOW_MS + 30, 4: NOW_MS + 40}


def test_ids_of_old_batches_are_forgotten_in_the_end() -> None:
    contents = DelayContents()
    for number in range(RECENT_BATCHES_MAX + 1):
        contents.remember(7, 1 + number, 1 + number)
    assert (7, 1) not in contents.recent
    assert len(contents.recent) == RECENT_BATCHES_MAX


def test_another_message_with_the_same_key_takes_its_place() -> None:
    desk = Desk()
    desk.store(delayed_batch(100, key="k"))
    desk.store(delayed_batch(500, first_seq=2, key="k"))
    for state in (desk.state, desk.restart(repeats=2)):
        assert waiting(state) == {2: NOW_MS + 500}
        assert state.find(0, "k") == 2
        assert state.contents.counters.replaced == 1
    desk.cancel(2)
    with pytest.raises(UnknownDelayed, match="with the key 'k'"):
        desk.state.find(0, "k")


def test_a_key_whose_message_is_leaving_names_the_next_one_and_both_are_published() -> None:
    desk = Desk()
    desk.store(delayed_batch(1, key="k"))
    move = desk.announce([one for one, _ in desk.state.take_due(NOW_MS + 1, 10)], NOW_MS + 1)
    with pytest.raises(UnknownDelayed, match="at this moment"):
        desk.state.find(0, "k")
    desk.store(delayed_batch(500, first_seq=2, key="k"))
    assert waiting(desk.state) == {1: FIRING, 2: NOW_MS + 500}
    desk.returned(move, NOW_MS + 5_000)
    desk.cancel(1)
    assert desk.state.find(0, "k") == 2
    assert desk.restart().find(0, "k") == 2


def test_what_was_cancelled_fired_or_never_there_is_unknown() -> None:
    desk = Desk()
    desk.store(delayed_batch(1, 2))
    desk.cancel(1)
    for message_id in (0, 1, 3):
        with pytest.raises(UnknownDelayed):
            desk.cancel(message_id)
    assert desk.state.contents.counters.cancelled == 1


def test_a_failed_message_says_why_and_can_be_tried_again() -> None:
    desk = Desk()
    desk.store(delayed_batch(1, 1, 99))
    desk.state.take_due(NOW_MS + 1, 10)
    desk.failed(desk.announce([1, 2], NOW_MS + 1))
    for state in (desk.state, desk.restart(repeats=2)):
        assert state.contents.failures == {1: ("unroutable", "no queue"), 2: ("unroutable", "no queue")}
        assert [one for one, _ in state.in_order(None)] == [3, 1, 2]
        assert [one for one, _ in state.in_order("flights")] == [3, 1, 2]
        assert list(state.in_order("other")) == []
    desk.reschedule(1, NOW_MS + 7)
    desk.cancel(2)
    assert desk.restart().contents.failures == {}
    assert waiting(desk.state) == {1: NOW_MS + 7, 3: NOW_MS + 99}


def test_the_same_time_again_changes_nothing() -> None:
    desk = Desk()
    desk.store(delayed_batch(100))
    desk.reschedule(1, NOW_MS + 100)
    assert desk.state.take_due(NOW_MS + 100, 10) == [(1, NOW_MS + 100)]


def test_an_exchange_with_enough_on_its_way_holds_up_no_other() -> None:
    desk = Desk()
    for number in range(9):
        desk.store(delayed_batch(*[1] * 1_000, first_seq=1 + 1_000 * number, exchange="slow"))
    desk.store(delayed_batch(2, stream=2, exchange="quick"))
    state = desk.state
    taken = state.take_due(NOW_MS + 2, 20_000)
    assert len(taken) == ON_WAY_MAX + 1
    assert taken[-1][0] == 9_001, "the one for the quick exchange"
    move = desk.announce([one for one, _ in taken[:-1]], NOW_MS + 2)
    assert [state.has_turn_waiting] == [False]
    assert state.take_due(NOW_MS + 2, 20_000) == []
    assert len(list(state.in_order("slow"))) == 9_000
    assert len(list(state.in_order(None))) == 9_000, "the quick one was taken and is not announced yet"
    state.cancel(state.find(8_500, None))
    desk.fired(move)
    assert [state.has_turn_waiting] == [True]
    due = [one for one, _ in state.take_due(NOW_MS + 2, 20_000)]
    assert due == [one for one in range(ON_WAY_MAX + 1, 9_001) if one != 8_500]
    assert [state.has_turn_waiting] == [False]


def test_replay_begins_anywhere_and_resurrects_nothing() -> None:
    desk = Desk()
    desk.store(delayed_batch(1, 1, stream=5))
    desk.state.take_due(NOW_MS + 1, 10)
    move = desk.announce([1, 2], NOW_MS + 1)
    desk.append(Kind.MARK, records.encode(desk.state.mark()))
    desk.fired(move)
    desk.append(Kind.FAILED, records.encode(records.Failed(9, 9, "unroutable", "")))
    desk.append(Kind.RETURNED, records.encode(records.Returned(9, 9, 5)))
    desk.store(delayed_batch(50, first_seq=3, stream=5))
    for start in (1, 2, 3):
        state = desk.restart(start=start)
        assert waiting(state) == {3: NOW_MS + 50}
        assert state.contents.next_id == 4
        assert len(state.contents.moves) == 0
        assert state.contents.streams.last(5) == 3


@pytest.mark.parametrize("end", ["fired", "not told", "failed", "returned"])
def test_a_move_of_which_a_part_has_left_the_journal_is_still_one_move(end: str) -> None:
    """Its messages were stored apart, and the older segment went when nothing in it waited any more."""
    desk = Desk()
    desk.store(delayed_batch(1))
    desk.store(delayed_batch(1, 9, stream=2))
    desk.state.take_due(NOW_MS + 1, 10)
    move = desk.announce([1, 2], NOW_MS + 1)
    left = {"fired": {}, "not told": {}, "failed": {2: FAILED}, "returned": {2: NOW_MS + 5}}[end]
    if end == "fired":
        desk.fired(move)
    elif end == "failed":
        desk.failed(move)
        desk.cancel(1)
    elif end == "returned":
        desk.returned(move, NOW_MS + 5)
        desk.state.take_due(NOW_MS + 5, 1)
        desk.fired(desk.announce([1], NOW_MS + 5))
    state = desk.restart(start=2)
    assert waiting(state) == {3: NOW_MS + 9} | left
    assert len(state.contents.moves) == 0
    assert state.contents.counters.fired == {"fired": 2, "not told": 1, "failed": 0, "returned": 0}[end]


def test_what_was_copied_forward_is_where_and_what_it_was() -> None:
    desk = Desk()
    desk.store(delayed_batch(100, 200, 300))
    desk.store(delayed_batch(400, first_seq=4, key="k"))
    copied = messages.encode(delayed_batch(0, 0))
    keyed = messages.encode(delayed_batch(0, key="k"))
    reason = ("unroutable", "no queue")
    desk.append(Kind.MARK, records.encode(Mark(9, [1, 4], Counters(accepted=8))))
    head = KeptHead([1, 3], [NOW_MS + 150, 0], reason)
    desk.append(Kind.KEPT, *records.encode_kept(head, copied))
    desk.append(Kind.KEPT, *records.encode_kept(KeptHead([4], [NOW_MS + 400]), keyed))
    for start in (1, 3):
        state = desk.restart(start=start)
        found = waiting(state)
        assert (found[1], found[3], found[4]) == (NOW_MS + 150, FAILED, NOW_MS + 400)
        assert state.contents.failures == {3: reason}
        assert (state.ledger.place(3).position, state.ledger.place(3).at) == (4, 1)
        assert state.find(0, "k") == 4
        assert state.contents.next_id == 9
    assert set(found) == {1, 3, 4}


def test_a_journal_that_makes_no_sense_is_corruption() -> None:
    replay = Desk().state.replay
    good = messages.encode(delayed_batch(1))
    wrong = [
        (99, b""),
        (Kind.STORE, b"".join(records.encode_store(1, b"\xc1"))),
        (Kind.STORE, b"".join(records.encode_store(1, messages.encode(messages.Purge(1))))),
        (
            Kind.STORE,
            b"".join(records.encode_store(1, messages.encode(msgspec.structs.replace(delayed_batch(1), due=None)))),
        ),
        (Kind.KEPT, b"".join(records.encode_kept(KeptHead([1, 2], [3, 4]), good))),
    ]
    for kind, payload in wrong:
        with pytest.raises(JournalCorrupt):
            replay.record(1, kind, memoryview(payload))


@pytest.mark.parametrize("end", ["fired", "failed", "returned"])
def test_a_move_of_which_one_record_is_gone_with_its_segment_is_done_with_as_the_journal_says(end: str) -> None:
    desk = Desk()
    desk.store(delayed_batch(10))
    desk.store(delayed_batch(10, first_seq=2))
    move = desk.announce([message_id for message_id, _ in desk.state.take_due(NOW_MS + 10, 10)], NOW_MS + 10)
    if end == "fired":
        desk.fired(move)
    elif end == "failed":
        desk.failed(move)
        desk.cancel(1)
    else:
        desk.returned(move, NOW_MS + 500)
        desk.cancel(1)
    state = desk.restart(start=2)
    assert waiting(state) == ({} if end == "fired" else {2: FAILED if end == "failed" else NOW_MS + 500})
    assert len(state.contents.moves) == 0

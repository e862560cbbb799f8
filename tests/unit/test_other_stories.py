"""What is told of a message from the journals of exchanges, of the scheduler, and of the dead letters."""

from __future__ import annotations

from array import array

from posthouse.actors import dead_letter_records, delay_records, held_records
from posthouse.actors.dead_letter_records import Grave, Leaving, Noted
from posthouse.actors.delay_records import Burial, Failed, Fire, KeptHead, Occurred, Rescheduled, Returned
from posthouse.actors.held_records import LeavingRecord, RoadRecord
from posthouse.biography.delay_story import DelayStory
from posthouse.biography.grave_story import GraveStory
from posthouse.biography.held_story import HeldStory
from posthouse.biography.wanted import Wanted
from posthouse.transport.messages import Options
from posthouse.transport.messages_dead import Attempt
from tests.support.biography_samples import START_MS, Line, attempt, death, feed, sample_message

Held = held_records.Kind
Delay = delay_records.Kind
Dead = dead_letter_records.Kind


# ---- held ----


def held(ms: int, number: int = 1, kind: Held = Held.HELD) -> Line:
    return Line(ms, kind, b"".join(held_records.encode_held(number, START_MS + ms, 0, sample_message(3))))


def set_out(ms: int, *roads: RoadRecord, reason: str = "", start: int = 0) -> Line:
    record = LeavingRecord([1, start, 3], list(roads), reason, START_MS + ms)
    return Line(ms, Held.LEAVING, held_records.encode(record))


def test_held_released_and_landed_at_each_queue() -> None:
    story = HeldStory("flights", Wanted("a1-2"))
    lines = [
        held(5),
        set_out(60, RoadRecord("ewr", 1, 0xB1, 21), RoadRecord("jfk", 2, 0xB2, 41)),
        set_out(61, RoadRecord("ewr", 1, 0xB1, 21), RoadRecord("jfk", 2, 0xB2, 41)),
        Line(70, Held.LANDED, held_records.encode_numbers([0xB1, 21, 23])),
        Line(71, Held.LANDED, held_records.encode_numbers([0xB2, 41, 41, 0xB2, 42, 43])),
    ]
    assert feed(story, lines) == [(5, "held"), (60, "released"), (70, "landed"), (71, "landed")]
    assert story.moves.keys() == {(0xB1, 22), (0xB2, 42)}
    assert story.events[1].details["queues"] == ["ewr", "jfk"]
    assert story.now == ["exchange 'flights': left: queue 'jfk' has it on disk"]


def test_held_in_vain_and_held_again_when_the_queue_went() -> None:
    story = HeldStory("flights", Wanted("a1-3"))
    lines = [
        held(5),
        set_out(60, RoadRecord("ewr", 1, 0xB1, 21)),
        Line(61, Held.ABANDONED, held_records.encode_numbers([0xB1])),
        set_out(90, RoadRecord("", 0, 0xB3, 1), reason="no_subscriber"),
    ]
    assert feed(story, lines) == [(5, "held"), (60, "released"), (61, "held"), (90, "died")]
    assert story.events[-1].marks == ("sent b3-3",)


def test_what_left_before_is_not_in_a_later_leaving() -> None:
    story = HeldStory("flights", Wanted("a1-1"))
    assert feed(story, [held(5, kind=Held.KEPT), set_out(60, RoadRecord("ewr", 1, 0xB1, 21), start=1)]) == [(5, "held")]


# ---- delayed ----


def stored_for_later(ms: int, due_ms: int, ids: list[str | None] | None = None) -> Line:
    due = memoryview(array("Q", [START_MS + due_ms] * 3)).cast("B")
    raw = sample_message(3, ids=ids, options=Options(deliver_at_ms=0), due=due)
    return Line(ms, Delay.STORE, b"".join(delay_records.encode_store(31, raw)))


def fire(ms: int, ids: list[int], first_seq: int = 1) -> Line:
    return Line(ms, Delay.FIRE, delay_records.encode(Fire("flights", 0xC1, first_seq, START_MS + ms + 9, ids)))


def test_a_message_without_a_name_gets_another_when_it_leaves_and_is_found_by_either() -> None:
    for name in ("a1-2", "c1-1"):
        wanted = Wanted(name)
        story = DelayStory(wanted)
        lines = [
            stored_for_later(5, 500),
            fire(491, [32, 33]),
            Line(600, Delay.FIRED, delay_records.encode([(0xC1, 1, 2)])),
        ]
        assert feed(story, lines) == [(5, "scheduled"), (491, "due"), (600, "fired")]
        assert set(wanted.ids) == {"a1-2", "c1-1"}
        assert story.moves.keys() == {(0xC1, 1)}
        assert story.events[1].marks == ("sent c1-1",)


def test_a_chosen_name_stays() -> None:
    wanted = Wanted("order-2")
    feed(DelayStory(wanted), [stored_for_later(5, 500, [None, "order-2", None]), fire(491, [31, 32, 33])])
    assert list(wanted.ids) == ["order-2"]


def test_refused_put_off_rescheduled_and_cancelled() -> None:
    story = DelayStory(Wanted("a1-2"))
    lines = [
        stored_for_later(5, 500),
        fire(491, [32]),
        Line(510, Delay.RETURNED, delay_records.encode(Returned(0xC1, 1, START_MS + 900))),
        Line(600, Delay.RESCHEDULED, delay_records.encode(Rescheduled(32, START_MS + 5_000))),
        fire(4_990, [32], first_seq=2),
        Line(5_010, Delay.FAILED, delay_records.encode(Failed(0xC1, 2, "unknown_exchange", "no such exchange"))),
        Line(6_000, Delay.CANCELLED, delay_records.encode([32])),
    ]
    what = ["scheduled", "due", "waits", "rescheduled", "due", "failed", "cancelled"]
    assert [one for _, one in feed(story, lines)] == what


def test_refused_for_good_it_goes_to_the_dead_letters() -> None:
    wanted = Wanted("a1-2")
    story = DelayStory(wanted)
    lines = [
        stored_for_later(5, 500),
        fire(491, [32]),
        Line(510, Delay.FAILED, delay_records.encode(Failed(0xC1, 1, "unknown_exchange", "gone"))),
        Line(
            520, Delay.BURY, delay_records.encode(Burial(0xD1, 4, START_MS + 519, "unknown_exchange", "gone", [31, 32]))
        ),
        Line(530, Delay.BURIED, delay_records.encode([4])),
    ]
    assert feed(story, lines)[2:] == [(510, "failed"), (519, "died"), (530, "dead_lettered")]
    assert "d1-5" in wanted.ids


def test_a_copy_and_a_message_of_a_schedule() -> None:
    kept = delay_records.encode_kept(KeptHead([32], [START_MS + 500]), sample_message(1, stream=0, ids=["order-2"]))
    assert feed(DelayStory(Wanted("order-2")), [Line(5, Delay.KEPT, b"".join(kept))]) == [(5, "kept")]
    due = memoryview(array("Q", [START_MS + 500])).cast("B")
    made = sample_message(1, stream=0, options=Options(deliver_at_ms=0), due=due)
    occurred = b"".join(delay_records.encode_occurred(Occurred(40, 7, START_MS + 500), made))
    wanted = Wanted("c1-1")
    story = DelayStory(wanted)
    assert feed(story, [Line(5, Delay.OCCURRED, occurred), fire(491, [40])]) == [(5, "scheduled"), (491, "due")]
    assert "made by a recurring schedule" in story.events[0].text
    assert list(wanted.ids) == ["c1-1"]


# ---- dead ----


def buried(ms: int, kind: Dead = Dead.BURIED) -> Line:
    grave = Grave(0xB2, 11, death(ms - 1, attempt(1, 11), attempt(2, 39)))
    return Line(ms, kind, b"".join(dead_letter_records.encode_buried(17, grave, sample_message(3))))


def leaving(ms: int, key: str, redrive: int) -> Line:
    record = Leaving(key, 0xE1, 101, [16, 17, 18, 18], redrive)
    return Line(ms, Dead.LEAVING, dead_letter_records.encode_leaving(record))


def test_buried_redriven_and_arrived() -> None:
    story = GraveStory(Wanted("a1-2"))
    lines = [
        buried(50),
        leaving(90, "ewr", 3),
        leaving(91, "ewr", 3),
        Line(99, Dead.LEFT, dead_letter_records.encode_ranges([(16, 18)])),
    ]
    assert feed(story, lines) == [(50, "buried"), (90, "redrive"), (99, "redriven")]
    assert story.events[0].text == "dead letter 18: attempts_exhausted, KeyError: 'amount'"
    assert (story.events[0].after, story.events[0].marks) == (("sent b2-12",), ("arrived b2-12",))
    assert story.moves == {(0xE1, 103): "redriven by redrive 3"}
    assert story.events[2].after == ("arrived e1-103",)
    assert [one.attempt for _, one in story.failures] == [1, 2]


def test_sent_on_to_a_dead_letter_exchange_in_vain_and_purged() -> None:
    story = GraveStory(Wanted("a1-2"))
    remark = Attempt(attempt=0, at_ms=START_MS + 96, consumer="", how="republish", error="no queue has it")
    lines = [
        buried(50, Dead.MOVED),
        leaving(90, "\x1f3\x1fgraves", 0),
        Line(95, Dead.RETURNED, dead_letter_records.encode_ranges([(18, 18)])),
        Line(96, Dead.NOTED, dead_letter_records.encode_noted(Noted([18, 18], remark))),
        Line(99, Dead.PURGED, dead_letter_records.encode_ranges([(1, 900)])),
    ]
    what = [(49, "buried"), (90, "republish"), (95, "returned"), (96, "noted"), (99, "purged")]
    assert feed(story, lines) == what
    assert "exchange 'graves'" in story.events[1].text
    assert story.now == ["dead letter 18: purged"]

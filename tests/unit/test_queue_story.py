"""What is told of a message from its queue's journal."""

from __future__ import annotations

import pytest

from posthouse.actors import queue_records
from posthouse.actors.queue_records import ExpiresRecord, Kind, LeavingRecord
from posthouse.biography.queue_story import PLACES_MAX, QueueStory
from posthouse.biography.wanted import Wanted
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages_dead import Attempt
from tests.support.biography_samples import (
    START_MS,
    Line,
    attempt,
    death,
    feed,
    given,
    ranges,
    sample_message,
    store,
)

SECOND = "a1-2"
RAW = sample_message(3)


def story(message_id: str = SECOND) -> QueueStory:
    return QueueStory("ewr", Wanted(message_id))


def retry(ms: int, due_ms: int, offset: int, *attempts: Attempt) -> Line:
    payload = queue_records.encode_retry(due_ms and START_MS + due_ms, attempts, [(offset, offset)])
    return Line(ms, Kind.RETRY, payload)


def moved(ms: int, live: list[int]) -> Line:
    return Line(ms, Kind.MOVED, b"".join(queue_records.encode_moved(7, live, RAW)))


def test_stored_given_and_acked_by_whom_and_when() -> None:
    it = story()
    lines = [store(5, 7, RAW), given(9, 7, 9), ranges(20, Kind.SETTLED, 7, 8)]
    assert feed(it, lines) == [(5, "stored"), (9, "delivered"), (20, "acked")]
    assert it.events[0].details["offset"] == 8
    assert [told.text for told in it.events[1:]] == ["given to till, attempt 1", "acked by till"]
    assert it.now == ["queue 'ewr', offset 8: acked by till"]
    (copy,) = it.copies
    assert (copy.message_id, copy.exchange, copy.size, copy.at_ms) == (SECOND, "flights", 4, START_MS + 5)


def test_the_others_of_its_batch_are_not_in_its_story() -> None:
    it = story()
    lines = [store(5, 7, RAW), given(9, 7, 7), ranges(20, Kind.SETTLED, 9, 9), ranges(21, Kind.PURGED, 1, 7)]
    assert feed(it, lines) == [(5, "stored")]
    assert it.now == ["queue 'ewr', offset 8: ready"]


def test_a_name_that_its_publisher_chose() -> None:
    it = story("order-17")
    assert feed(it, [store(5, 7, sample_message(3, ids=[None, None, "order-17"]))]) == [(5, "stored")]
    assert it.events[0].details["offset"] == 9


def test_a_number_counts_only_where_no_name_was_chosen() -> None:
    it = story(SECOND)
    assert feed(it, [store(5, 7, sample_message(3, ids=[None, "order-17", None]))]) == []
    assert not it.is_found


def test_auto_ack_is_a_delivery_and_an_ack() -> None:
    it = story()
    assert feed(it, [store(5, 7, RAW), given(9, 7, 9, kind=Kind.TAKEN)]) == [
        (5, "stored"),
        (9, "delivered"),
        (9, "acked"),
    ]


def test_a_failure_a_pause_and_the_next_attempt() -> None:
    it = story()
    lines = [store(5, 7, RAW), given(9, 7, 9), retry(12, 500, 8, attempt(1, 11)), given(500, 8, 8)]
    assert feed(it, lines) == [(5, "stored"), (9, "delivered"), (11, "failed"), (11, "waits"), (500, "delivered")]
    assert it.events[2].text == "attempt 1 was given back (nack) by till: KeyError: 'amount'"
    assert it.events[3].text.startswith("waits until 2023-11-14 22:13:20.500 UTC")
    assert it.events[4].text == "given to till, attempt 2"


def test_a_consumer_that_is_gone_is_a_failure_and_the_message_ready_at_once() -> None:
    it = story()
    lines = [store(5, 7, RAW), given(9, 7, 9), retry(12, 0, 8, attempt(1, 11, "consumer_gone"))]
    assert [what for _, what in feed(it, lines)] == ["stored", "delivered", "failed", "requeued"]
    assert "its consumer was gone" in it.events[2].text
    assert it.now == ["queue 'ewr', offset 8: ready again"]


def test_the_end_of_the_queues_process_is_told_once_by_the_next_life() -> None:
    it = story()
    lines = [
        store(5, 7, RAW),
        given(9, 7, 9),
        Line(80, Kind.SETTLED, queue_records.encode_ranges([(7, 7)]), generation=4),
        given(90, 8, 8, "other", generation=4),
    ]
    assert feed(it, lines) == [(5, "stored"), (9, "delivered"), (80, "restarted"), (90, "delivered")]
    assert "generation 1) ended while till held it, and generation 4 goes on" in it.events[2].text
    assert it.events[3].text == "given to other, attempt 2"


def test_a_message_given_twice_in_one_life_came_back_without_a_word() -> None:
    it = story()
    found = feed(it, [store(5, 7, RAW), given(9, 7, 9), given(30, 8, 8)])
    assert found == [(5, "stored"), (9, "delivered"), (0, "returned"), (30, "delivered")]


def test_death_tells_the_last_failure_too_and_is_told_once() -> None:
    it = story()
    record = LeavingRecord(0xB2, 11, 8, 8, death(40, attempt(1, 11), attempt(2, 39)))
    leaving = queue_records.encode_leaving(record)
    lines = [
        store(5, 7, RAW),
        given(9, 7, 9),
        retry(12, 30, 8, attempt(1, 11)),
        given(31, 8, 8),
        Line(40, Kind.LEAVING, leaving),
        Line(41, Kind.LEAVING, leaving),
        ranges(50, Kind.LEFT, 8, 8),
    ]
    found = [what for _, what in feed(it, lines)]
    assert found == ["stored", "delivered", "failed", "waits", "delivered", "failed", "died", "dead_lettered"]
    assert it.events[6].marks == ("sent b2-11",)
    assert it.events[7].after == ("arrived b2-11",)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (Kind.REJECTED, "gone"),
        (Kind.PURGED, "purged"),
        (Kind.EXPIRED, "expired"),
        (Kind.DROPPED, "dropped"),
        (Kind.LATE, "late"),
    ],
)
def test_every_other_end(kind: Kind, what: str) -> None:
    it = story()
    assert feed(it, [store(5, 7, RAW), ranges(9, kind, 8, 8), ranges(10, kind, 8, 8)])[1:] == [(9, what)]


def test_a_time_to_live_is_part_of_the_storing() -> None:
    it = story()
    expires = queue_records.encode_expires(ExpiresRecord(START_MS + 1_000, 7, 9))
    feed(it, [store(5, 7, RAW), Line(5, Kind.EXPIRES, expires)])
    assert it.events[0].details["expires_at"] == "2023-11-14 22:13:21.000 UTC"


def test_a_copy_tells_how_often_it_was_given_when_the_beginning_is_gone() -> None:
    it = story()
    lines = [ranges(3, Kind.DELIVERED, 8, 8), moved(60, [8, 9, 2]), given(70, 8, 8)]
    assert feed(it, lines) == [(3, "delivered"), (60, "kept"), (0, "returned"), (70, "delivered")]
    assert "Given 2 times until here" in it.events[1].text
    assert it.events[-1].text == "given to till, attempt 3"


def test_a_copy_behind_the_storing_says_nothing_new() -> None:
    it = story()
    lines = [store(5, 7, RAW), given(9, 7, 9), retry(12, 0, 8, attempt(1, 11)), moved(60, [8, 8, 1])]
    lines.append(retry(61, 0, 8, attempt(1, 11)))
    assert [what for _, what in feed(it, lines)] == ["stored", "delivered", "failed", "requeued"]


def test_a_name_of_very_many_messages_is_told_of_the_first() -> None:
    it = story("all")
    lines = [store(5, 1 + 3 * n, sample_message(3, first_seq=1 + 3 * n, ids=["all"] * 3)) for n in range(50)]
    assert len(feed(it, lines)) == PLACES_MAX
    assert it.notes == ["queue:ewr has more than 100 messages of that name; these are the first"]


def test_a_record_that_makes_no_sense_is_corruption() -> None:
    it = story()
    with pytest.raises(JournalCorrupt):
        feed(it, [Line(1, Kind.STORE, b"12345678no batch")])

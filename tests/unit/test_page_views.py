"""What pages show, by example: figures as words, pictures as numbers, harmless bodies, fields, lists, attention."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, final

import pytest

from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_alerts import Alert
from posthouse.transport.messages_monitor import ActorReading, BrokerEvent, Machine, Overview
from posthouse.web.pages import words
from posthouse.web.pages.attention import matters
from posthouse.web.pages.bodies import shown_body
from posthouse.web.pages.delayed import axis
from posthouse.web.pages.drawing import SPARK_POINTS_MAX, columns, quantile, spark
from posthouse.web.pages.events import wanted
from posthouse.web.pages.fields import Fields
from posthouse.web.pages.journals import row_of
from posthouse.web.pages.listing import Listing
from posthouse.web.pages.notes import NOTES_MAX, Note, Notes
from posthouse.web.pages.overview import headline
from posthouse.web.pages.snapshot import FRESH_S, Snapshot, Snapshots
from posthouse.web.pages.tree import ROWS_MAX, groups
from posthouse.web.pages.visit import url
from tests.support.page_broker import NOW_MS, OVERVIEW, PageBroker, queue_reading

# ---- words ----


def test_figures_have_no_more_digits_than_mean_something() -> None:
    assert [words.rate(value) for value in (0.01, 0.3, 9.94, 12.4, 1204.0)] == ["0", "0.3", "9.9", "12", "1,204"]
    assert [words.span(value) for value in (0.0004, 0.012, 1.25, 75)] == ["0.4 ms", "12 ms", "1.2 s", "1 min 15 s"]
    assert [words.share(value) for value in (0.0, 0.004, 0.03, 1.0)] == ["0 %", "0.4 %", "3 %", "100 %"]
    assert [words.plural(number, "message") for number in (1, 12_304)] == ["1 message", "12,304 messages"]


def test_a_moment_is_told_beside_now_and_in_full() -> None:
    then = words.when_ms(NOW_MS - 90_000, NOW_MS)
    assert then.text == "1 min 30 s ago"
    assert then.full.endswith(" UTC")
    assert words.when_ms(NOW_MS + 60_000, NOW_MS).text == "in 1 min"
    assert words.when_ms(NOW_MS - 500, NOW_MS).text == "now"


def test_a_link_leaves_out_what_is_not_said_and_escapes_the_rest() -> None:
    assert url("/queue", name="a/b&c=d ?#", after=None, place="") == "/queue?name=a%2Fb%26c%3Dd+%3F%23"
    assert url("/exchange", name="") == "/exchange"


# ---- pictures ----


def test_a_line_through_many_values_is_thinned_out_and_keeps_its_peaks() -> None:
    values = [0.0] * 600
    values[301] = 9.0
    drawn = spark(values, "label")
    assert len(drawn.line.split()) == SPARK_POINTS_MAX
    assert ",2.0" in drawn.line, "the peak reaches the top"


@pytest.mark.parametrize("values", [[], [5.0]])
def test_a_line_through_nothing_is_flat(values: list[float]) -> None:
    assert len(spark(values, "label").line.split()) == 2


def test_columns_count_what_lies_between_their_edges() -> None:
    drawn = columns([0.0, 1.0, 1.5, 3.0, -1.0], [0.0, 1.0, 2.0, 3.0], ["a", "b", "c"])
    assert [column.found for column in drawn] == [1, 2, 1]
    assert [column.height for column in drawn] == [50.0, 100.0, 50.0]


def test_a_quantile_is_the_bound_of_the_bucket_it_falls_into() -> None:
    bounds = (0.1, 1.0)
    assert quantile([9, 1, 0, 123.0], bounds, 0.5) == 0.1
    assert quantile([9, 1, 0, 123.0], bounds, 0.99) == 1.0
    assert quantile([0, 0, 4, 9.0], bounds, 0.5) == 1.0, "beyond all bounds: at least the last"
    assert quantile([0, 0, 0, 0.0], bounds, 0.5) is None


def test_an_axis_reaches_from_now_to_the_last_message_in_steps_that_people_know() -> None:
    now = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    due = [_Due(now + timedelta(minutes=minutes)) for minutes in (5, 5, 170)]
    drawn = axis(due, NOW_MS / 1000)  # type: ignore[arg-type]
    assert drawn is not None
    assert sum(column.found for column in drawn.columns) == 3
    assert "each column is 5 min" in drawn.text
    assert axis([], NOW_MS / 1000) is None
    assert axis([_Due(now - timedelta(days=900))], NOW_MS / 1000) is not None  # type: ignore[list-item]


@final
@dataclass
class _Due:
    deliver_at: datetime | None


# ---- bodies ----


def test_json_is_shown_in_its_shape_and_text_as_it_is() -> None:
    assert shown_body(b'{"a":[1,null]}').text.splitlines()[1] == '  "a": ['
    assert shown_body(b'{"a":[1,null]}').kind == "json"
    assert shown_body("Grüße".encode()) == ("text", "Grüße", "text, 7 bytes", False)
    assert shown_body(b"{not json").kind == "text"
    assert shown_body(b"[" * 100_000).kind == "text", "nesting that no parser takes"
    assert shown_body(b"").kind == "empty"


def test_control_characters_and_marks_of_direction_are_shown_and_not_obeyed() -> None:
    text = shown_body("plain text, then \x1b[31m and \u202e\n\tnext".encode()).text
    assert text == "plain text, then \\x1b[31m and \\u202e\n    next"


def test_what_is_no_text_is_shown_as_bytes() -> None:
    shown = shown_body(bytes(range(256)))
    assert shown.kind == "binary"
    assert shown.text.splitlines()[2] == ("000020  20 21 22 23 24 25 26 27  28 29 2a 2b 2c 2d 2e 2f   !\"#$%&'()*+,-./")


def test_a_large_body_is_cut_and_its_true_size_is_told() -> None:
    shown = shown_body(b"A" * 4_096, whole=10_000_000)
    assert shown.is_cut
    assert len(shown.text) == 4_096
    assert "9.5 MiB (10,000,000 bytes); the first 4.0 KiB" in shown.note
    assert shown_body("aü".encode() * 3, 5).text == "aüa", "cut within a letter, it is text all the same"


# ---- fields ----


def test_fields_are_read_as_people_write_them() -> None:
    fields = Fields.of_form(b"n=+7&x=5.5&h=carrier%3DUA%0D%0Acancelled:%3Dtrue&t=2027-01-04T09:30&e=")
    assert fields.whole("n", 0, 0, 10) == 7
    assert fields.number("x") == 5.5
    assert fields.headers("h") == {"carrier": "UA", "cancelled": True}
    assert fields.moment("t") == datetime(2027, 1, 4, 9, 30, tzinfo=UTC)
    assert (fields.line("e"), fields.number("e"), fields.headers("e"), fields.whole("e", 3, 0, 9)) == (
        None,
        None,
        None,
        3,
    )
    assert Fields({"h": '{"a": 1}'}).headers("h") == {"a": 1}


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("1e400", lambda fields: fields.number("v")),
        ("nan", lambda fields: fields.number("v")),
        ("٣", lambda fields: fields.whole("v", 0, 0, 10)),
        ("11", lambda fields: fields.whole("v", 0, 0, 10)),
        ("--1", lambda fields: fields.whole("v", 0, -5, 10)),
        ("soon", lambda fields: fields.moment("v")),
        ("other", lambda fields: fields.choice("v", ("", "this"))),
        ("x" * 1_001, lambda fields: fields.text("v")),
        ("=x", lambda fields: fields.headers("v")),
        ("a:={", lambda fields: fields.headers("v")),
        ('{"a": ', lambda fields: fields.headers("v")),
    ],
)
def test_nonsense_in_a_field_is_refused_with_a_sentence(value: str, read: Any) -> None:
    with pytest.raises(InvalidArgument):
        read(Fields({"v": value}))


def test_a_form_that_is_no_text_or_has_too_many_fields_is_refused() -> None:
    for body in (b"\xff\xfe=1", b"a=%ff", b"&".join(b"a=1" for _ in range(101))):
        with pytest.raises(InvalidArgument):
            Fields.of_form(body)


# ---- lists ----

SORTS = {"name": lambda item: item[0], "size": lambda item: item[1]}
ITEMS = [("b", 1), ("a", 3), ("c", 3)]


def listing(**query: str) -> Listing[tuple[str, int]]:
    return Listing("/l", Fields(query), ITEMS, SORTS, kept={"q": "x"}, rows=2)


def test_a_list_is_sorted_and_cut_and_keeps_its_search() -> None:
    first = listing()
    assert (first.rows, first.pages, first.first, first.last) == ([("a", 3), ("b", 1)], 2, 1, 2)
    assert first.at_page(2) == "/l?q=x&sort=name&page=2"
    assert listing(page="2").rows == [("c", 3)]
    assert listing(page="99").page == 2


def test_numbers_fall_first_ties_stand_by_name_and_a_second_click_turns_the_order() -> None:
    by_size = listing(sort="size")
    assert by_size.rows == [("a", 3), ("c", 3)]
    assert by_size.sorted_by("size") == "/l?q=x&sort=size&order=turned"
    turned = listing(sort="size", order="turned")
    assert turned.rows == [("b", 1), ("a", 3)]
    assert turned.sorted_by("size") == "/l?q=x&sort=size"
    assert turned.at_page(2) == "/l?q=x&sort=size&order=turned&page=2"


def test_a_note_is_found_once_and_the_oldest_are_forgotten() -> None:
    notes = Notes()
    first = notes.leave(Note("first"))
    assert notes.take(first) == Note("first")
    assert notes.take(first) is None
    kept = notes.leave(Note("forgotten"))
    for _ in range(NOTES_MAX):
        notes.leave(Note("new"))
    assert notes.take(kept) is None


# ---- what needs attention ----


def test_the_worst_comes_first_and_each_says_what_to_do() -> None:
    found = matters(Snapshot(OVERVIEW), [])
    assert [matter.tone for matter in found] == sorted(
        (matter.tone for matter in found), key=["bad", "warn", "note"].index
    )
    titles = [matter.title for matter in found]
    assert "queue:sick is quarantined" in titles
    assert "The disk is nearly full" in titles
    assert "x holds 3 messages" in titles
    assert all(matter.advice and matter.href.startswith("/") for matter in found)
    assert headline(Snapshot(OVERVIEW), found) == "Two things need you now."


def test_what_an_alert_tells_is_not_told_twice() -> None:
    alert = Alert(rule="quarantine", subject="queue:sick", severity="critical", text="queue:sick: is quarantined")
    found = matters(Snapshot(OVERVIEW), [], [alert])
    about = [matter for matter in found if "sick" in f"{matter.title}{matter.text}"]
    assert [matter.text for matter in about] == ["Is quarantined"]


def test_all_is_well_when_nothing_is_wrong() -> None:
    calm = Snapshot(Overview(at_ms=NOW_MS, actors=[queue_reading("newark")], machine=Machine()))
    assert matters(calm, []) == []
    assert headline(calm, []) == "All is well."


# ---- the tree, journals, events ----


def test_what_is_not_up_comes_first_and_a_long_group_is_cut() -> None:
    actors = [queue_reading(f"q{number:03}") for number in range(300)]
    actors.append(ActorReading(id="queue:zz", kind="queue", name="zz", group="queues", state="restarting", restarts=3))
    (group,) = groups(actors, NOW_MS)
    assert (group.actors, group.not_up, group.restarts) == (301, 1, 3)
    assert group.rows[0].reading.id == "queue:zz"
    assert len(group.rows) == ROWS_MAX


def test_a_journal_is_damaged_when_its_actor_ended_with_the_code_for_that() -> None:
    damaged = ActorReading(id="queue:a", kind="queue", state="quarantined", last_exit="ended with exit code 20")
    crashed = ActorReading(id="queue:b", kind="queue", state="quarantined", last_exit="ended with exit code 1")
    assert [(row_of(one).state, row_of(one).tone) for one in (damaged, crashed)] == [
        ("damaged", "bad"),
        ("quarantined", "warn"),
    ]
    assert row_of(queue_reading("c", journal_sync_failures=2.0)).state == "2 syncs failed"


def test_events_are_narrowed_by_severity_and_words_and_the_newest_stand_first() -> None:
    events = [
        BrokerEvent(number=1, at_ms=1, kind="ready", actor="door", text="door ready"),
        BrokerEvent(number=2, at_ms=2, kind="exited", actor="queue:a", severity="warning", text="ended"),
        BrokerEvent(number=3, at_ms=3, kind="quarantined", actor="queue:a", severity="error", text="is quarantined"),
    ]
    assert [event.number for event in wanted(events, "", "")] == [3, 2, 1]
    assert [event.number for event in wanted(events, "warning", "")] == [3, 2]
    assert [event.number for event in wanted(events, "", "DOOR")] == [1]


# ---- the figures of the moment ----


def test_figures_are_asked_for_once_and_shared_until_they_are_old() -> None:
    now = 100.0
    broker: Any = PageBroker()

    async def takes() -> int:
        nonlocal now
        snapshots = Snapshots(lambda: now)
        await asyncio.gather(*(snapshots.take(broker) for _ in range(5)))
        once = len(broker.asked)
        now += FRESH_S
        await snapshots.take(broker)
        return once

    assert asyncio.run(takes()) == 1
    assert len(broker.asked) == 2

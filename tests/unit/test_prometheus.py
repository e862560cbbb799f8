"""The broker's figures in Prometheus' text format."""

from __future__ import annotations

import pytest

from posthouse.actors.measures import PAGES
from posthouse.metric_names import catalogue
from posthouse.prometheus import Exposition, exposition
from posthouse.transport.messages_monitor import BrokerEvent, Machine
from tests.support.metric_texts import overview, reading, samples

EVERYBODY = [
    reading("queue", "a"),
    reading("exchange"),
    *(reading(kind) for kind in PAGES if kind not in ("queue", "exchange")),
]


def test_every_metric_of_the_catalogue_is_there_and_no_other() -> None:
    machine = Machine(cores=2, load=0.5, memory_bytes=9, memory_free_bytes=8, disk_bytes=7, disk_free_bytes=6)
    standing = [BrokerEvent(number=1, at_ms=1, kind="store_full", actor="dead-letter")]
    found = samples(exposition(overview(*EVERYBODY, machine=machine, standing=standing)))
    names = {name for name, _ in found}
    expected: set[str] = set()
    for metric in catalogue():
        expected |= {
            metric.name + suffix for suffix in (("_bucket", "_sum", "_count") if metric.type == "histogram" else ("",))
        }
    assert names == expected
    assert found["posthouse_disk_free_bytes", ()] == 6
    assert found["posthouse_alarms_standing", (("event", "store_full"),)] == 1


def test_names_keep_the_conventions() -> None:
    names = [metric.name for metric in catalogue()]
    assert len(set(names)) == len(names)
    for metric in catalogue():
        assert metric.name.startswith("posthouse_")
        assert metric.name.endswith("_total") == (metric.type == "counter"), metric
        assert not any(part in metric.name for part in ("_ms", "_millis", "-")), metric
        assert (metric.help.endswith(".") and metric.help[0].isupper()) or metric.help[0].isdigit(), metric
        if metric.type == "histogram":
            assert not metric.name.endswith(("_sum", "_count", "_bucket"))


def test_labels_tell_actors_apart() -> None:
    found = samples(exposition(overview(*EVERYBODY)))
    assert found["posthouse_queue_ready", (("queue", "a"),)] == 3
    assert found["posthouse_exchange_published_total", (("exchange", "(default)"),)] == 3
    assert found["posthouse_exchange_unrouted_total", (("exchange", "(default)"), ("fate", "held"))] == 3
    assert found["posthouse_dead_letter_buried_total", (("reason", "expired"),)] == 3
    assert found["posthouse_actor_links", (("actor", "queue:a"), ("kind", "queue"))] == 3
    assert found["posthouse_actor_up", (("actor", "door"), ("kind", "door"))] == 1


def test_a_histogram_is_cumulative_and_ends_with_all() -> None:
    found = samples(exposition(overview(reading("queue", "a"))))
    bucket = "posthouse_queue_delivery_attempts_bucket"
    below = [found[bucket, (("le", le), ("queue", "a"))] for le in ("1.0", "2.0", "100.0", "+Inf")]
    assert below == [3, 6, 21, 24]
    assert found["posthouse_queue_delivery_attempts_count", (("queue", "a"),)] == 24
    assert found["posthouse_queue_delivery_attempts_sum", (("queue", "a"),)] == 1.5


def test_a_histogram_in_which_nothing_was_counted_is_not_there() -> None:
    text = exposition(overview(reading("queue", "a", 0.0)))
    assert b"posthouse_queue_delivery_seconds_bucket" not in text
    assert b'posthouse_queue_acked_total{queue="a"} 0.0' in text


def test_a_dead_actor_is_down_and_has_no_memory() -> None:
    dead = reading("queue", "a", state="quarantined", pid=0, restarts=4)
    found = samples(exposition(overview(dead)))
    labels = (("actor", "queue:a"), ("kind", "queue"))
    assert found["posthouse_actor_up", labels] == 0
    assert found["posthouse_actor_quarantined", labels] == 1
    assert found["posthouse_actor_restarts_total", labels] == 4
    assert ("posthouse_actor_resident_memory_bytes", labels) not in found
    assert found["posthouse_queue_ready", (("queue", "a"),)] == 3


@pytest.mark.parametrize("name", ['a"b', "a\\b", "<script>", "ünï", "a{}b", " ", "(others)", "(default)", "((x"])
def test_names_come_through_whatever_they_are_and_clash_with_nobody(name: str) -> None:
    others = [reading("queue", "one"), reading("queue", "two"), reading("exchange")]
    found = samples(Exposition(1).render(overview(reading("queue", name), reading("exchange"), *others)))
    shown = f"({name}" if name.startswith("(") else name
    assert found["posthouse_queue_ready", (("queue", shown),)] == 3
    assert found["posthouse_queue_ready", (("queue", "(others)"),)] == 6


# ---- many ----


def test_beyond_a_number_queues_are_summed_and_it_says_how_many() -> None:
    queues = [reading("queue", f"q{number}", float(number)) for number in range(5)]
    found = samples(Exposition(2).render(overview(*queues, reading("door"))))
    assert found["posthouse_summed_actors", (("kind", "queue"),)] == 3
    assert found["posthouse_summed_actors", (("kind", "exchange"),)] == 0
    assert {dict(labels)["queue"] for name, labels in found if name == "posthouse_queue_ready"} == {
        "q0",
        "q1",
        "(others)",
    }
    assert found["posthouse_queue_ready", (("queue", "(others)"),)] == 2 + 3 + 4
    assert found["posthouse_queue_oldest_ready_age_seconds", (("queue", "(others)"),)] == 4
    labels = (("actor", "(others)"), ("kind", "queue"))
    assert found["posthouse_actor_up", labels] == 3
    assert found["posthouse_actor_links", labels] == 9
    assert ("posthouse_actor_start_time_seconds", labels) not in found


def test_the_counters_of_the_others_rise_with_them_and_never_fall() -> None:
    acked = ("posthouse_queue_acked_total", (("queue", "(others)"),))
    buckets = ("posthouse_queue_delivery_attempts_count", (("queue", "(others)"),))
    exposed = Exposition(0)

    def told(*values: float) -> tuple[float, float]:
        queues = [reading("queue", f"q{place}", value) for place, value in enumerate(values) if value >= 0]
        found = samples(exposed.render(overview(*queues)))
        return found[acked], found.get(buckets, 0.0)

    assert told(100, 50) == (0, 0)
    assert told(110, 50) == (10, 80)
    assert told(110, -1) == (10, 80), "a queue is gone"
    assert told(115, 70) == (15, 120), "it is there again"
    assert told(2, 70) == (17, 136), "a page began anew"
    assert told() == (17, 136)


def test_a_queue_that_gets_series_of_its_own_takes_nothing_from_the_others() -> None:
    exposed = Exposition(1)
    acked = "posthouse_queue_acked_total"
    exposed.render(overview(reading("queue", "a", 9), reading("queue", "b", 5)))
    exposed.render(overview(reading("queue", "a", 9), reading("queue", "b", 7)))
    found = samples(exposed.render(overview(reading("queue", "b", 8))))
    assert found[acked, (("queue", "b"),)] == 8
    assert found[acked, (("queue", "(others)"),)] == 2


def test_an_overview_without_actors_is_no_error() -> None:
    assert ("posthouse_start_time_seconds", ()) in samples(exposition(overview()))

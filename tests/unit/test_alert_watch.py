"""The watch over figures: what each kind of rule finds in samples, and how it behaves near its threshold."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.actors.alert_finding import Verdict
from posthouse.actors.alert_rules import Absence, Forecast, Growth, Level, Quantile, Rule
from posthouse.actors.alert_watch import AlertWatch
from posthouse.transport.messages_monitor import ActorReading, Machine
from tests.support.alert_bench import level, queue, sample

GIB = 1 << 30


def verdicts(watch: AlertWatch, *moments: tuple[int, ActorReading], is_active: bool = True) -> list[Verdict | None]:
    """What each sample of one actor says; None: well."""
    found = []
    for at_ms, actor in moments:
        active = {(rule.name, actor.id) for rule in watch.rules} if is_active else set()
        findings = watch.take(sample(at_ms, actor), active)
        found.append(next((finding.verdict for finding in findings.values()), None))
    return found


def test_a_level_is_bad_above_its_threshold_and_over_below_the_clearing_one() -> None:
    watch = AlertWatch([level(above=10, clear=5)])
    found = verdicts(watch, *((at, queue(ready=ready)) for at, ready in enumerate((10, 11, 10, 6, 5))))
    assert found == [Verdict.UNDECIDED, Verdict.BAD, Verdict.UNDECIDED, Verdict.UNDECIDED, None]


def test_what_is_not_active_is_never_undecided() -> None:
    watch = AlertWatch([level(above=10, clear=5)])
    assert verdicts(watch, (0, queue(ready=7)), is_active=False) == [None]


def test_a_level_may_be_too_low() -> None:
    watch = AlertWatch([level(above=None, below=1, clear=3)])
    found = verdicts(watch, *((at, queue(ready=ready)) for at, ready in enumerate((0, 1, 2, 3))))
    assert found == [Verdict.BAD, Verdict.UNDECIDED, Verdict.UNDECIDED, None]


@pytest.mark.parametrize(
    ("measure", "above", "actor"),
    [
        ("cpu", 0.5, ActorReading(id="queue:q", kind="queue", cpu=0.6)),
        ("rss_bytes", 5, ActorReading(id="queue:q", kind="queue", rss_bytes=6)),
        ("descriptors", 5, ActorReading(id="queue:q", kind="queue", descriptors=6)),
        ("descriptors_share", 0.8, ActorReading(id="queue:q", kind="queue", descriptors=81)),
        ("restarts", 2, ActorReading(id="queue:q", kind="queue", restarts=3)),
    ],
)
def test_figures_of_the_process_have_rules_too(measure: str, above: float, actor: ActorReading) -> None:
    rule = Level(name="own", actors="*", measure=measure, above=above)
    assert verdicts(AlertWatch([rule]), (0, actor)) == [Verdict.BAD]


@pytest.mark.parametrize(
    ("measure", "below"), [("memory_free_share", 0.5), ("disk_free_bytes", 5), ("disk_free_share", 0.5)]
)
def test_figures_of_the_machine_have_rules_too(measure: str, below: float) -> None:
    watch = AlertWatch([Level(name="own", actors="machine", measure=measure, below=below)])
    machine = Machine(memory_bytes=100, memory_free_bytes=1, disk_bytes=100, disk_free_bytes=1)
    (finding,) = watch.take(sample(0, machine=machine), ()).values()
    assert (finding.subject, finding.verdict) == ("machine", Verdict.BAD)
    assert watch.take(sample(1, machine=Machine()), ()) == {}, "what could not be learned is no finding"


def test_rules_concern_whom_they_name() -> None:
    watch = AlertWatch([level(match=("a*",), ignore=("ab",))])
    actors = [queue(name, ready=99.0) for name in ("a", "ab", "b")]
    assert [key[1] for key in watch.take(sample(0, *actors), ())] == ["queue:a"]
    assert watch.take(sample(1, ActorReading(id="door", kind="door", values={"ready": 99.0})), ()) == {}


def test_a_rule_that_is_off_finds_nothing() -> None:
    assert verdicts(AlertWatch([level(enabled=False)]), (0, queue(ready=99))) == [None]


def grows(above: float = 9, **settings: Any) -> Growth:
    return Growth(name="grows", actors="queue", measure="stored", above=above, window_s=60, **settings)


def test_growth_is_counted_within_the_window() -> None:
    watch = AlertWatch([grows()])
    stored = [0, 5, 10, 10, 10]
    found = verdicts(watch, *((at * 30_000, queue(stored=count)) for at, count in enumerate(stored)))
    assert found[1:] == [Verdict.UNDECIDED, Verdict.BAD, None, None]


def test_what_was_there_before_is_no_growth_and_the_first_window_decides_nothing() -> None:
    watch = AlertWatch([grows()])
    assert verdicts(watch, (0, queue(stored=1_000)), (59_000, queue(stored=1_000))) == [Verdict.UNDECIDED] * 2
    assert verdicts(watch, (60_000, queue(stored=1_000))) == [None]


def test_a_counter_that_began_anew_grew_by_all_it_shows() -> None:
    watch = AlertWatch([grows()])
    assert verdicts(watch, (0, queue(stored=1_000)), (1_000, queue(stored=10)))[1] is Verdict.BAD


def test_words_of_one_name_count_together() -> None:
    rule = Growth(name="dead", actors="dead-letter", measure="buried", above=3, window_s=60)
    watch = AlertWatch([rule])
    before = ActorReading(id="dead-letter", kind="dead-letter", values={"buried:rejected": 0.0, "buried:expired": 0.0})
    after = ActorReading(id="dead-letter", kind="dead-letter", values={"buried:rejected": 2.0, "buried:expired": 2.0})
    assert verdicts(watch, (0, before), (1_000, after))[1] is Verdict.BAD


def test_absence_needs_traffic_before_it() -> None:
    watch = AlertWatch([Absence(name="silent", actors="queue", measure="stored", after_s=60)])
    assert verdicts(watch, (0, queue(stored=0)), (100_000, queue(stored=0)), is_active=False) == [None, None]
    found = verdicts(watch, (110_000, queue(stored=5)), (170_000, queue(stored=5)), (170_001, queue(stored=5)))
    assert found == [None, None, Verdict.BAD]
    assert verdicts(watch, (180_000, queue(stored=6))) == [None]


def test_absence_is_not_over_because_its_watcher_is_new() -> None:
    watch = AlertWatch([Absence(name="silent", actors="queue", measure="stored", after_s=60)])
    found = verdicts(watch, (0, queue(stored=5)), (30_000, queue(stored=5)), (61_000, queue(stored=5)))
    assert found == [Verdict.UNDECIDED, Verdict.UNDECIDED, Verdict.BAD]


def slow(counts: dict[int, int]) -> ActorReading:
    """A queue whose syncs took so long; by number of the bucket."""
    buckets = [float(counts.get(bucket, 0)) for bucket in range(17)]
    return ActorReading(
        id="queue:q", kind="queue", name="q", state="up", histograms={"journal_sync_seconds": [*buckets, 0.0]}
    )


def test_a_quantile_is_of_the_window_and_of_enough() -> None:
    rule = Quantile(name="slow", actors="*", measure="journal_sync_seconds", above=0.5, window_s=60, count_min=10)
    watch = AlertWatch([rule])
    assert verdicts(watch, (0, slow({3: 10_000})), is_active=False) == [None]
    assert verdicts(watch, (60_000, slow({3: 10_000, 13: 5})), is_active=False) == [None], "too few"
    assert verdicts(watch, (61_000, slow({3: 10_000, 13: 10}))) == [Verdict.BAD]
    assert verdicts(watch, (180_000, slow({3: 10_000, 13: 10})))[-1] in (None, Verdict.UNDECIDED)
    assert verdicts(watch, (300_000, slow({3: 10_100, 13: 10})), (301_000, slow({3: 10_200, 13: 10})))[-1] is None


def falling(step_bytes: float, count: int, start_bytes: float = 10.0 * GIB) -> list[Machine]:
    return [
        Machine(disk_bytes=100 * GIB, disk_free_bytes=int(start_bytes - step_bytes * second))
        for second in range(0, count, 10)
    ]


def forecast(machines: list[Machine], rule: Rule) -> list[Verdict | None]:
    watch = AlertWatch([rule])
    found = []
    for number, machine in enumerate(machines):
        findings = watch.take(sample(number * 10_000, machine=machine), {(rule.name, "machine")})
        found.append(next((finding.verdict for finding in findings.values()), None))
    return found


def test_a_forecast_says_when_the_disk_is_full() -> None:
    rule = Forecast(name="soon", measure="disk_free_bytes", floor=GIB, below_s=3_600, window_s=600)
    found = forecast(falling(10 * 1024 * 1024, 600), rule)
    assert set(found[:30]) == {Verdict.UNDECIDED}, "not before half a window is known"
    assert set(found[31:]) == {Verdict.BAD}
    assert set(forecast(falling(0, 600), rule)[31:]) == {None}
    assert set(forecast(falling(-(1 << 20), 600), rule)[31:]) == {None}, "it empties"
    assert forecast(falling(0, 600, start_bytes=GIB / 2), rule)[-1] is Verdict.BAD, "it is full already"


def test_a_forecast_between_its_thresholds_is_undecided() -> None:
    rule = Forecast(name="soon", measure="disk_free_bytes", below_s=600, clear_s=3_600, window_s=600)
    assert forecast(falling(4 * 1024 * 1024, 600), rule)[-1] is Verdict.UNDECIDED


def test_what_is_gone_is_forgotten() -> None:
    watch = AlertWatch([grows(match=("q*",))])
    for number in range(100):
        watch.take(sample(number * 1_000, queue(f"q{number}", stored=1)), ())
    assert watch.remembered <= 10

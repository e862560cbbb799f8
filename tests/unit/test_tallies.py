"""Measures, and what actors count: words on a page that only rise."""

from __future__ import annotations

import pytest

from posthouse.actors.measure import MICRO, MeasureKind, Page
from posthouse.actors.measures import ALL, PAGES, measures_of
from posthouse.actors.tallies import Tally, Totals
from posthouse.supervisor.meter import WORDS, Meter


def test_no_two_measures_of_a_kind_share_a_word_or_a_key() -> None:
    for kind in [*PAGES, "web"]:
        measures = list(measures_of(kind))
        keys = [measure.key for measure in measures]
        assert len(set(keys)) == len(keys), kind
        taken: list[int] = []
        for measure in measures:
            size = len(measure.bounds) + 2 if measure.kind is MeasureKind.HISTOGRAM else 1
            taken += range(measure.word, measure.word + size)
        assert len(set(taken)) == len(taken), kind
        assert max(taken) < WORDS


def test_a_kind_without_a_page_of_its_own_shows_what_all_show() -> None:
    assert list(measures_of("web")) == list(ALL)


def test_a_page_is_full_at_its_last_word() -> None:
    page = Page("small")
    for number in range(WORDS):
        page.gauge(f"g{number}", "")
    with pytest.raises(AssertionError, match="more than 256 words"):
        page.gauge("one_more", "")


def test_a_labelled_counter_has_a_key_and_a_word_for_each_value() -> None:
    page = Page("x")
    words = page.counters("fates", "", "fate", ("held", "drop"))
    assert [measure.key for measure in page] == ["fates:held", "fates:drop"]
    assert len(set(words.values())) == 2


def test_what_a_life_counts_is_added_to_what_earlier_lives_have_shown() -> None:
    meter = Meter()
    first = Totals(meter)
    first.count(3, 5)
    first.count(3, 5)
    first.count(3, 7)
    assert meter.get(3) == 7
    Totals(meter).count(3, 2)
    assert meter.get(3) == 9


def test_a_number_of_all_lives_goes_on_from_what_was_shown_and_never_falls() -> None:
    meter = Meter()
    Totals(meter).show(3, 100)
    forgetful = Totals(meter)
    forgetful.show(3, 90)
    assert meter.get(3) == 100
    forgetful.show(3, 95)
    assert meter.get(3) == 105
    forgetful.show(3, 80)
    assert meter.get(3) == 105
    thorough = Totals(meter)
    thorough.show(3, 200)
    assert meter.get(3) == 200


def test_a_tally_has_its_buckets_up_to_their_bounds_and_its_sum_in_millionths() -> None:
    page = Page("x")
    page.gauge("before", "")
    tally, meter = Tally(page.histogram("h", "", (0.001, 0.1))), Meter()
    tally.observe(1_000, 2)
    tally.observe(1_001)
    tally.observe(2 * MICRO)
    assert meter.read()[:5] == [0] * 5
    tally.show(meter)
    assert meter.read()[:5] == [0, 2, 1, 1, 2_003_001]
    tally.show(meter)
    tally.observe(1)
    tally.show(meter)
    assert meter.read()[:5] == [0, 3, 1, 1, 2_003_002]

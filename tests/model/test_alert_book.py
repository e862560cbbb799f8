"""The book of alerts beside a naive model: whatever findings come, nothing fires early, flaps, or is told twice."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from posthouse.actors.alert_book import AlertBook, Change
from tests.support.alert_bench import bad, level, now, undecided

FOR_S: Final = 3
CLEAR_S: Final = 5
RULE: Final = level(for_s=float(FOR_S), clear_for_s=float(CLEAR_S))
FINDINGS: Final = {"bad": bad(RULE), "undecided": undecided(RULE), "good": {}}

words = st.lists(st.sampled_from(["bad", "bad", "bad", "undecided", "good", "good", "good"]), max_size=80)


def play(said: list[str]) -> list[list[Change]]:
    """The changes of each second."""
    book = AlertBook({RULE.name: RULE}, 0.0)
    return [book.take_sample(FINDINGS[word], now(second * 1_000)) for second, word in enumerate(said)]


def fires(said: list[str], second: int) -> bool:
    """Whether everything since FOR_S ago was bad."""
    return second >= FOR_S and all(word == "bad" for word in said[second - FOR_S : second + 1])


def is_over(said: list[str], second: int) -> bool:
    return second >= CLEAR_S and all(word == "good" for word in said[second - CLEAR_S : second + 1])


@given(words)
def test_it_fires_and_is_resolved_exactly_when_the_rule_says(said: list[str]) -> None:
    is_firing = False
    for second, changes in enumerate(play(said)):
        expected = []
        if not is_firing and fires(said, second):
            is_firing, expected = True, ["firing"]
        elif is_firing and is_over(said, second):
            is_firing, expected = False, ["resolved"]
        assert [change.kind for change in changes] == expected, second


@given(words)
def test_it_never_flaps(said: list[str]) -> None:
    changes = [(second, change.kind) for second, found in enumerate(play(said)) for change in found]
    assert [kind for _, kind in changes] == [("firing", "resolved")[number % 2] for number in range(len(changes))]
    for (earlier, kind), (later, _) in pairwise(changes):
        assert later - earlier >= (CLEAR_S if kind == "firing" else FOR_S)


@given(words, st.lists(st.booleans(), min_size=80, max_size=80), st.sets(st.integers(0, 79)))
def test_everybody_hears_of_each_alert_once_and_of_its_end_if_of_its_beginning(
    said: list[str], tells: list[bool], deaths: set[int]
) -> None:
    """Also over lives of the monitor, each of which knows what the last one wrote."""
    book = AlertBook({RULE.name: RULE}, 0.0)
    told: list[str] = []
    for second, word in enumerate(said):
        if second in deaths:
            heir = AlertBook({RULE.name: RULE}, 0.0)
            heir.restore(book.firing, book.resolved, book.untold, now(second * 1_000))
            book = heir
        book.take_sample(FINDINGS[word], now(second * 1_000))
        if tells[second] and book.has_news(now(second * 1_000)):
            letter = book.tell(now(second * 1_000))
            told += ["resolved"] * len(letter.resolved) + ["firing"] * len(letter.firing)
        assert not (tells[second] and book.has_news(now(second * 1_000))), "all was told"
    assert told == [("firing", "resolved")[number % 2] for number in range(len(told))]
    if book.firing:
        assert not book.untold or len(told) % 2 == 1


def test_a_thousand_subjects_are_one_letter() -> None:
    rule = level()
    book = AlertBook({rule.name: rule}, 0.0)
    found = {key: finding for number in range(1_000) for key, finding in bad(rule, f"queue:{number}").items()}
    assert len(book.take_sample(found, now(0))) == 1_000
    assert len(book.tell(now(0)).firing) == 1_000
    assert not book.has_news(now(1))


def test_what_fires_on_is_told_again_after_a_while() -> None:
    rule = level()
    book = AlertBook({rule.name: rule}, 100.0)
    book.take_sample(bad(rule), now(0))
    assert [len(book.tell(now(at_ms)).firing) for at_ms in (0, 99_999, 100_000, 100_001)] == [1, 0, 1, 0]


def test_what_is_silenced_is_told_when_the_silence_ends_and_it_fires_on() -> None:
    rule = level()
    book = AlertBook({rule.name: rule}, 0.0)
    book.silences.add("*", "*", 1_000, "", now(0).wall_ms)
    book.take_sample(bad(rule), now(0))
    assert not book.has_news(now(999))
    assert book.listing(now(999))[0].silence == 1
    assert len(book.tell(now(1_000)).firing) == 1


def test_the_end_of_what_was_told_is_told_in_a_silence_too() -> None:
    rule = level(clear_for_s=0.0)
    book = AlertBook({rule.name: rule}, 0.0)
    book.take_sample(bad(rule), now(0))
    book.tell(now(0))
    book.silences.add("*", "*", 1_000, "", now(1).wall_ms)
    book.take_sample({}, now(2))
    assert len(book.tell(now(2)).resolved) == 1


def test_the_end_of_what_nobody_heard_of_is_not_told() -> None:
    rule = level(clear_for_s=0.0)
    book = AlertBook({rule.name: rule}, 0.0)
    book.take_sample(bad(rule), now(0))
    book.take_sample({}, now(1))
    assert not book.has_news(now(1))
    assert [alert.state for alert in book.listing(now(1))] == ["resolved"]


def test_alerts_of_a_rule_that_is_no_more_are_over() -> None:
    rule = level()
    book = AlertBook({rule.name: rule}, 0.0)
    book.take_sample(bad(rule), now(0))
    book.tell(now(0))
    heir = AlertBook({}, 0.0)
    heir.restore(book.firing, [], [], now(1))
    assert heir.firing == []
    assert len(heir.tell(now(1)).resolved) == 1


def test_news_never_ends_anything() -> None:
    first, second = level("first"), level("second")
    book = AlertBook({"first": first, "second": second}, 0.0)
    book.take_sample(bad(first), now(0))
    book.take_news(bad(second), now(60_000))
    assert {alert.rule for alert in book.firing} == {"first", "second"}

"""Ids seen within the window."""

from __future__ import annotations

from posthouse.actors.queue_dedup import WINDOW_MS, DedupWindow


def test_an_id_counts_until_its_window_has_passed() -> None:
    window = DedupWindow()
    window.add("a", 1_000)
    assert window.has("a", 1_000 + WINDOW_MS - 1)
    assert not window.has("b", 1_000)
    assert not window.has("a", 1_000 + WINDOW_MS)
    assert len(window) == 0


def test_an_old_id_behind_a_newer_one_does_not_count_either() -> None:
    window = DedupWindow()
    window.add("new", WINDOW_MS)
    window.add("old", 1)
    assert not window.has("old", WINDOW_MS + 1)
    assert window.has("new", WINDOW_MS + 1)


def test_the_oldest_ids_go_when_there_are_too_many() -> None:
    window = DedupWindow(ids_max=2)
    for number, name in enumerate("abc"):
        window.add(name, number)
    assert dict(window.items()) == {"b": 1, "c": 2}


def test_a_time_in_the_future_is_taken_for_now_when_first_compared() -> None:
    window = DedupWindow()
    window.add("a", 10 * WINDOW_MS)
    assert window.has("a", 5)
    assert not window.has("a", 5 + WINDOW_MS)


def test_an_earlier_time_changes_nothing() -> None:
    window = DedupWindow()
    window.add("a", 50)
    window.add("a", 20)
    assert dict(window.items()) == {"a": 50}

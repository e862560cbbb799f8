"""Watches by example."""

from __future__ import annotations

import pytest

from posthouse.supervisor import watches as module
from posthouse.supervisor.watches import Watches


def test_watchers_are_listed_in_the_order_in_which_they_asked() -> None:
    watches = Watches()
    for watcher in ("b", "a", "b"):
        assert watches.add(watcher, "x")
    assert watches.watchers_of("x") == ("b", "a")
    assert watches.watchers_of("y") == ()


def test_an_unwatched_target_has_one_watcher_less() -> None:
    watches = Watches()
    watches.add("a", "x")
    watches.add("a", "y")
    watches.remove("a", "x")
    watches.remove("a", "x")
    watches.remove("b", "x")
    assert watches.watchers_of("x") == ()
    assert watches.watchers_of("y") == ("a",)
    watches.remove("a", "y")
    assert (watches._watchers, watches._watched) == ({}, {})


def test_a_dead_watcher_leaves_nothing_behind() -> None:
    watches = Watches()
    for target in "xyz":
        watches.add("a", target)
    watches.add("b", "x")
    watches.remove_watcher("a")
    watches.remove_watcher("a")
    assert watches.watchers_of("x") == ("b",)
    assert list(watches._watchers) == ["x"]


def test_one_watcher_may_not_watch_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCHES_MAX", 2)
    watches = Watches()
    assert [watches.add("a", target) for target in "xyzx"] == [True, True, False, True]
    assert watches.watchers_of("z") == ()

"""Meters: a page of numbers for each child, in memory that forked processes share."""

from __future__ import annotations

import os

from posthouse.supervisor.meter import WORDS, Meter
from posthouse.supervisor.meters import Meters


def test_words_are_read_as_written_and_cut_to_what_a_word_holds() -> None:
    meter = Meter()
    meter.set(0, -5)
    meter.set(1, 1 << 80)
    meter.set(2, 7)
    meter.add(2, 3)
    meter.add(3)
    assert meter.read()[:4] == [0, (1 << 64) - 1, 10, 1]
    meter.add(1, 2)
    assert meter.get(1) == 1
    meter.clear()
    assert meter.read() == [0] * WORDS


def test_a_child_keeps_its_page_and_pages_overlap_with_nobody() -> None:
    meters = Meters(3)
    first, second = meters.of("a"), meters.of("b")
    assert meters.of("a") == first != second
    meters.page(first).set(WORDS - 1, 1)
    meters.page(second).set(0, 2)
    assert meters.page(first).read() == [0] * (WORDS - 1) + [1]
    assert meters.page(second).get(0) == 2


def test_the_page_of_a_child_that_is_no_more_is_cleared_for_the_next() -> None:
    meters = Meters(1)
    number = meters.of("a")
    meters.page(number).set(5, 5)
    meters.keep_only({"a"})
    assert meters.of("a") == number
    meters.keep_only(set())
    assert meters.of("b") == number
    assert meters.page(number).get(5) == 0


def test_what_a_forked_process_writes_is_there_when_it_is_dead() -> None:
    meters = Meters(1)
    page = meters.page(meters.of("a"))
    pid = os.fork()
    if pid == 0:
        page.add(9, 41)
        os._exit(0)
    os.waitpid(pid, 0)
    page.add(9)
    assert page.get(9) == 42

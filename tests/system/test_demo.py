"""The demo as a whole, on the first flights of the file: verdict, exit code, and that nothing stays behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import psutil
import pytest

from posthouse import demo
from tests.support.source_tree import ROOT

PROGRAM = "import sys; from posthouse.demo import run; sys.exit(run(flights=1500, seconds=3.0))"
PROGRAM_THAT_EXPECTS_TOO_LITTLE = """
import sys
from posthouse import demo, demo_run
from posthouse.demo_feeds import expected_of

def all_but_the_first(feed, flights):
    return {number: checksum for number, checksum in expected_of(feed, flights).items() if number != 1}

demo_run.expected_of = all_but_the_first
demo_run.KILL_AT = ()
sys.exit(demo.run(flights=300))
"""
PROGRAM_THAT_EXPECTS_ANOTHER_ERROR = """
import sys
from posthouse import demo, demo_repair, demo_run

demo_repair.error_of = lambda flight: "KeyError" if flight.is_cancelled else None
demo_run.KILL_AT = ()
demo_run.SETTLE_S = 1.0
sys.exit(demo.run(flights=1500))
"""
DEADLINE_S = 100.0


@final
@dataclass(frozen=True)
class Ended:
    """A demo that has ended, and what it left behind."""

    code: int
    said: str
    files: list[Path]
    processes: list[psutil.Process]


@contextlib.contextmanager
def temporary_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A temporary directory for the demo's own; whatever still runs in it at the end is killed.

    Its name is short, unlike that of `tmp_path`: socket files live below it, and their paths are limited.
    """
    place = tmp_path_factory.mktemp("d")
    try:
        yield place
    finally:
        for process in processes_in(place):
            process.kill()


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with temporary_place(tmp_path_factory) as place:
        yield place


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """One whole demo, for several tests to look at."""
    with temporary_place(tmp_path_factory) as place:
        process = start(place)
        said, _ = process.communicate(timeout=DEADLINE_S)
        yield Ended(process.returncode, said, list(place.iterdir()), processes_in(place))


def processes_in(place: Path) -> list[psutil.Process]:
    """Living processes whose command line names that directory, as those of the demo and its broker do."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        is_alive = process.info["status"] != psutil.STATUS_ZOMBIE
        if is_alive and any(str(place) in part for part in process.info["cmdline"] or ()):
            found.append(process)
    return found


def start(place: Path, program: str = PROGRAM) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-u", "-c", program, str(place)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What it prints up to a line with these words."""
    assert process.stdout is not None
    deadline = time.monotonic() + DEADLINE_S
    said = ""
    while words not in said:
        readable, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        assert readable, f"it did not say {words!r} in time, but:\n{said}"
        part = os.read(process.stdout.fileno(), 65_536).decode()
        assert part, f"it ended without saying {words!r}:\n{said}"
        said += part
    return said


def number_before(words: str, said: str) -> int:
    """The number that stands before these words."""
    return int(said.partition(words)[0].rpartition(" ")[2].replace(",", ""))


def test_nothing_is_lost_while_queue_exchange_consumer_and_broker_are_killed(ended: Ended) -> None:
    assert ended.code == 0, ended.said
    assert "Nothing lost" in ended.said
    killed = ("the queue board", "the exchange flights", "a consumer of connection-risk", "the whole broker")
    assert all(f"kill -9 {what}" in ended.said for what in killed)


def test_a_demo_leaves_no_process_and_no_directory(ended: Ended) -> None:
    assert ended.files == []
    assert ended.processes == []


def test_cancelled_flights_die_of_their_cause_with_their_history(ended: Ended) -> None:
    assert "4 cancelled flights died after 3 attempts; 1 cause: ValueError" in ended.said
    assert "1: ValueError, 2: ValueError after" in ended.said


def test_a_redrive_stops_at_its_canary_until_the_handler_is_repaired(ended: Ended) -> None:
    early = "before the repair: 2 canaries died again, it stopped by itself, 2 were not touched"
    repaired = "after the repair: 4 flights handled"
    assert early in ended.said
    assert repaired in ended.said
    assert ended.said.index(early) < ended.said.index(repaired)


def test_delayed_flights_and_held_ones_outlive_the_broker(ended: Ended) -> None:
    assert number_before(" for a subscriber, up again", ended.said) > 0
    assert number_before(" were held for it", ended.said) > 0
    assert ended.said.index("kill -9 the whole broker") < ended.said.index("were held for it")
    assert "nothing before its time" in ended.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process_and_no_directory(place: Path, number: signal.Signals) -> None:
    process = start(place)
    read_until(process, "kill -9 the queue board")

    process.send_signal(number)
    said, _ = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 130, said
    assert list(place.iterdir()) == []
    assert processes_in(place) == []


def test_a_number_that_is_off_is_named_and_ends_with_exit_code_1(place: Path) -> None:
    process = start(place, PROGRAM_THAT_EXPECTS_TOO_LITTLE)

    said, _ = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1, said
    assert "The numbers are off" in said
    assert "1 astray" in said
    assert list(place.iterdir()) == []


def test_dead_letters_of_another_cause_than_expected_are_named_and_end_with_exit_code_1(place: Path) -> None:
    process = start(place, PROGRAM_THAT_EXPECTS_ANOTHER_ERROR)

    said, _ = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1, said
    assert "dead letters: 4 of another error" in said
    assert "4 messages are left in the dead letters" in said
    assert list(place.iterdir()) == []


def test_a_handful_of_flights_is_enough(place: Path) -> None:
    process = start(place, "import sys; from posthouse.demo import run; sys.exit(run(flights=10))")

    said, _ = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 0, said
    assert "kill -9 the whole broker" in said
    assert list(place.iterdir()) == []


def test_more_flights_than_the_file_has_are_refused() -> None:
    assert demo.run(flights=27_005) == 2

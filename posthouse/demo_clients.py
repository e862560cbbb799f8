"""The client processes of the demo: one publisher, a consumer or more per queue, and what they report.

It starts them, reads the publisher's lines and the consumers' files, and ends them; it never restarts one by
itself, since clients are expected to outlive the broker.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, final

import psutil

from posthouse.demo_audit import Ledger
from posthouse.demo_broker import end_processes
from posthouse.demo_feeds import Feed

FINISH_S: Final = 10.0
READ_BYTES_MAX: Final = 1 << 20
FAULT_CHARACTERS_MAX: Final = 300


@final
class _Consumer:
    """One consumer process and its file. `is_expected_to_live` until the demo itself ends it."""

    def __init__(self, feed: Feed, name: str, ledger: Ledger, data: Path, directory: Path) -> None:
        self.queue = feed.queue
        self.name = name
        self.ledger = ledger
        self.is_expected_to_live = True
        self.read_to = 0
        self.entries = directory / f"{name}.entries"
        self.errors = directory / f"{name}.errors"
        self.process = _start(
            "demo_consumer",
            self.errors,
            *("--data", data, "--queue", feed.queue, "--entries", self.entries, "--work", feed.work),
        )


@final
class Clients:
    """All of them. `published` is the number of flights handed to the client library so far."""

    def __init__(self, directory: Path, ledgers: Mapping[str, Ledger]) -> None:
        self.published = 0
        self.is_confirmed = False
        self.confirmed_s = 0.0
        self.confirmed_at = 0.0
        """When that was heard, in monotonic seconds."""
        self.messages_published = 0
        self.first_publish_at = 0.0
        self._data = directory / "data"
        self._received = directory / "received"
        self._ledgers = ledgers
        self._consumers: list[_Consumer] = []
        self._publisher: subprocess.Popen[bytes] | None = None
        self._publisher_errors = directory / "publisher.errors"
        self._pending = b""

    def start(self, feeds: Iterable[Feed], flights: int | None, seconds: float) -> None:
        """Consumers first, though a queue would wait for them."""
        self._received.mkdir()
        for feed in feeds:
            for _ in range(feed.consumers):
                self.add_consumer(feed)
        given: list[object] = ["--data", self._data, "--seconds", seconds]
        if flights is not None:
            given += ["--flights", flights]
        self.first_publish_at = time.monotonic()
        self._publisher = _start("demo_publisher", self._publisher_errors, *given)

    def allow(self, flight: int) -> None:
        """Let the publisher go on up to that flight."""
        assert self._publisher is not None
        assert self._publisher.stdin is not None
        # A publisher that has ended is noticed by `faults`, with what it said.
        with contextlib.suppress(BrokenPipeError):
            self._publisher.stdin.write(b"%d\n" % flight)
            self._publisher.stdin.flush()

    def is_consuming(self, name: str) -> bool:
        """Does the queue know that consumer?"""
        return next(one for one in self._consumers if one.name == name).entries.exists()

    def add_consumer(self, feed: Feed) -> str:
        """Start one more consumer of a feed's queue; returns its name."""
        number = sum(consumer.queue == feed.queue for consumer in self._consumers) + 1
        ledger = self._ledgers[feed.name]
        consumer = _Consumer(feed, f"{feed.queue}-{number}", ledger, self._data, self._received)
        self._consumers.append(consumer)
        return consumer.name

    def kill_consumer(self, queue: str) -> int:
        """SIGKILL to the first consumer of a queue; returns its pid."""
        consumer = next(one for one in self._consumers if one.queue == queue and one.is_expected_to_live)
        consumer.is_expected_to_live = False
        consumer.process.kill()
        consumer.process.wait()
        return consumer.process.pid

    def enter_into(self, queue: str, ledger: Ledger) -> None:
        """What the consumers of that queue receive from now on belongs into another ledger."""
        for consumer in self._consumers:
            if consumer.queue == queue:
                self._read_entries(consumer)
                consumer.ledger = ledger

    def retire(self, queue: str) -> None:
        """End the consumers of that queue in order; what they received is read."""
        self._end_in_order([consumer for consumer in self._consumers if consumer.queue == queue])

    def turn(self, wait_s: float) -> bool:
        """Wait a moment for the publisher, read what everybody reports; True when there was anything."""
        heard = self._hear_publisher(wait_s)
        return any([heard, *(self._read_entries(consumer) for consumer in self._consumers)])

    def faults(self) -> list[str]:
        """Clients that ended and should not have."""
        faults = [
            f"the consumer {consumer.name} ended by itself: {_tail(consumer.errors)}"
            for consumer in self._consumers
            if consumer.is_expected_to_live and consumer.process.poll() is not None
        ]
        publisher = self._publisher
        if publisher is not None and publisher.poll():
            faults.append(f"the publisher ended with {publisher.returncode}: {_tail(self._publisher_errors)}")
        return faults

    def finish(self) -> None:
        """Ask the consumers to end, and read their last entries."""
        self._end_in_order(self._consumers)

    def end(self) -> None:
        """Leave none of them alive. Safe at any moment, and twice."""
        processes = [consumer.process for consumer in self._consumers]
        if self._publisher is not None:
            processes.append(self._publisher)
        living = [psutil.Process(process.pid) for process in processes if process.poll() is None]
        end_processes(living, signal.SIGKILL)
        for process in processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()

    def _end_in_order(self, consumers: list[_Consumer]) -> None:
        living = [consumer for consumer in consumers if consumer.process.poll() is None]
        for consumer in living:
            consumer.is_expected_to_live = False
            consumer.process.terminate()
        deadline = time.monotonic() + FINISH_S
        for consumer in living:
            with contextlib.suppress(subprocess.TimeoutExpired):
                consumer.process.wait(max(0.1, deadline - time.monotonic()))
        for consumer in consumers:
            self._read_entries(consumer)

    def _hear_publisher(self, wait_s: float) -> bool:
        assert self._publisher is not None
        assert self._publisher.stdout is not None
        pipe = self._publisher.stdout
        is_ended = self._publisher.poll() is not None
        readable, _, _ = select.select([pipe], [], [], wait_s)
        data = os.read(pipe.fileno(), READ_BYTES_MAX) if readable else b""
        if is_ended and not data:
            # The pipe of an ended process is readable at once and for ever; this is the wait it would skip.
            select.select([], [], [], wait_s)
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._note(json.loads(line))
        return bool(data)

    def _note(self, facts: dict[str, Any]) -> None:
        self.published = facts.get("published", self.published)
        if "confirmed" in facts:
            self.published = facts["confirmed"]
            self.messages_published = facts["messages"]
            self.confirmed_s = facts["seconds"]
            self.confirmed_at = time.monotonic()
            self.is_confirmed = True

    def _read_entries(self, consumer: _Consumer) -> bool:
        try:
            with consumer.entries.open("rb") as file:
                file.seek(consumer.read_to)
                data = file.read()
        except FileNotFoundError:
            return False
        taken = consumer.ledger.read(consumer.name, data)
        consumer.read_to += taken
        return taken > 0


def _start(module: str, errors: Path, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"posthouse.{module}", *map(str, arguments)]
    is_talking = module == "demo_publisher"
    with errors.open("wb") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE if is_talking else subprocess.DEVNULL,
            stdout=subprocess.PIPE if is_talking else subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,
        )


def _tail(errors: Path) -> str:
    text = errors.read_text(encoding="utf-8", errors="replace").strip()
    return text.rpartition("\n")[2][-FAULT_CHARACTERS_MAX:] or "it said nothing"

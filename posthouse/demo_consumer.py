"""One consumer process of the demo: receives, writes down what it received, does its work, settles.

The entry is written before the ack, so a message that was acked is always in the file, however the process
ends; a message that is in the file and was not acked comes again, to somebody else, marked as redelivered.
One client object serves the whole life of the process, through every restart of the broker.

Fails with: the client's errors, to stderr and exit code 1; the demo reports the process as lost.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
import zlib
from collections.abc import Iterator

import posthouse
from posthouse.demo_audit import pack_entry
from posthouse.demo_feeds import Work
from posthouse.demo_flights import number_of, without_moment
from posthouse.demo_rebooking import NoAircraft, rebook, rebook_repaired

PREFETCH = 256
BATCH_MESSAGES_MAX = 128
TURN_S = 0.2
DEADLINE_S = 60.0


def consume(data: str, queue: str, entries: str, work: Work, stopping: threading.Event) -> None:
    """Receive until told to stop. The file of entries is there as soon as the queue knows the consumer."""
    with (
        posthouse.connect(data=data, timeout_s=DEADLINE_S) as broker,
        broker.consume(queue, prefetch=PREFETCH) as messages,
    ):
        file = os.open(entries, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        while not stopping.is_set():
            batch = messages.batch(BATCH_MESSAGES_MAX, timeout_s=TURN_S)
            os.write(file, b"".join(_entries(batch, work)))
            if work is Work.REBOOK:
                _rebook(batch)
                continue
            if work is Work.REBOOK_REPAIRED:
                for message in batch:
                    rebook_repaired(message.body)
            messages.ack_all(batch)


def _entries(batch: list[posthouse.Message], work: Work) -> Iterator[bytes]:
    now, now_us = time.monotonic(), time.time_ns() // 1000
    for message in batch:
        body, late_us = message.body, 0
        if work is Work.WATCH:
            body, due_ms = without_moment(body)
            # 0 would mean that it had no time.
            late_us = now_us - due_ms * 1000 or 1
        yield pack_entry(number_of(body), message.attempt, zlib.crc32(body), now, late_us)


def _rebook(batch: list[posthouse.Message]) -> None:
    for message in batch:
        try:
            rebook(message.body)
        except (NoAircraft, ValueError) as error:
            message.nack(error=error)
        else:
            message.ack()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m posthouse.demo_consumer", description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--queue", required=True)
    parser.add_argument("--entries", required=True, help="file to append to")
    parser.add_argument("--work", type=Work, default=Work.RECORD)
    given = parser.parse_args()
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    consume(given.data, given.queue, given.entries, given.work, stopping)


if __name__ == "__main__":
    main()

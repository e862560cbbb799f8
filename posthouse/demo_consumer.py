"""One consumer process of the demo: receives, writes down what it received, acks.

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

import posthouse
from posthouse.demo_audit import pack_entry
from posthouse.demo_flights import number_of

PREFETCH = 256
BATCH_MESSAGES_MAX = 128
TURN_S = 0.2
DEADLINE_S = 60.0


def consume(data: str, queue: str, entries: str, stopping: threading.Event) -> None:
    """Receive until told to stop. The file of entries is there as soon as the queue knows the consumer."""
    with (
        posthouse.connect(data=data, timeout_s=DEADLINE_S) as broker,
        broker.consume(queue, prefetch=PREFETCH) as messages,
    ):
        file = os.open(entries, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        while not stopping.is_set():
            batch = messages.batch(BATCH_MESSAGES_MAX, timeout_s=TURN_S)
            now = time.monotonic()
            taken = [
                pack_entry(number_of(message.body), message.attempt, zlib.crc32(message.body), now) for message in batch
            ]
            os.write(file, b"".join(taken))
            messages.ack_all(batch)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m posthouse.demo_consumer", description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--queue", required=True)
    parser.add_argument("--entries", required=True, help="file to append to")
    given = parser.parse_args()
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    consume(given.data, given.queue, given.entries, stopping)


if __name__ == "__main__":
    main()

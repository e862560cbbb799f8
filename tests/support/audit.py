"""The audit: what publishers attempted and were promised, what consumers got, and whether the two agree.

It knows nothing of brokers. Publishers report numbers before they send them and after they are confirmed; consumers
write down what they got before they settle it. From these it judges: no confirmed message lost, none invented,
none damaged, first deliveries in order, and no second delivery that claims to be the first.

A message is 16 bytes and a filling that follows from them:

    0        4         8          16
    +--------+---------+----------+------------------+
    | stream | number  | checksum | filling ...      |     u32, u32, u64, little endian
    +--------+---------+----------+------------------+

An entry of a consumer's notebook is `stream, number, attempt, is_whole`, four u32.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterable
from typing import Final, final

_HEAD: Final = struct.Struct("<IIQ")
_ENTRY: Final = struct.Struct("<IIII")
FILLING_BYTES_MAX: Final = 300

Message = tuple[int, int]
"""Stream and number."""


def body_of(stream: int, number: int) -> bytes:
    """The body of one message; sizes differ from message to message."""
    filling = b"%d/%d " % (stream, number) * (1 + number * 7919 % 30)
    filling = filling[:FILLING_BYTES_MAX]
    return _HEAD.pack(stream, number, zlib.crc32(filling)) + filling


def entry_of(body: bytes, attempt: int) -> bytes:
    """What a consumer writes down about a message it got."""
    if len(body) < _HEAD.size:
        return _ENTRY.pack(0, 0, attempt, 0)
    stream, number, _ = _HEAD.unpack_from(body)
    return _ENTRY.pack(stream, number, attempt, body == body_of(stream, number))


@final
class Audit:
    """The books of one run. Publishers may report from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempted: dict[int, int] = {}
        self._confirmed: dict[int, int] = {}

    def attempt(self, stream: int, number: int) -> None:
        """A publisher is about to send this one; numbers count from 1."""
        with self._lock:
            self._attempted[stream] = number

    def confirm(self, stream: int, through: int) -> None:
        """Everything up to this number was confirmed."""
        with self._lock:
            self._confirmed[stream] = through

    @property
    def unconfirmed(self) -> int:
        """Messages on their way."""
        with self._lock:
            return sum(self._attempted.values()) - sum(self._confirmed.values())

    @property
    def confirmed(self) -> int:
        with self._lock:
            return sum(self._confirmed.values())

    def missing(self, notebooks: Iterable[bytes]) -> int:
        """Confirmed messages that none of these notebooks knows."""
        seen = {(stream, number) for book in notebooks for stream, number, _, _ in entries(book)}
        return sum(number not in seen for number in self._promised())

    def faults(self, queue: str, notebooks: Iterable[bytes], held_max: int = 0) -> list[str]:
        """What is wrong with one queue, whose consumers wrote these notebooks one after the other.

        A consumer that was killed may have held `held_max` messages it had not written down. Until the queue finds
        it dead its successor gets later ones, so up to so many may be new out of order to each but the first.
        """
        faults: list[str] = []
        seen: set[Message] = set()
        last_first: dict[int, int] = {}
        last_new: dict[int, int] = {}
        for place, book in enumerate(notebooks):
            may_be_late = held_max if place else 0
            for stream, number, attempt, is_whole in entries(book):
                message = f"{queue}: message {number} of stream {stream}, attempt {attempt}, notebook {place}"
                if not is_whole:
                    faults.append(f"{message} is damaged")
                if not 1 <= number <= self._attempted.get(stream, 0):
                    faults.append(f"{message} was never sent")
                    continue
                if (stream, number) in seen and attempt == 1:
                    faults.append(f"{message} came again and says that it came first")
                if attempt == 1 and number <= last_first.get(stream, 0):
                    faults.append(f"{message} was first delivered after {last_first[stream]}")
                if (stream, number) not in seen and number < last_new.get(stream, 0):
                    may_be_late -= 1
                    if attempt == 1 or may_be_late < 0:
                        faults.append(f"{message} was new after {last_new[stream]}")
                if attempt == 1:
                    last_first[stream] = number
                last_new[stream] = max(number, last_new.get(stream, 0))
                seen.add((stream, number))
        lost = [message for message in self._promised() if message not in seen]
        faults += [f"{queue}: message {number} of stream {stream} is lost" for stream, number in lost]
        return faults

    def _promised(self) -> Iterable[Message]:
        with self._lock:
            confirmed = dict(self._confirmed)
        return [(stream, number) for stream, last in confirmed.items() for number in range(1, last + 1)]


def entries(book: bytes) -> Iterable[tuple[int, int, int, int]]:
    """The whole entries of a notebook; who was killed may have left half of one, of a message it had not acked."""
    return _ENTRY.iter_unpack(book[: len(book) - len(book) % _ENTRY.size])

"""The two halves of one end of a link, as pure state machines: what is sent, and what is received.

ZeroMQ forgets what was in flight when a peer or a connection dies. A link does not: every DATA frame has a
number, the receiver says what it *received* (in order) and what it has *settled* (taken responsibility
for), and the sender keeps a frame until it is settled, within a window of messages and bytes. After a loss
it sends again from the first frame that did not arrive; in a new session it sends again everything
unsettled. The receiver drops what it has seen.

The end that opened the link and the end that serves it run the same code; only `links.py` knows which is
which. Nothing here reads a clock: `now_ms` comes in. Memory and work grow with what is in flight, never
with the age of a session: one frame that stays unsettled for a day costs no more than itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import Any, Final, final

import msgspec

from posthouse.transport.errors import ProtocolViolation
from posthouse.transport.limits import ENVELOPE_BYTES_TARGET, Limits
from posthouse.transport.wire import (
    HEADER_BYTES,
    PIECES_MAX,
    RANGES_MAX,
    pack_array_head,
)

Piece = bytes | memoryview | msgspec.Raw

RETRY_MS_MIN: Final = 500
"""No progress for this long: ask the peer where it stands. Doubles while nothing comes back."""

RETRY_MS_MAX: Final = 4_000
RESEND_PAUSE_MS: Final = 50
"""A gap is reported once per early frame; the frames are sent again at most once in this time."""

FRAME_OVERHEAD_BYTES: Final = HEADER_BYTES + 3
"""Header and array head. They count against the window, or many small frames would overrun the peer."""

_Entry = tuple[Piece, int, int, Any]


@final
class Frame:
    """A DATA frame in flight. It keeps its pieces: a new session may have to cut them otherwise."""

    __slots__ = ("entries", "messages", "sequence", "size")

    def __init__(self, sequence: int, entries: list[_Entry], size: int, messages: int) -> None:
        self.sequence = sequence
        self.size = size
        self.messages = messages
        self.entries = entries

    def seal(self, header: bytes) -> bytes:
        """The frame's bytes behind this header; each time costs one copy of the body."""
        entries = self.entries
        return b"".join([header, pack_array_head(len(entries)), *[entry[0] for entry in entries]])


@final
class Sender:
    """The sending half: backlog, window, and what to send again."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._backlog: deque[_Entry] = deque()
        self.backlog_messages = 0
        self.backlog_bytes = 0
        self.offered = 0
        self._begin()

    def _begin(self) -> None:
        self._in_flight: dict[int, Frame] = {}
        self._again: list[Frame] = []
        self._known_ranges: dict[int, int] = {}
        self._settled = 0
        self.last_sequence = 0
        self.messages = 0
        self.received = 0
        self.messages_in_flight = 0
        self.bytes_in_flight = 0
        self._last_resend_ms = -RESEND_PAUSE_MS

    def offer(self, piece: Piece, size: int, messages: int, context: Any) -> None:
        """Queue one encoded message; `context`, unless None, comes back when the peer has settled it."""
        self._backlog.append((piece, size, messages, context))
        self.offered += 1
        self.backlog_messages += messages
        self.backlog_bytes += size

    @property
    def sent(self) -> int:
        """How many of all `offered` messages have been put into a frame."""
        return self.offered - len(self._backlog)

    @property
    def has_backlog(self) -> bool:
        return bool(self._backlog)

    @property
    def has_in_flight(self) -> bool:
        """Frames are out that the peer has not settled."""
        return bool(self._in_flight)

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing is in flight."""
        return not self._backlog and not self._in_flight

    @property
    def is_waiting_for_receipt(self) -> bool:
        """Frames are out that the peer has not said it received."""
        return self.received < self.last_sequence

    def frames_to_send(self) -> list[Frame]:
        """Frames to put on the wire now: those to send again first, then new ones within the window."""
        frames: list[Frame] = []
        if self._again:
            frames += [frame for frame in self._again if frame.sequence > self.received]
            self._again = []
        while self._backlog and self._has_room():
            frames.append(self._form_frame())
        return frames

    def acknowledged(self, received: int, settled: int, ranges: list[int]) -> list[Any]:
        """Take over what the peer says of our frames; returns the contexts that are settled now, in order.

        Raises ProtocolViolation, and changes nothing, when the peer speaks of frames that it cannot have.
        """
        if not settled <= received <= self.last_sequence:
            raise ProtocolViolation(
                f"received {received} and settled {settled} are said of {self.last_sequence} frames"
            )
        if ranges:
            _check_ranges(ranges, settled, received)
        if received > self.received:
            self.received = received
        contexts: list[Any] = []
        if settled > self._settled:
            self._settle(self._settled + 1, settled, contexts)
            self._settled = settled
        if ranges:
            self._settle_ranges(ranges, contexts)
        return contexts

    def send_again(self, through: int, now_ms: int) -> None:
        """The peer saw a frame numbered `through`, or was asked after it, and misses some up to there."""
        if self.received >= through or now_ms - self._last_resend_ms < RESEND_PAUSE_MS:
            return
        self._last_resend_ms = now_ms
        self._again = [frame for frame in self._in_flight.values() if frame.sequence > self.received]

    def restart(self) -> None:
        """A new session: everything unsettled goes back before the backlog, in the order it was offered in.

        The frames are formed anew, since the new session may come with a smaller window.
        """
        entries = [entry for frame in self._in_flight.values() for entry in frame.entries]
        self._backlog.extendleft(reversed(entries))
        for _, size, messages, _ in entries:
            self.backlog_messages += messages
            self.backlog_bytes += size
        self._begin()

    def forget(self, is_decided: Callable[[Piece], bool]) -> None:
        """The session is over. What is decided although nobody settled it is not sent in the next one."""
        self.restart()
        kept = deque(entry for entry in self._backlog if not is_decided(entry[0]))
        self.backlog_messages = sum(messages for _, _, messages, _ in kept)
        self.backlog_bytes = sum(size for _, size, _, _ in kept)
        self._backlog = kept

    def abandon(self) -> list[Any]:
        """Forget everything; returns the contexts that were never settled, in order."""
        self.restart()
        contexts = [context for _, _, _, context in self._backlog if context is not None]
        self._backlog.clear()
        self.backlog_messages = self.backlog_bytes = 0
        return contexts

    def _has_room(self) -> bool:
        if not self._in_flight:
            return True  # Whatever its size, one frame may always go: a limit must not become a standstill.
        _, size, messages, _ = self._backlog[0]
        return (
            self.messages_in_flight + (messages or 1) <= self.limits.window_messages
            and self.bytes_in_flight + size + FRAME_OVERHEAD_BYTES <= self.limits.window_bytes
        )

    def _form_frame(self) -> Frame:
        backlog = self._backlog
        limits = self.limits
        messages_room = limits.window_messages - self.messages_in_flight
        bytes_room = min(ENVELOPE_BYTES_TARGET, limits.window_bytes - self.bytes_in_flight, limits.frame_bytes_max)
        entry = backlog.popleft()
        entries = [entry]
        _, body_bytes, messages, _ = entry
        if backlog:
            room = bytes_room - FRAME_OVERHEAD_BYTES
            while backlog and len(entries) < PIECES_MAX:
                entry = backlog[0]
                if body_bytes + entry[1] > room or messages + entry[2] > messages_room:
                    break
                entries.append(backlog.popleft())
                body_bytes += entry[1]
                messages += entry[2]
        self.backlog_messages -= messages
        self.backlog_bytes -= body_bytes
        self.last_sequence += 1
        frame = Frame(self.last_sequence, entries, body_bytes + FRAME_OVERHEAD_BYTES, messages or 1)
        self._in_flight[frame.sequence] = frame
        self.messages_in_flight += frame.messages
        self.messages += frame.messages
        self.bytes_in_flight += frame.size
        return frame

    def _settle(self, first: int, last: int, contexts: list[Any]) -> None:
        in_flight = self._in_flight
        numbers: Any = range(first, last + 1)
        if len(numbers) > len(in_flight):
            numbers = [number for number in in_flight if first <= number <= last]
        for number in numbers:
            frame = in_flight.pop(number, None)
            if frame is not None:
                self.messages_in_flight -= frame.messages
                self.bytes_in_flight -= frame.size
                contexts += [entry[3] for entry in frame.entries if entry[3] is not None]

    def _settle_ranges(self, ranges: list[int], contexts: list[Any]) -> None:
        """An acknowledgement repeats the ranges of the one before; only what is new in them is looked at."""
        known = self._known_ranges
        self._known_ranges = {}
        for first, last in zip(ranges[::2], ranges[1::2], strict=True):
            known_last = known.get(first, first - 1)
            if known_last < last:
                self._settle(known_last + 1, last, contexts)
            self._known_ranges[first] = max(last, known_last)


def _check_ranges(ranges: list[int], settled: int, received: int) -> None:
    if len(ranges) % 2:
        raise ProtocolViolation("the settled ranges are not pairs of a first and a last number")
    before = settled
    for first, last in zip(ranges[::2], ranges[1::2], strict=True):
        if not before < first <= last:
            raise ProtocolViolation(f"the settled range {first} to {last} does not follow {before}")
        before = last
    if before > received:
        raise ProtocolViolation(f"frame {before} is said to be settled and only {received} to be received")


@final
class Receiver:
    """The receiving half: order, duplicates, and what to acknowledge."""

    def __init__(self) -> None:
        self.received = 0
        self.settled = 0
        self._early: list[int] = []
        self.messages = 0
        self._unsettled_frames = 0
        self._unsettled_messages = 0
        self._unsettled_bytes = 0

    def accept(self, sequence: int) -> bool | None:
        """True: the next frame, take it. False: seen before, drop it. None: too early, something was lost."""
        if sequence == self.received + 1:
            self.received = sequence
            return True
        return False if sequence <= self.received else None

    def settle(self, sequence: int) -> bool:
        """Responsibility for a received frame is taken; the sender may forget it. False: it was before."""
        early = self._early
        if sequence == self.settled + 1:
            if early and early[0] == sequence + 1:
                sequence = early[1]
                del early[:2]
            self.settled = sequence
            return True
        if sequence <= self.settled:
            return False
        at = bisect_right(early, sequence)
        if at % 2 or (at and early[at - 1] == sequence):
            return False
        follows = at > 0 and early[at - 1] == sequence - 1
        precedes = at < len(early) and early[at] == sequence + 1
        if follows and precedes:
            del early[at - 1 : at + 1]
        elif follows:
            early[at - 1] = sequence
        elif precedes:
            early[at] = sequence
        else:
            early[at:at] = (sequence, sequence)
        return True

    def take_credit(self, messages: int, frame_bytes: int, limits: Limits) -> None:
        """A frame was taken. Raises ProtocolViolation when the peer did not wait for room in its window.

        One frame alone may be of any size; so the sender decides, and so must the check.
        """
        self.messages += messages
        self._unsettled_frames += 1
        self._unsettled_messages += messages
        self._unsettled_bytes += frame_bytes
        if self._unsettled_frames > 1 and (
            self._unsettled_messages > limits.window_messages or self._unsettled_bytes > limits.window_bytes
        ):
            raise ProtocolViolation(
                f"{self._unsettled_messages} messages and {self._unsettled_bytes} bytes are unsettled, "
                f"its window is {limits.window_messages} and {limits.window_bytes}"
            )

    def return_credit(self, messages: int, frame_bytes: int) -> None:
        """A frame was settled."""
        self._unsettled_frames -= 1
        self._unsettled_messages -= messages
        self._unsettled_bytes -= frame_bytes

    @property
    def has_ranges(self) -> bool:
        """Something is settled beyond `settled`, which only an ACK can say."""
        return bool(self._early)

    def ranges(self) -> list[int]:
        """What is settled beyond `settled`, flat and ascending; of very many ranges the first."""
        return self._early[: 2 * RANGES_MAX]

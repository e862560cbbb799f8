"""The control channel: the socket pair between a child and its supervisor, one class for each end.

The child's end may block in `send` for as long as the supervisor does not read, and never in `receive`. The
supervisor's end never blocks: what a child does not read is kept up to a limit, and beyond it the child
counts as hung. Fails with: the other side's end, which is `Stop` for the child and `is_closed` for the
supervisor.
"""

from __future__ import annotations

import os
import socket
from typing import final

from posthouse.supervisor.control_messages import (
    FromChild,
    FromSupervisor,
    Stop,
    StopMe,
    Unframer,
    decode_from_child,
    decode_from_supervisor,
    encode,
)

OUT_BYTES_MAX = 16 * 1024 * 1024
_CHILD_READ_BYTES = 64 * 1024
# Little per turn: a child that floods its supervisor gets no more of it than any other.
_SUPERVISOR_READ_BYTES = 16 * 1024


def open_pair() -> tuple[int, int]:
    """The supervisor's and the child's descriptor.

    Plain numbers: a socket object that is collected in a forked child would close whatever has its number
    then.
    """
    supervisor_end, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    supervisor_end.setblocking(False)
    return supervisor_end.detach(), child_end.detach()


@final
class ControlChannel:
    """The child's end. For one thread only, the main thread if signals are to be turned into `Stop`."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._unframer = Unframer()
        self._is_sending = False
        self._is_stop_wanted = False
        self._is_ended = False

    def fileno(self) -> int:
        """Readable when `receive` has something to return."""
        return self._socket.fileno()

    def send(self, message: FromChild) -> None:
        """Send one message. If the supervisor is gone it is dropped: `receive` will say so."""
        self._is_sending = True
        try:
            self._socket.sendall(encode(message))
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            self._is_sending = False
        if self._is_stop_wanted:
            self.ask_for_stop()

    def receive(self) -> list[FromSupervisor]:
        """Everything that has arrived, without waiting. After the supervisor's end: `Stop`, once."""
        messages: list[FromSupervisor] = []
        while not self._is_ended:
            try:
                data = self._socket.recv(_CHILD_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data = b""
            messages += [decode_from_supervisor(body) for body in self._unframer.feed(data)]
            if not data:
                self._is_ended = True
                messages.append(Stop("the supervisor is gone"))
        return messages

    def ask_for_stop(self) -> None:
        """Have the supervisor answer with `Stop`. May be called by a signal handler in the middle of `send`.

        Asking keeps the decision where it belongs: with a SIGTERM to the whole process group the supervisor
        still stops its children in order.
        """
        self._is_stop_wanted = self._is_sending
        if not self._is_stop_wanted:
            self.send(StopMe())


@final
class SupervisorEnd:
    """The supervisor's end of one child's channel."""

    def __init__(self, descriptor: int, out_bytes_max: int = OUT_BYTES_MAX) -> None:
        self.descriptor = descriptor
        self.is_closed = False
        self._out_bytes_max = out_bytes_max
        self._unframer = Unframer()
        self._out = bytearray()

    @property
    def has_output(self) -> bool:
        """Something waits for the child to read."""
        return bool(self._out)

    def send(self, message: FromSupervisor) -> bool:
        """Send or keep one message. False if the child has left too much unread; then nothing is kept."""
        return self.send_encoded(encode(message))

    def send_encoded(self, frame: bytes) -> bool:
        """As `send`, for a message that goes to many children."""
        if self.is_closed:
            return True
        if len(self._out) + len(frame) > self._out_bytes_max:
            return False
        self._out += frame
        self.flush()
        return True

    def flush(self) -> None:
        """Write what the socket takes."""
        while self._out:
            try:
                written = os.write(self.descriptor, self._out)
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                self._out.clear()
                return
            del self._out[:written]

    def receive(self) -> list[FromChild]:
        """A bounded part of what has arrived; sets `is_closed` at the end. Raises ProtocolViolation."""
        return [decode_from_child(body) for body in self._unframer.feed(self._read())]

    def receive_rest(self) -> list[FromChild]:
        """What a dead child said before it died. Raises ProtocolViolation."""
        messages: list[FromChild] = []
        while not self.is_closed and (data := self._read()):
            messages += [decode_from_child(body) for body in self._unframer.feed(data)]
        return messages

    def _read(self) -> bytes:
        try:
            data = os.read(self.descriptor, _SUPERVISOR_READ_BYTES)
        except BlockingIOError:
            return b""
        except ConnectionResetError:
            data = b""
        self.is_closed = not data
        return data

"""The control channel: messages, framing, both ends over a real socket pair."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from posthouse.supervisor import control
from posthouse.supervisor import control_messages as messages
from posthouse.supervisor.control import ControlChannel, SupervisorEnd
from posthouse.supervisor.control_messages import (
    MESSAGE_BYTES_MAX,
    Alarm,
    Announce,
    NodeInfo,
    Ready,
    StartChild,
    Stop,
    StopMe,
    Tree,
    Unframer,
    Up,
    decode_from_child,
    decode_from_supervisor,
    encode,
)
from posthouse.transport.errors import ProtocolViolation

Ends = tuple[SupervisorEnd, ControlChannel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    supervisor_end, child_end = control.open_pair()
    supervisor, child = SupervisorEnd(supervisor_end), ControlChannel(child_end)
    yield supervisor, child
    child._socket.close()
    if supervisor.descriptor >= 0:
        os.close(supervisor.descriptor)


def hang_up(supervisor: SupervisorEnd) -> None:
    os.close(supervisor.descriptor)
    supervisor.descriptor = -1


@pytest.mark.parametrize(
    "message",
    [
        Ready("ipc://x"),
        messages.Watch("q"),
        messages.Unwatch("q"),
        StartChild(1, "pool", "queue", "q", b"\x00\xff"),
        messages.StopChild(2, "q"),
        messages.RestartChild(3, "q"),
        messages.DescribeTree(4),
        Announce("text"),
        Alarm("breaker_opened", {"queue": "q", "opened": 2}, True),
        StopMe(),
    ],
)
def test_what_a_child_says_arrives_as_it_was(ends: Ends, message: messages.FromChild) -> None:
    supervisor, child = ends
    child.send(message)
    assert supervisor.receive() == [message]


@pytest.mark.parametrize(
    "message",
    [
        Up("q", 7, "ipc://x"),
        messages.Down("q", 7, "quarantined", "why"),
        messages.Done(1, ok=False, text="no"),
        Tree(2, [NodeInfo("q", "queue", "pool", "up")]),
        Stop("because"),
    ],
)
def test_what_the_supervisor_says_arrives_as_it_was(ends: Ends, message: messages.FromSupervisor) -> None:
    supervisor, child = ends
    assert supervisor.send(message)
    assert child.receive() == [message]
    assert child.receive() == []


def test_messages_cut_at_every_byte_are_put_together_again() -> None:
    frames = encode(Ready("a")) + encode(Announce("b" * 300)) + encode(StopMe())
    for cut in range(len(frames)):
        unframer = Unframer()
        bodies = unframer.feed(frames[:cut]) + unframer.feed(frames[cut:])
        assert [decode_from_child(body) for body in bodies] == [Ready("a"), Announce("b" * 300), StopMe()]


def test_a_length_over_the_limit_is_a_violation_before_anything_is_kept() -> None:
    with pytest.raises(ProtocolViolation, match="claims"):
        Unframer().feed((MESSAGE_BYTES_MAX + 1).to_bytes(4, "big"))


def test_a_message_over_the_limit_is_not_sent() -> None:
    with pytest.raises(ProtocolViolation, match="Announce"):
        encode(Announce("x" * MESSAGE_BYTES_MAX))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80", encode(Stop(""))[4:-1], b"\x81\xa4type\xa2\xff\xff"])
def test_what_is_no_message_is_a_violation_on_both_sides(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_from_child(body)
    with pytest.raises(ProtocolViolation):
        decode_from_supervisor(body)


def test_a_child_is_told_once_to_stop_when_its_supervisor_is_gone(ends: Ends) -> None:
    supervisor, child = ends
    supervisor.send(Up("q", 1, ""))
    hang_up(supervisor)
    assert child.receive() == [Up("q", 1, ""), Stop("the supervisor is gone")]
    assert child.receive() == []
    child.send(Ready())


def test_a_reset_by_the_supervisor_is_its_end(ends: Ends) -> None:
    supervisor, child = ends
    child.send(Ready())
    hang_up(supervisor)
    assert child.receive() == [Stop("the supervisor is gone")]


def test_a_reset_by_the_child_is_its_end(ends: Ends) -> None:
    supervisor, child = ends
    supervisor.send(Stop(""))
    child._socket.close()
    assert supervisor.receive() == []
    assert supervisor.is_closed
    assert supervisor.receive_rest() == []
    assert supervisor.send(Stop(""))
    assert not supervisor.has_output


def test_what_a_child_cannot_read_any_more_is_dropped(ends: Ends) -> None:
    supervisor, child = ends
    child._socket.close()
    assert supervisor.send(Stop(""))
    assert not supervisor.has_output


def test_what_a_child_does_not_read_is_kept_up_to_the_limit_and_then_refused() -> None:
    supervisor_end, child_end = control.open_pair()
    supervisor, child = SupervisorEnd(supervisor_end, out_bytes_max=1_000_000), ControlChannel(child_end)
    big = Up("q", 1, "x" * 100_000)
    sent = 0
    while supervisor.send(big):
        sent += 1
    assert supervisor.has_output
    received = 0
    while received < sent:
        received += len(child.receive())
        supervisor.flush()
    assert supervisor.send(Stop(""))
    assert child.receive() == [Stop("")]
    child._socket.close()
    os.close(supervisor_end)


def test_a_flood_is_read_in_small_parts_and_to_the_end_when_the_child_is_dead(ends: Ends) -> None:
    supervisor, child = ends
    for _ in range(50):
        child.send(Announce("x" * 1000))
    first = supervisor.receive()
    assert 0 < len(first) < 20
    child._socket.close()
    assert len(first) + len(supervisor.receive_rest()) == 50
    assert supervisor.is_closed


def test_last_words_end_where_a_grandchild_keeps_the_channel_open(ends: Ends) -> None:
    supervisor, child = ends
    child.send(Ready())
    assert supervisor.receive_rest() == [Ready()]
    assert supervisor.receive() == []
    assert not supervisor.is_closed


def test_asking_for_a_stop_in_the_middle_of_a_send_waits_until_the_message_is_out(ends: Ends) -> None:
    supervisor, child = ends
    real = child._socket

    class Interrupted:
        def sendall(self, data: bytes) -> None:
            half = len(data) // 2
            real.sendall(data[:half])
            if self.is_first:
                self.is_first = False
                child.ask_for_stop()
            real.sendall(data[half:])

        is_first = True

    child._socket = Interrupted()  # type: ignore[assignment]
    child.send(Ready("x"))
    child._socket = real
    assert supervisor.receive() == [Ready("x"), StopMe()]
    child.ask_for_stop()
    assert supervisor.receive() == [StopMe()]


def test_the_childs_end_can_be_polled(ends: Ends) -> None:
    supervisor, child = ends
    duplicate = socket.socket(fileno=os.dup(child.fileno()))
    duplicate.setblocking(True)
    supervisor.send(Stop(""))
    assert duplicate.recv(1, socket.MSG_PEEK)
    duplicate.close()

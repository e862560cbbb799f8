"""The loop of the door's process: a TCP socket on one side, the actors' sockets on the other.

Fails with: OSError when the address cannot be bound; the supervisor tries again with growing pauses.
"""

from __future__ import annotations

from typing import Final, final

from posthouse.actors.door import Door
from posthouse.actors.door_figures import DoorFigures
from posthouse.actors.loop import monotonic_us, wall_ms
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.child_spec import Life
from posthouse.transport.sockets import Router, Sent, Sockets

FRAMES_PER_ROUND_MAX: Final = 256
WAIT_MS: Final = 500


@final
class DoorLoop:
    """Runs the door until it is told to stop."""

    def __init__(self, life: Life, sockets: Sockets) -> None:
        self._life = life
        self._sockets = sockets
        assert sockets.served is not None, "a door is served before its loop begins"
        sockets.served.learn_addresses()
        self._door = Door(sockets.served.address_of)
        self._figures = DoorFigures(life.meter, self._door)
        self._is_stopping = False

    def run(self) -> int:
        """Returns the exit code."""
        life, sockets, door, figures = self._life, self._sockets, self._door, self._figures
        served = sockets.served
        assert served is not None
        sockets.watch(life.control.fileno())
        life.control.send(control.Ready(sockets.endpoint))
        while not self._is_stopping:
            life.beacon.idle()
            sockets.wait(WAIT_MS)
            life.beacon.busy(1)
            began_us = monotonic_us()
            if sockets.is_readable(life.control.fileno()):
                self._notice()
            for client, frame in served.receive(FRAMES_PER_ROUND_MAX):
                figures.came_in(len(frame))
                door.from_client(client, frame)
            for _, frame in sockets.outbound.receive(FRAMES_PER_ROUND_MAX):
                figures.frames_received += 1
                door.from_actor(frame)
            self._pass_on(served)
            figures.round_ended(began_us, monotonic_us(), wall_ms())
        return 0

    def _notice(self) -> None:
        for message in self._life.control.receive():
            if isinstance(message, control.Stop):
                self._is_stopping = True
            if isinstance(message, control.Down):
                outbound = self._sockets.outbound
                for name in outbound.names_of(message.id):
                    outbound.disconnect(name)
            self._door.noticed(message)

    def _pass_on(self, served: Router) -> None:
        door, outbound, figures = self._door, self._sockets.outbound, self._figures
        for name, endpoint in door.to_connect:
            outbound.connect_life(name.decode().rpartition("/")[0], name, endpoint)
        door.to_connect.clear()
        gone: dict[bytes, None] = {}
        for client, frame in door.to_clients:
            if client not in gone:
                sent = served.send(client, frame)
                if sent is Sent.GONE:
                    gone[client] = None
                figures.went_out(len(frame), is_taken=sent is Sent.TAKEN)
        door.to_clients.clear()
        for client in gone:
            door.client_gone(client)
            served.forget_address(client)
        for name, frame in door.to_actors:
            # Frames for a life that just ended are lost here; the client's link sends again.
            figures.went_in(is_taken=outbound.send(name, frame) is not Sent.FULL)
        door.to_actors.clear()
        for message in door.to_supervisor:
            self._life.control.send(message)
        door.to_supervisor.clear()

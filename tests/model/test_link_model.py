"""Two ends of a link over a wire that drops, repeats, reorders and delays, beside a book of promises.

The opening end survives; the serving end dies and lives again in a new generation, with other limits. In
half of the runs every life has an endpoint of its own, as with ipc; in the others they share one, as behind
a door, and whatever was on its way to a dead life reaches the next one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from typing import Final, NamedTuple, final

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from posthouse.transport.limits import Limits
from posthouse.transport.links import Arrived, Ended, Identity, Link, Links, Opened, Settled, State
from posthouse.transport.wire import unpack_header

TARGET: Final = "queue:q"
TICK_MS: Final = 100
HEAL_TICKS_MAX: Final = 150
ROOMY: Final = Limits(
    body_bytes_max=1_000, frame_bytes_max=700, window_messages=10, window_bytes=600, ping_interval_ms=500
)
NARROW: Final = Limits(
    body_bytes_max=1_000, frame_bytes_max=400, window_messages=3, window_bytes=200, ping_interval_ms=300
)


class Flying(NamedTuple):
    """A frame on the wire. `life` is the generation whose endpoint it was sent to, or came from."""

    is_to_server: bool
    life: int
    frame: bytes


@final
class Side:
    """One end and its book: what it offered, what it was told, what it took."""

    def __init__(self, links: Links, name: str) -> None:
        self.links = links
        self.name = name
        self.offered = 0
        self.told: set[int] = set()
        self.unsettled: list[Arrived] = []
        self.arrived: dict[int, list[int]] = {}
        self.open_sessions: set[int] = set()


@final
class World:
    """Both ends, the wire, the clock, and the checks that hold after every step."""

    def __init__(self, seed: int, *, has_door: bool) -> None:
        self.has_door = has_door
        self.now_ms = 10_000
        self.wire: list[Flying] = []
        self.taken_by_server: set[int] = set()
        self.taken_by_client: set[tuple[int, int]] = set()
        self.answered: set[tuple[int, int]] = set()
        self.heard: set[tuple[int, int]] = set()
        self.generation = 0
        self._random = random.Random(seed)
        self.client = Side(Links(Identity(0, 7, "client"), ROOMY, self._random), "client")
        self.link = self.client.links.open(TARGET)
        self.server: Side
        self.crash_server()
        self.announce()

    # ---- what the world does ----

    def offer(self, messages: int, size: int) -> None:
        """The client offers messages."""
        for _ in range(messages):
            self.client.offered += 1
            self._send(self.client, self.link, [self.client.offered, b"x" * size], self.client.offered)

    def offer_back(self, messages: int, size: int) -> None:
        """The server offers messages on each session it serves."""
        for link in self.server.links.served:
            for _ in range(messages):
                self.server.offered += 1
                number = self.server.offered
                self._send(self.server, link, [self.generation, number, b"x" * size], number)

    def _send(self, side: Side, link: Link, value: list[object], context: int) -> None:
        encoded = msgspec.msgpack.encode(value)
        side.links.send(link, encoded, len(encoded), context % 3, context)

    def flush(self, *, is_server: bool) -> None:
        side = self.server if is_server else self.client
        for route, frame in side.links.flush(self.now_ms):
            life = self.generation if is_server else route
            assert isinstance(life, int)
            self.wire.append(Flying(not is_server, life, frame))
        self.check_windows()

    def deliver(self, at: int, *, keeps_copy: bool = False) -> None:
        """Any frame on the wire may be the next to arrive, and may stay there to arrive again."""
        flying = self.wire[at] if keeps_copy else self.wire.pop(at)
        if not flying.is_to_server:
            self.client.links.receive(self._route(flying.life), flying.frame, self.now_ms)
            self.take_events(self.client)
        elif self.has_door or flying.life == self.generation:
            generation = unpack_header(flying.frame).generation
            self.server.links.receive("connection", flying.frame, self.now_ms)
            if generation not in (0, self.generation):
                assert self.server.links.events == [], "a frame for another life was accepted"
            self.take_events(self.server)

    def advance(self, ms: int) -> None:
        self.now_ms += ms
        for side in (self.client, self.server):
            side.links.tick(self.now_ms)
            self.take_events(side)

    def settle(self, at: int, *, is_server: bool, is_waited_for: bool) -> None:
        side = self.server if is_server else self.client
        arrived = side.unsettled.pop(at)
        arrived.is_waited_for = is_waited_for
        values = [msgspec.msgpack.decode(piece) for piece in arrived.pieces]
        if is_server:
            numbers = [value[0] for value in values]
            self.taken_by_server.update(numbers)
            if is_waited_for and arrived.session in side.open_sessions:
                # Whoever waits for the word must hear this before it.
                side.offered += 1
                self._send(side, arrived.link, [self.generation, side.offered, numbers], side.offered)
                self.answered.update((arrived.session, number) for number in numbers)
        else:
            self.taken_by_client.update((value[0], value[1]) for value in values)
        side.links.settle(arrived)

    def crash_server(self) -> None:
        """The serving end dies with everything it held and lives again in the next generation."""
        self.generation += 1
        limits = NARROW if self.generation % 2 == 0 else ROOMY
        self.server = Side(Links(Identity(self.generation, 0, "server"), limits, self._random), "server")

    def announce(self) -> None:
        """The directory tells the client of the life that is there."""
        told = 0 if self.has_door else self.generation
        self.client.links.peer_up(TARGET, told, self._route(self.generation), self.now_ms)
        self.take_events(self.client)

    def client_notices_loss(self) -> None:
        self.client.links.unreachable(self._route(self.generation))
        self.take_events(self.client)

    def server_notices_loss(self) -> None:
        self.server.links.unreachable("connection")
        self.take_events(self.server)

    def directory_says_down(self) -> None:
        self.client.links.peer_down(TARGET, "it crashed")
        self.take_events(self.client)

    def _route(self, life: int) -> int:
        return 0 if self.has_door else life

    # ---- what must hold ----

    def take_events(self, side: Side) -> None:
        events, side.links.events = side.links.events, []
        for event in events:
            if isinstance(event, Opened):
                assert event.link.state is State.OPEN
                assert event.link.session not in side.arrived, "a session was opened twice"
                side.arrived[event.link.session] = []
                side.open_sessions.add(event.link.session)
            elif isinstance(event, Arrived):
                self._arrived(side, event)
            elif isinstance(event, Settled):
                self._told(side, event.contexts)
            elif isinstance(event, Ended):
                self._ended(side, event)
        assert side.links.violations == 0, f"the {side.name} saw a violation"

    def _arrived(self, side: Side, arrived: Arrived) -> None:
        assert arrived.session in side.open_sessions, "a frame arrived outside of its session"
        seen = side.arrived[arrived.session]
        for piece in arrived.pieces:
            value = msgspec.msgpack.decode(piece)
            number = value[0] if side is self.server else value[1]
            assert number > (seen[-1] if seen else 0), "out of order or twice within a session"
            if side is self.client:
                assert value[0] == arrived.link.generation, "a message of another life"
                if isinstance(value[2], list):
                    self.heard.update((arrived.session, answered) for answered in value[2])
            seen.append(number)
        side.unsettled.append(arrived)

    def _told(self, side: Side, contexts: list[int]) -> None:
        for context in contexts:
            assert context not in side.told, "told twice"
            side.told.add(context)
            if side is self.client:
                assert context in self.taken_by_server, "told that it is settled, but nobody settled it"
                key = (self.link.session, context)
                assert key not in self.answered or key in self.heard, "told before the answer arrived"
            else:
                assert (self.generation, context) in self.taken_by_client
        assert contexts == sorted(contexts)

    def _ended(self, side: Side, ended: Ended) -> None:
        if side is self.client:
            side.open_sessions.clear()  # The link may have numbered its next session already.
        else:
            side.open_sessions.discard(ended.link.session)
        if ended.code == "goodbye":
            assert side is self.server, "nobody said goodbye to the client"
        if side is self.client:
            assert ended.abandoned == []
            return
        for context in ended.abandoned:
            assert context not in side.told, "abandoned and told"
            side.told.add(context)

    def check_windows(self) -> None:
        for link in (self.link, *self.server.links.served):
            sender, limits = link.sender, link.limits
            is_within = (
                sender.messages_in_flight <= limits.window_messages and sender.bytes_in_flight <= limits.window_bytes
            )
            assert is_within or len(sender._in_flight) == 1, "the window is exceeded"

    def heal(self) -> None:
        """From now on the wire is perfect and everybody settles: everything that was offered is settled."""
        for tick in range(HEAL_TICKS_MAX):
            self.announce()
            for _ in range(100 + 3 * (self.client.offered + self.server.offered)):
                self.flush(is_server=False)
                self.flush(is_server=True)
                if not self.wire:
                    break
                while self.wire:
                    self.deliver(0)
                for is_server, side in ((True, self.server), (False, self.client)):
                    while side.unsettled:
                        self.settle(0, is_server=is_server, is_waited_for=tick % 2 == 0)
            else:
                pytest.fail("two ends that never fall silent")
            if self.is_quiet():
                return
            self.advance(TICK_MS)
        pytest.fail(f"after {HEAL_TICKS_MAX} ticks on a perfect wire something is still unsettled")

    def is_quiet(self) -> bool:
        """Both ends agree on one session, and everything is settled or given up."""
        return (
            self.client.told == set(range(1, self.client.offered + 1))
            and self.server.told == set(range(1, self.server.offered + 1))
            and self.link.sender.is_idle
            and self.link.sender.bytes_in_flight == self.link.sender.messages_in_flight == 0
            and self.client.open_sessions == self.server.open_sessions == {self.link.session}
        )


@settings(max_examples=150, stateful_step_count=40, deadline=None)
class LinkMachine(RuleBasedStateMachine):
    """Any order of events that a wire, two programs and their supervisor can produce."""

    world: World

    @initialize(seed=st.integers(0, 1 << 32), has_door=st.booleans())
    def begin(self, seed: int, has_door: bool) -> None:
        self.world = World(seed, has_door=has_door)

    @rule(messages=st.integers(1, 8), size=st.sampled_from([0, 30, 150, 650]))
    def offer(self, messages: int, size: int) -> None:
        self.world.offer(messages, size)

    @rule(messages=st.integers(1, 8), size=st.sampled_from([0, 30, 150, 650]))
    def offer_back(self, messages: int, size: int) -> None:
        self.world.offer_back(messages, size)

    @rule(is_server=st.booleans())
    def flush(self, is_server: bool) -> None:
        self.world.flush(is_server=is_server)

    @rule(is_server=st.booleans())
    def exchange(self, is_server: bool) -> None:
        """All goes well for a moment."""
        for turn in (is_server, not is_server):
            self.world.flush(is_server=turn)
            while self.world.wire:
                self.world.deliver(0)

    @precondition(lambda self: self.world.wire)
    @rule(data=st.data(), keeps_copy=st.booleans())
    def deliver(self, data: st.DataObject, keeps_copy: bool) -> None:
        self.world.deliver(data.draw(st.integers(0, len(self.world.wire) - 1)), keeps_copy=keeps_copy)

    @precondition(lambda self: self.world.wire)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        self.world.wire.pop(data.draw(st.integers(0, len(self.world.wire) - 1)))

    @rule(data=st.data(), is_server=st.booleans(), is_waited_for=st.booleans())
    def settle(self, data: st.DataObject, is_server: bool, is_waited_for: bool) -> None:
        unsettled = (self.world.server if is_server else self.world.client).unsettled
        if unsettled:
            at = data.draw(st.integers(0, len(unsettled) - 1))
            self.world.settle(at, is_server=is_server, is_waited_for=is_waited_for)

    @rule(ms=st.sampled_from([1, 49, 100, 300, 500, 5_000]))
    def advance(self, ms: int) -> None:
        self.world.advance(ms)

    @rule(is_announced=st.booleans())
    def crash(self, is_announced: bool) -> None:
        self.world.crash_server()
        if is_announced:
            self.world.announce()

    @rule()
    def announce(self) -> None:
        self.world.announce()

    @rule()
    def client_notices_loss(self) -> None:
        self.world.client_notices_loss()

    @rule()
    def server_notices_loss(self) -> None:
        self.world.server_notices_loss()

    @rule()
    def directory_says_down(self) -> None:
        self.world.directory_says_down()

    @invariant()
    def a_closed_link_serves_nobody(self) -> None:
        if hasattr(self, "world"):
            assert self.world.link.state is not State.CLOSED or self.world.client.open_sessions == set()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.heal()


TestLinkMachine = LinkMachine.TestCase


def _steps(world: World, source: random.Random, loss: float) -> Iterator[None]:
    """A long life under one rate of loss; crashes and lost connections are rare, as outside of tests."""
    for step in count(1):
        for is_server, side in ((False, world.client), (True, world.server)):
            if side.offered - len(side.told) < 40:
                offer = world.offer_back if is_server else world.offer
                offer(source.randrange(4), source.choice((0, 20, 200)))
            world.flush(is_server=is_server)
        for _ in range(source.randrange(16)):
            if world.wire:
                at = source.randrange(min(len(world.wire), 4))
                if source.random() < loss:
                    world.wire.pop(at)
                else:
                    world.deliver(at, keeps_copy=source.random() < loss)
        for is_server, side in ((True, world.server), (False, world.client)):
            while side.unsettled and source.random() < 0.7:
                at = source.randrange(len(side.unsettled))
                world.settle(at, is_server=is_server, is_waited_for=source.random() < 0.5)
        world.advance(source.choice((0, 10, 100)))
        fate = source.random()
        if step % 400 == 0:
            world.crash_server()
        elif fate < 0.005:
            world.client_notices_loss()
        elif fate < 0.010:
            world.server_notices_loss()
        elif fate < 0.040:
            world.announce()
        yield


@pytest.mark.parametrize("has_door", [False, True], ids=["own-endpoints", "door"])
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.1, 0.3])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_lost_doubled_or_reordered_in_a_long_life(seed: int, loss: float, has_door: bool) -> None:
    world = World(seed, has_door=has_door)
    steps = _steps(world, random.Random(seed), loss)
    for _ in range(1_500):
        next(steps)
    world.heal()
    assert world.client.offered > 50
    assert world.generation > 2

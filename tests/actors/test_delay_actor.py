"""The delay scheduler: when it answers, when it publishes, what a crash leaves, what it does with refusals."""

from __future__ import annotations

from typing import Any, final

import pytest

from posthouse.actors.actor import Actor, Context
from posthouse.actors.delay import DelayActor, DelayLimits
from posthouse.transport import messages
from posthouse.transport.batch import pack_due
from posthouse.transport.errors import DiskSpaceLow, UnknownDelayed
from posthouse.transport.messages import (
    Batch,
    Durability,
    ExchangeSpec,
    Options,
    Receipt,
    StoreNote,
    TopologyChange,
    WatchTopology,
)
from posthouse.transport.messages_delay import (
    CancelDelayed,
    DelayedInfo,
    DelayInfo,
    DelayStatus,
    FireDelayed,
    ListDelayed,
    RescheduleDelayed,
    Scheduled,
)
from tests.support.actor_bench import WALL_MS, ActorBench, Peer, Setting, batch, result_of
from tests.support.queue_bench import failed


@final
class DelayWorld:
    """The scheduler with a registry, an exchange that stores in it, and a client."""

    def __init__(
        self, limits: DelayLimits | None = None, setting: Setting | None = None, *, knows: bool = True
    ) -> None:
        chosen = limits or DelayLimits(disk_free_bytes_min=0)

        def make(context: Context) -> Actor:
            return DelayActor(context, chosen)

        self.bench = ActorBench("delay", make, setting)
        self.registry = self.bench.actor("registry")
        if knows:
            self.learn(is_snapshot=True, put_exchanges=(ExchangeSpec(name="fan", kind="fanout"),))
        self.source = self.bench.client("exchange:fan", client_id=0)
        self.exchange = self.bench.actor("exchange:fan")
        self.client = self.bench.client("client", client_id=7)
        self._next_seq = 1

    def learn(self, **change: Any) -> None:
        self.bench.deliver(self.registry, TopologyChange(version=1, **change))

    def delay(
        self, *after_ms: int, durability: int = Durability.SYNC, key: str | None = None
    ) -> list[messages.Message]:
        """Messages named after their sequence numbers; returns what the exchange that stores heard."""
        bodies = [str(self._next_seq + index).encode() for index in range(len(after_ms))]
        options = Options(deliver_at_ms=0, schedule_key=key, durability=durability)
        plain = batch(*bodies, exchange="fan", first_seq=self._next_seq, options=options)
        due = pack_due([WALL_MS + self.bench.now_ms + after for after in after_ms])
        fields = {name: getattr(plain, name) for name in plain.__struct_fields__}
        self._next_seq += len(bodies)
        return self.bench.deliver(self.source, Batch(**{**fields, "due": due}))

    def ask(self, request: messages.Message, kind: Any = Any) -> Any:
        return result_of(self.bench.deliver(self.client, request)[-1], kind)

    def info(self) -> DelayInfo:
        found: DelayInfo = self.ask(DelayStatus(1), DelayInfo)
        return found

    def listed(self, **wishes: Any) -> list[tuple[int, str]]:
        found: list[DelayedInfo] = self.ask(ListDelayed(1, **wishes), list[DelayedInfo])
        return [(info.scheduled_id, info.state) for info in found]


def published(peer: Peer) -> list[list[bytes]]:
    """The bodies of each batch that the exchange got since the last look."""
    found = []
    for message in peer.take_heard():
        assert isinstance(message, Batch), message
        assert (message.options, message.due) == (None, None)
        text, start = bytes(message.bodies), 0
        bodies = []
        for length in memoryview(message.lengths).cast("B").cast("I"):
            bodies.append(text[start : start + length])
            start += length
        found.append(bodies)
    return found


def test_it_asks_for_the_topology_and_answers_when_a_batch_is_synced() -> None:
    world = DelayWorld(knows=False)
    assert world.registry.hears() == WatchTopology(1)
    world.bench.tape.clear()
    assert world.delay(1_000, 2_000) == [Scheduled(7, 1, 2, 1)]
    assert world.bench.tape.index("fdatasync") < world.bench.tape.index("say Scheduled")
    assert len(world.source.settled) == 1


def test_a_message_leaves_at_its_time_and_not_a_millisecond_before() -> None:
    world = DelayWorld()
    world.delay(500, 20_000, 100_000)
    world.bench.advance(499)
    assert world.exchange.take_heard() == []
    world.bench.advance(1)
    assert published(world.exchange) == [[b"1"]]
    world.bench.advance(19_499)
    assert world.exchange.take_heard() == []
    world.bench.advance(1)
    assert published(world.exchange) == [[b"2"]]
    world.bench.advance(80_000)
    assert published(world.exchange) == [[b"3"]]
    assert world.info() == DelayInfo(journal_bytes=world.info().journal_bytes, accepted=3, fired=3)


def test_no_sync_stands_between_the_moment_it_is_due_and_the_moment_it_leaves() -> None:
    world = DelayWorld()
    world.delay(500)
    world.bench.advance(499)
    world.bench.tape.clear()
    world.bench.advance(1)
    assert published(world.exchange) == [[b"1"]]
    assert "fdatasync" not in world.bench.tape


def test_what_is_due_together_leaves_together() -> None:
    world = DelayWorld()
    world.delay(50, 60, 50)
    world.delay(50)
    world.bench.advance(60)
    assert published(world.exchange) == [[b"1", b"3", b"4"], [b"2"]]


def test_what_is_not_settled_is_published_again_after_a_crash_under_its_old_numbers() -> None:
    world = DelayWorld()
    world.exchange.settles_at_once = False
    world.delay(50, 50, 60)
    world.bench.advance(60)
    before = world.exchange.take_heard()
    world.bench.crash(power=True)
    world.bench.actor("exchange:fan", 2).settles_at_once = True
    world.bench.advance(1_000)
    exchange = world.bench.actors["exchange:fan"]
    assert [messages.encode(message) for message in exchange.take_heard()] == [messages.encode(m) for m in before]
    assert (world.info().firing, world.info().fired) == (0, 3)


def test_what_waits_survives_a_power_cut_and_what_became_due_meanwhile_comes_oldest_first() -> None:
    world = DelayWorld(DelayLimits(fire_per_s_max=100, disk_free_bytes_min=0))
    world.delay(*(3_000 - index for index in range(100)))
    world.delay(60_000)
    world.bench.crash(power=True)
    world.bench.now_ms += 10_000
    world.bench.advance(300)
    some = [body for bodies in published(world.exchange) for body in bodies]
    assert 10 <= len(some) < 60, "not faster than the pace it was given"
    world.bench.advance(2_000)
    some += [body for bodies in published(world.exchange) for body in bodies]
    assert some == [str(100 - index).encode() for index in range(100)]
    assert world.info().waiting == 1


def test_a_clock_that_jumps_forward_fires_what_is_due_by_it_and_one_that_jumps_back_waits(monkeypatch: Any) -> None:
    world = DelayWorld()
    world.delay(10_000)
    world.delay(3_600_000)
    monkeypatch.setattr("tests.support.actor_bench.WALL_MS", WALL_MS + 10_000)
    world.bench.advance(100)
    assert published(world.exchange) == [[b"1"]]
    monkeypatch.setattr("tests.support.actor_bench.WALL_MS", WALL_MS - 3_600_000)
    world.bench.advance(3_700_000)
    assert world.exchange.take_heard() == []
    monkeypatch.setattr("tests.support.actor_bench.WALL_MS", WALL_MS)
    world.bench.advance(100)
    assert published(world.exchange) == [[b"2"]]


def test_a_message_is_cancelled_put_off_or_fired_by_id_or_by_key() -> None:
    world = DelayWorld()
    world.delay(10_000, 20_000, 30_000)
    world.delay(40_000, key="k")
    world.ask(CancelDelayed(1, 1))
    world.ask(RescheduleDelayed(1, WALL_MS + 5_000, 3))
    world.ask(FireDelayed(1, 0, "k"))
    world.bench.advance(10)
    assert published(world.exchange) == [[b"4"]]
    assert world.listed() == [(3, "waiting"), (2, "waiting")]
    world.bench.advance(100)
    world.bench.crash()
    world.bench.advance(5_000)
    assert published(world.bench.actors["exchange:fan"]) == [[b"3"]]
    for request in (
        CancelDelayed(2, 1),
        FireDelayed(2, 4),
        RescheduleDelayed(2, WALL_MS, 99),
        CancelDelayed(2, 0, "k"),
    ):
        assert failed(world.bench.deliver(world.client, request)).code == UnknownDelayed.code
    assert world.info().cancelled == 1


def test_bad_requests_are_refused_and_change_nothing() -> None:
    world = DelayWorld()
    world.delay(10_000)
    for request in (
        ListDelayed(1, limit=0),
        ListDelayed(1, limit=1_001),
        RescheduleDelayed(1, 0, 1),
        RescheduleDelayed(1, -5, 1),
        RescheduleDelayed(1, 1 << 62, 1),
    ):
        assert failed(world.bench.deliver(world.client, request)).code == "invalid_argument"
    assert world.listed(exchange="fan") == [(1, "waiting")]
    assert world.listed(exchange="never heard of") == []


def test_a_list_shows_what_was_taken_in_the_same_round_and_what_is_on_its_way() -> None:
    world = DelayWorld()
    world.exchange.settles_at_once = False
    world.delay(5)
    world.bench.advance(5)
    world.delay(50_000, key="k")
    assert world.listed() == [(1, "firing"), (2, "waiting")]
    assert world.listed(schedule_key="k") == [(2, "waiting")]
    assert world.listed(schedule_key="other") == []
    assert failed(world.bench.deliver(world.client, CancelDelayed(1, 1))).code == UnknownDelayed.code


@pytest.mark.parametrize("code", ["actor_down", "queue_full", "hold_full", "disk_space_low"])
def test_what_its_exchange_cannot_take_now_comes_again_under_new_numbers(code: str) -> None:
    world = DelayWorld()
    world.exchange.settles_at_once = False
    world.delay(5)
    world.bench.advance(5)
    (sent,) = world.exchange.take_heard()
    assert isinstance(sent, Batch)
    world.exchange.say(Receipt(sent.stream, sent.first_seq, 1, code=code, text="not now"))
    world.exchange.settle()
    world.exchange.settles_at_once = True
    world.bench.advance(4_900)
    assert world.exchange.take_heard() == []
    world.bench.advance(200)
    (again,) = world.exchange.take_heard()
    assert isinstance(again, Batch)
    assert (again.stream, again.first_seq) != (sent.stream, sent.first_seq)
    assert (world.info().retried, world.info().fired) == (1, 1)


def test_a_batch_that_is_not_delayed_or_contradicts_itself_is_refused() -> None:
    world = DelayWorld()
    heard = world.bench.deliver(world.source, batch(b"x", exchange="fan"))
    assert isinstance(heard[0], StoreNote)
    assert heard[0].code == "invalid_argument"
    assert world.info().accepted == 0


def test_with_the_disk_nearly_full_nothing_new_is_taken_and_what_waits_leaves() -> None:
    world = DelayWorld(DelayLimits(disk_free_bytes_min=1_000))
    world.delay(2_000)
    world.bench.disk.free_bytes = lambda path: 10  # type: ignore[method-assign]
    world.bench.advance(1_000)
    (note,) = world.delay(5)
    assert isinstance(note, StoreNote)
    assert note.code == DiskSpaceLow.code
    world.bench.advance(1_000)
    assert published(world.exchange) == [[b"1"]]


def test_bodies_beyond_the_memory_limit_are_read_when_they_are_due() -> None:
    world = DelayWorld(DelayLimits(memory_bytes_max=1, disk_free_bytes_min=0))
    for _ in range(20):
        world.delay(3_000, 3_001)
    world.bench.advance(3_001)
    bodies = [body for bodies in published(world.exchange) for body in bodies]
    assert sorted(map(int, bodies)) == list(range(1, 41))


def test_segments_go_when_nothing_waits_in_them_and_a_far_message_is_copied_forward() -> None:
    world = DelayWorld(DelayLimits(disk_free_bytes_min=0, compact_bytes_min=8_192))
    world.delay(3_600_000, key="far")
    world.delay(3_600_000)
    for _ in range(150):
        world.delay(*[5] * 100)
        world.bench.advance(10)
    assert world.info().fired == 15_000
    assert world.info().journal_bytes < 150_000
    world.bench.crash(power=True)
    assert world.listed() == [(1, "waiting"), (2, "waiting")]
    assert world.listed(schedule_key="far") == [(1, "waiting")]
    world.exchange.take_heard()
    world.bench.advance(3_600_000)
    assert sorted(body for bodies in published(world.exchange) for body in bodies) == [b"1", b"2"]


def test_of_a_batch_that_is_known_in_part_the_rest_is_taken_and_nobody_can_say_one_id_for_it() -> None:
    world = DelayWorld()
    world.delay(60_000, 60_000)
    world._next_seq = 1
    assert world.delay(60_000, 60_000, 60_000) == [Scheduled(7, 1, 3, 0)]
    assert world.info().accepted == 3


def test_a_message_that_makes_no_sense_here_ends_the_session_it_came_in() -> None:
    world = DelayWorld()
    world.bench.deliver(world.client, messages.Purge(1))
    assert world.client.endings == ["protocol_violation"]


def test_more_than_a_line_of_near_messages_leaves_in_order() -> None:
    world = DelayWorld(DelayLimits(disk_free_bytes_min=0, memory_bytes_max=1))
    for _ in range(20):
        world.delay(*range(2_000, 2_050))
    world.bench.advance(2_050)
    bodies = [int(body) for bodies in published(world.exchange) for body in bodies]
    assert sorted(bodies) == list(range(1, 1_001))
    assert [(number - 1) % 50 for number in bodies] == sorted((number - 1) % 50 for number in bodies)

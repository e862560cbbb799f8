"""A queue with a dead-letter exchange: what dies there is kept, goes on through the exchange, and is nowhere twice."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.actors import dead_letter
from posthouse.actors.death_headers import HOPS_MAX, ROUNDS_MAX
from posthouse.supervisor.journal import JournalSettings
from posthouse.transport.batch import headers_of, message_id_of
from posthouse.transport.messages import Batch, Receipt
from posthouse.transport.messages_dead import DeadLetterFilter, DeadLetterInfo, Death, GetDeadLetter
from tests.support.actor_bench import WALL_MS, Peer, Setting
from tests.support.dead_letter_bench import HISTORY, LIMITS, DeadLetterWorld, republished


@pytest.fixture
def world() -> DeadLetterWorld:
    return DeadLetterWorld()


@pytest.fixture
def exchange(world: DeadLetterWorld) -> Peer:
    """The exchange, which takes responsibility only when it has answered."""
    peer = world.bench.actor("exchange:graves")
    peer.settles_at_once = False
    return peer


def answer(world: DeadLetterWorld, exchange: Peer, batch: Batch, *queues: str, code: str | None = None) -> None:
    """The exchange says what became of a batch, and settles."""
    text = "" if code is None else "it has no queue for that"
    exchange.say(Receipt(batch.stream, batch.first_seq, batch.count, queues, code=code, text=text))
    world.bench.run()
    exchange.settle(1)
    world.bench.run()


def history(world: DeadLetterWorld, number: int) -> list[tuple[str, str]]:
    _, died, _ = world.ask(lambda request: GetDeadLetter(request, number), tuple[DeadLetterInfo, Death, Batch])
    return [(one.how, one.error) for one in died.history]


def test_what_dies_goes_on_to_the_exchange_and_says_so_in_its_headers(world: DeadLetterWorld, exchange: Peer) -> None:
    world.bury(b"a", b"b", headers={"n": 1}, to="graves", to_key="dead.ewr")
    ((move, batch),) = republished(exchange)
    assert move.no_cycles
    assert (batch.exchange, batch.routing_key, bytes(batch.bodies)) == ("graves", "dead.ewr", b"ab")
    assert [message_id_of(batch, index) for index in range(2)] == ["7-1", "7-2"]
    assert headers_of(batch) == {
        "n": 1,
        "x-death": [
            {
                "queue": "ewr", "reason": "rejected", "count": 1, "time": WALL_MS // 1_000, "exchange": "flights",
                "routing-keys": ["k"], "original-expiration": "5",
            }
        ],
        "x-first-death-queue": "ewr", "x-first-death-reason": "rejected", "x-first-death-exchange": "flights",
        "x-last-death-queue": "ewr", "x-last-death-reason": "rejected", "x-last-death-exchange": "flights",
    }  # fmt: skip
    assert batch.options is not None
    assert (batch.options.ttl_ms, batch.options.dedup_id) == (None, None)
    assert [letter.is_leaving for letter in world.letters()] == [True, True]
    answer(world, exchange, batch, "parked")
    assert (world.ids(), world.status().republished, world.status().redriven) == ([], 2, 0)
    world.bench.crash(power=True)
    assert (world.ids(), world.status().republished) == ([], 2)


def test_without_a_key_it_keeps_its_own_and_the_default_exchange_will_do(world: DeadLetterWorld) -> None:
    default = world.bench.actor("exchange:")
    world.bury(b"a", to="")
    ((_, batch),) = republished(default)
    assert (batch.exchange, batch.routing_key) == ("", "k")


def test_what_was_on_its_way_when_the_store_died_is_sent_again_under_its_number(
    world: DeadLetterWorld, exchange: Peer
) -> None:
    world.bury(b"a", to="graves")
    ((_, first),) = republished(exchange)
    world.bench.crash(power=True)
    exchange = world.bench.actor("exchange:graves", generation=2)
    exchange.settles_at_once = False
    ((_, again),) = republished(exchange)
    assert (again.stream, again.first_seq, bytes(again.bodies)) == (first.stream, first.first_seq, b"a")
    assert headers_of(again) == headers_of(first)
    answer(world, exchange, again, "parked")
    assert world.ids() == []


def test_one_at_a_time_goes_through_a_lane_and_the_order_stays(world: DeadLetterWorld, exchange: Peer) -> None:
    world.bury(b"a", to="graves")
    world.bury(b"b", to="graves")
    ((_, first),) = republished(exchange)
    assert bytes(first.bodies) == b"a"
    answer(world, exchange, first, "parked")
    ((_, second),) = republished(exchange)
    assert (bytes(second.bodies), second.stream, second.first_seq) == (b"b", first.stream, first.first_seq + 1)


@pytest.mark.parametrize("code", ["unroutable", None])
def test_what_the_exchange_refuses_or_gives_to_nobody_stays_with_a_remark(
    world: DeadLetterWorld, exchange: Peer, code: str | None
) -> None:
    world.bury(b"a", to="graves")
    ((_, batch),) = republished(exchange)
    answer(world, exchange, batch, code=code)
    for _ in range(2):
        (letter,) = world.letters()
        assert (letter.reason, letter.is_leaving) == ("rejected", False)
        how, error = history(world, letter.id)[-1]
        assert (how, bool(error)) == ("republish", True)
        world.bench.crash(power=True)
    assert republished(world.bench.actor("exchange:graves", generation=2)) == []


def test_letters_for_an_exchange_that_does_not_exist_stay(world: DeadLetterWorld) -> None:
    world.bench.down("exchange:nowhere", "unknown", "no such child")
    world.bury(b"a", to="nowhere")
    assert world.letters()[0].is_leaving, "a broker that starts may know it in a moment"
    assert world.answer() == ["nowhere"]
    assert not world.letters()[0].is_leaving
    assert history(world, 1)[-1] == ("republish", "there is no exchange 'nowhere'")


def test_a_message_that_has_died_in_too_many_places_stays(world: DeadLetterWorld, exchange: Peer) -> None:
    deaths: list[dict[str, Any]] = [{"queue": f"q{n}", "reason": "expired", "count": 1} for n in range(HOPS_MAX)]
    world.bury(b"far", headers={"x-death": deaths}, to="graves")
    assert republished(exchange) == []
    assert world.ids(DeadLetterFilter(reason="too_many_hops")) == [1]
    world.bench.crash(power=True)
    assert world.letters()[0].reason == "too_many_hops"
    often = [{"queue": "ewr", "reason": "rejected", "count": ROUNDS_MAX}]
    world.bury(b"round and round", headers={"x-death": often}, to="graves", seq=2)
    assert world.ids(DeadLetterFilter(reason="too_many_hops")) == [1, 2]
    world.bury(b"not so far", headers={"x-death": deaths[1:]}, to="graves", seq=3)
    assert len(republished(world.bench.actor("exchange:graves", generation=2))) == 1


def test_what_dies_again_behind_the_exchange_knows_its_earlier_life() -> None:
    world = DeadLetterWorld(past_bytes_max=1 << 20)
    exchange = world.bench.actor("exchange:graves")
    exchange.settles_at_once = False
    world.bury(b"a", to="graves")
    ((_, batch),) = republished(exchange)
    answer(world, exchange, batch, "parked")
    world.die_again(batch, queue="parked")
    (letter,) = world.letters()
    assert (letter.queue, letter.earlier, letter.life, letter.attempt, letter.first_ms) == ("parked", 1, 2, 2, WALL_MS)
    assert history(world, letter.id) == [(HISTORY[0].how, HISTORY[0].error)] * 2


def test_a_remark_and_a_way_to_an_exchange_survive_being_copied_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter, "COMPACT_RATIO", 0)
    small = JournalSettings(segment_bytes_first=4096, segment_bytes_max=4096, preallocate=False)
    world = DeadLetterWorld(LIMITS._replace(compact_bytes_min=1), setting=Setting(journal=small))
    exchange = world.bench.actor("exchange:graves")
    exchange.settles_at_once = False
    for _ in range(6):
        world.bury(b"remarked", to="graves")
        (*_, (_, batch)) = republished(exchange)
        answer(world, exchange, batch, code="unroutable")
    world.bury(b"on its way", to="graves")
    ((_, sent),) = republished(exchange)
    for _ in range(60):
        world.bury(b"x" * 400, queue="jfk")
        world.purge(DeadLetterFilter(queue="jfk"))
    assert world.status().journal_bytes < 40_000
    world.bench.crash(power=True)
    exchange = world.bench.actor("exchange:graves", generation=2)
    ((_, again),) = republished(exchange)
    assert (again.stream, again.first_seq) == (sent.stream, sent.first_seq)
    assert history(world, 1)[-1] == ("republish", "it has no queue for that")

"""The cell: rounds, and the rule that nothing is said, settled or ordered before it is durable."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.actors.actor import Actor, Context
from posthouse.actors.cell import CONGESTED_BYTES, TICK_MS
from posthouse.supervisor import control_messages as control
from posthouse.transport import messages
from posthouse.transport.messages import Cancel, Consume, Failed, Get, Peek, Purge, QueueStatus, QueueUnused, Reply
from tests.support.actor_bench import LIMITS, ActorBench, Setting, batch, result_of
from tests.support.echo_actor import EchoActor


class World:
    """A bench and the actor that lives on it now."""

    def __init__(self, setting: Setting | None = None, peers: tuple[str, ...] = ()) -> None:
        def make(context: Context) -> Actor:
            self.actor = EchoActor(context, peers)
            return self.actor

        self.bench = ActorBench("echo", make, setting)


def test_an_answer_leaves_after_the_write_and_the_sync_of_what_its_round_wrote() -> None:
    bench = World().bench
    client = bench.client()
    bench.tape.clear()
    heard = bench.deliver(client, Purge(1))
    assert [result_of(answer) for answer in heard] == ["durable"]
    said = bench.tape.index("say Reply")
    assert bench.tape[:said].count("pwritev") >= 1
    assert "fdatasync" in bench.tape[bench.tape.index("pwritev") : said]
    assert bench.take_orders() == [control.Announce("request 1")]


def test_what_need_not_be_durable_is_written_and_not_synced() -> None:
    bench = World().bench
    client = bench.client()
    bench.tape.clear()
    assert [result_of(answer) for answer in bench.deliver(client, Peek(1, 1))] == ["written"]
    assert bench.tape[: bench.tape.index("say Reply")] == ["pwritev"]


def test_with_late_durability_answers_settles_and_orders_wait_and_keep_their_order() -> None:
    bench = World(Setting(is_late=True)).bench
    client = bench.client()
    assert bench.late is not None
    assert bench.deliver(client, Purge(1)) == []
    assert bench.deliver(client, Peek(2, 1)) == []
    assert bench.deliver(client, Purge(3)) == []
    bench.advance(2 * TICK_MS)
    assert (client.take_heard(), client.settled, bench.take_orders()) == ([], [], [])
    bench.late.catch_up(bench.late.written - 1)
    bench.run()
    answers = client.take_heard()
    assert [(answer.request, result_of(answer)) for answer in answers if isinstance(answer, Reply)] == [
        (1, "durable"),
        (2, "written"),
    ]
    assert bench.take_orders() == [control.Announce("request 1")]
    bench.late.catch_up()
    bench.advance(2 * TICK_MS)
    assert [result_of(answer) for answer in client.take_heard()] == ["durable"]
    assert bench.take_orders() == [control.Announce("request 3")]
    assert client.settled == [Purge(1), Peek(2, 1), Purge(3)]


def test_a_crash_between_write_and_durability_has_said_nothing() -> None:
    world = World(Setting(is_late=True))
    client = world.bench.client()
    world.bench.deliver(client, Purge(1))
    world.bench.crash()
    assert client.settled == []
    assert not any(isinstance(heard, Reply) for heard in client.take_heard())


def test_a_frame_is_settled_when_the_last_hold_on_it_is_released() -> None:
    world = World()
    client = world.bench.client()
    world.bench.deliver(client, Get(1))
    world.bench.advance(2 * TICK_MS)
    assert client.settled == []
    world.bench.cell.hold(world.actor.held[0])
    world.bench.cell.release(world.actor.held[0])
    world.bench.advance(2 * TICK_MS)
    assert client.settled == []
    world.bench.cell.release(world.actor.held[0])
    world.bench.advance(2 * TICK_MS)
    assert client.settled == [Get(1)]


def test_a_refusal_answers_the_request_and_the_session_goes_on() -> None:
    world = World()
    client = world.bench.client()
    assert world.bench.deliver(client, QueueStatus(5)) == [Failed(5, "unknown_queue", "there is no such thing")]
    assert world.bench.cell.refused == 1
    assert client.is_open


def test_a_refusal_of_what_has_no_request_number_ends_the_session() -> None:
    world = World()
    good, bad = world.bench.client("good"), world.bench.client("bad", 2)
    world.bench.deliver(bad, batch(b"x"))
    assert bad.endings == ["protocol_violation"]
    assert world.actor.of("ended") == [[]]
    assert [result_of(answer) for answer in world.bench.deliver(good, Purge(1))] == ["durable"]


def _hostile() -> dict[str, bytes]:
    honest = messages.encode(batch(b"x"))
    return {
        "no message at all": b"\xc1",
        "a number": b"\x07",
        "an unknown message": messages.encode([199, 1]),
        "too few fields": messages.encode([1, ""]),
        "a text that is not UTF-8": honest.replace(b"\xa1q", b"\xa1\xff"),
        "headers nested without end": honest.replace(b"\xc0\xc4", b"\x91" * 5_000 + b"\xc0\xc4", 1),
        "a message nobody understands": messages.encode(QueueUnused("q", 1)),
    }


@pytest.mark.parametrize("name", _hostile())
def test_bytes_that_are_no_message_end_only_their_session(name: str) -> None:
    world = World()
    good, bad = world.bench.client("good"), world.bench.client("bad", 2)
    world.bench.deliver_raw(bad, _hostile()[name])
    assert bad.endings == ["protocol_violation"]
    assert not bad.is_open
    assert [result_of(answer) for answer in world.bench.deliver(good, Purge(1))] == ["durable"]


def test_what_came_before_the_bad_message_was_handled_and_what_came_after_was_not() -> None:
    world = World()
    bad = world.bench.client("bad")
    bad.say(Purge(1))
    bad.say_raw(messages.encode([199, 1]))
    bad.say(Purge(2))
    world.bench.run()
    assert world.actor.of("receive") == [Purge(1)]


def test_a_timer_wakes_once_when_it_is_due_and_a_later_call_replaces_it() -> None:
    world = World()
    client = world.bench.client()
    world.bench.deliver(client, Cancel(1, 1_000))
    world.bench.deliver(client, Cancel(2, 30))
    assert world.bench.cell.next_wake_ms() <= 30
    world.bench.advance(29)
    assert world.actor.of("wake") == []
    world.bench.advance(1)
    assert world.actor.of("wake") == ["alarm"]
    world.bench.advance(2_000)
    assert world.actor.of("wake") == ["alarm"]


def test_the_supervisors_word_opens_and_ends_links_and_reaches_the_actor() -> None:
    world = World(peers=("other",))
    bench = world.bench
    other = bench.actor("other")
    assert other.is_open
    opened: list[Any] = world.actor.of("opened")
    assert opened == world.actor.links
    bench.cell.send(world.actor.links[0], Purge(9), context="mine")
    bench.run()
    assert other.hears() == Purge(9)
    bench.advance(2 * TICK_MS)
    assert world.actor.of("settled") == [["mine"]]
    bench.notice(control.Down("other", 1, "restarting", "it died"))
    assert world.actor.of("ended") == [[]]
    bench.notice(control.Done(1, True))
    assert [type(notice) for notice in world.actor.of("noticed")] == [control.Up, control.Down, control.Done]
    bench.cell.send(world.actor.links[0], Purge(10), context="kept")
    bench.run()
    later = bench.actor("other", generation=2)
    assert later.hears() == Purge(10)


def test_a_link_that_is_given_up_returns_what_nobody_settled() -> None:
    world = World(peers=("other",))
    other = world.bench.actor("other")
    other.settles_at_once = False
    link = world.actor.links[0]
    world.bench.cell.send(link, Purge(1), context="lost")
    world.bench.run()
    assert world.bench.cell.disconnect(link) == ["lost"]
    world.bench.run()
    assert other.endings == ["goodbye"]


def test_what_a_round_was_about_to_say_to_a_link_that_is_given_up_comes_back_too() -> None:
    world = World(peers=("other",))
    other = world.bench.actor("other")
    link = world.actor.links[0]
    world.bench.cell.send(link, Purge(1), context="in this round")
    assert world.bench.cell.disconnect(link) == ["in this round"]
    world.bench.run()
    assert other.take_heard() == []


def test_what_waits_for_durability_on_a_link_that_is_given_up_comes_back_in_order() -> None:
    world = World(Setting(is_late=True), peers=("other", "third"))
    other, third = world.bench.actor("other"), world.bench.actor("third")
    other.settles_at_once = False
    first, second = world.actor.links
    cell = world.bench.cell
    cell.send(first, Purge(1), context="in flight")
    world.bench.run()
    cell.append(1, b"a record")
    cell.send(first, Purge(2), context="waiting")
    cell.send(second, Purge(3), context="of another")
    world.bench.run()
    cell.send(first, Consume(4, 1), context="newest")
    assert cell.disconnect(first) == ["in flight", "waiting", "newest"]
    assert world.bench.late is not None
    world.bench.late.catch_up()
    world.bench.run()
    assert third.take_heard() == [Purge(3)]
    assert other.take_heard() == [Purge(1)]


def test_a_link_is_congested_while_megabytes_wait_for_it() -> None:
    world = World(peers=("nobody",))
    link = world.actor.links[0]
    cell = world.bench.cell
    assert not cell.is_congested(link)
    cell.forward(link, bytes(CONGESTED_BYTES + 1), CONGESTED_BYTES + 1, 1, None)
    world.bench.run()
    assert cell.is_congested(link)


def test_a_cell_without_a_journal_says_at_once_and_has_nothing_to_give() -> None:
    world = World(Setting(has_journal=False))
    client = world.bench.client()
    assert isinstance(world.bench.deliver(client, QueueStatus(1))[0], Failed)
    with pytest.raises(AssertionError, match="has no journal"):
        world.bench.cell.journal  # noqa: B018


def test_a_peer_that_is_gone_is_forgotten_when_the_socket_says_so() -> None:
    world = World()
    client = world.bench.client()
    world.bench.leave(client)
    assert world.actor.of("ended") == [[]]
    assert world.bench.cell.links.served == []


def test_one_that_has_nothing_to_do_wakes_only_to_ask_who_is_there_and_to_show_its_figures() -> None:
    world = World()
    client = world.bench.client()
    cell = world.bench.cell
    world.bench.advance(1_000)
    woken: list[int] = []
    while not woken or woken[-1] < woken[0] + 4_000:
        now_ms = max(world.bench.now_ms + 1, cell.next_wake_ms())
        world.bench.advance(now_ms - world.bench.now_ms)
        woken.append(now_ms)
    assert len(woken) <= 4_000 // LIMITS.ping_interval_ms + 4 + 1, woken
    assert client.is_open
    world.bench.deliver(client, Purge(1))
    assert cell.next_wake_ms() <= world.bench.now_ms + TICK_MS

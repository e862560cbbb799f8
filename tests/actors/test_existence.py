"""Letters on their way to a queue that is away: nothing is given up before the registry has said that it is gone."""

from __future__ import annotations

import pytest

from posthouse.actors.existence import ASK_AGAIN_MS
from posthouse.supervisor import control_messages as control
from posthouse.transport.messages import Explain, Failed
from tests.support.dead_letter_bench import DeadLetterWorld, restored


@pytest.fixture
def world() -> DeadLetterWorld:
    return DeadLetterWorld()


@pytest.mark.parametrize("state", ["unknown", "stopped"])
def test_a_queue_that_is_only_away_while_the_broker_stops_and_starts_gets_them_once(
    world: DeadLetterWorld, state: control.DownState
) -> None:
    queue = world.bench.actor("queue:ewr")
    queue.settles_at_once = False
    world.bury(b"a")
    world.redrive()
    ((_, first),) = restored(queue)
    world.bench.down("queue:ewr", state, "")
    world.answer("ewr")
    world.bench.crash(power=True)
    world.answer("ewr")
    assert world.status().leaving == 1
    queue = world.bench.actor("queue:ewr", generation=2)
    world.bench.run()
    ((_, again),) = restored(queue)
    assert (again.stream, again.first_seq) == (first.stream, first.first_seq)
    assert world.status().messages == 0


def test_a_question_whose_answer_was_lost_is_put_again_and_a_life_answers_it_too(world: DeadLetterWorld) -> None:
    registry = world.bench.actor("registry")
    world.bench.down("queue:ewr", "unknown", "")
    world.bury(b"a")
    world.redrive()
    world.bench.run()
    (lost,) = registry.take_heard()
    world.bench.advance(ASK_AGAIN_MS)
    (asked,) = registry.take_heard()
    assert isinstance(asked, Explain)
    assert lost != asked
    queue = world.bench.actor("queue:ewr")
    world.bench.run()
    assert [bytes(batch.bodies) for _, batch in restored(queue)] == [b"a"]
    world.bench.advance(ASK_AGAIN_MS)
    assert registry.take_heard() == []


def test_a_refused_question_gives_nothing_up(world: DeadLetterWorld) -> None:
    registry = world.bench.actor("registry")
    world.bench.down("queue:ewr", "unknown", "")
    world.bury(b"a")
    world.redrive()
    world.bench.run()
    asked = registry.hears()
    assert isinstance(asked, Explain)
    registry.say(Failed(asked.request, "actor_down", "not now"), Failed(77, "actor_down", "nobody asked"))
    world.bench.run()
    assert world.status().leaving == 1
    assert world.answer() == []
    world.bench.advance(ASK_AGAIN_MS)
    assert world.answer() == ["ewr"]
    assert world.status().leaving == 0

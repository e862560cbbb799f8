"""Deleting an exchange that may hold messages: it is asked first, whatever dies meanwhile."""

from __future__ import annotations

import pytest

from posthouse.supervisor import control_messages as control
from posthouse.transport.messages import (
    Bind,
    BindingSpec,
    DeleteExchange,
    ExchangeSpec,
    Failed,
    ListExchanges,
    QueueSpec,
    Reply,
    TopologyChange,
)
from posthouse.transport.messages_hold import HoldInfo, HoldStatus, PrepareDeleteExchange
from tests.support.actor_bench import result_of
from tests.support.registry_bench import RegistryWorld, raw

PATIENT = ExchangeSpec(name="patient", kind="topic", unrouted="hold")


def _world() -> RegistryWorld:
    world = RegistryWorld()
    world.declare(PATIENT, QueueSpec(name="one"))
    world.exchange("patient").take_heard()
    return world


def _asked(world: RegistryWorld) -> PrepareDeleteExchange:
    asked = world.exchange("patient").hears()
    assert isinstance(asked, PrepareDeleteExchange)
    return asked


def test_it_is_asked_and_then_deleted_stopped_and_its_journal_removed() -> None:
    world = _world()
    assert world.bench.deliver(world.client, DeleteExchange(5, "patient")) == []
    patient = world.exchange("patient")
    patient.say(Reply(_asked(world).request, raw(None)))
    world.bench.run()
    (change,) = patient.take_heard()
    assert isinstance(change, TopologyChange)
    assert change.drop_exchanges == ("patient",)
    assert "patient" not in world.actor.topology.exchanges
    world.obey()
    assert [spec.name for spec in world.removed] == ["patient"]


def test_one_that_holds_messages_is_not_deleted() -> None:
    world = _world()
    world.bench.deliver(world.client, DeleteExchange(5, "patient"))
    world.exchange("patient").say(Failed(_asked(world).request, "precondition_failed", "it holds 3 messages"))
    world.bench.run()
    assert world.client.hears() == Failed(5, "precondition_failed", "it holds 3 messages")
    assert "patient" in world.actor.topology.exchanges


def test_one_that_was_bound_meanwhile_is_told_to_go_on() -> None:
    world = _world()
    world.bench.deliver(world.client, DeleteExchange(5, "patient", if_unused=True))
    asked = _asked(world)
    world.bench.deliver(world.client, Bind(6, BindingSpec(source="patient", destination="one", key="#")))
    patient = world.exchange("patient")
    patient.take_heard()
    patient.say(Reply(asked.request, raw(None)))
    world.bench.run()
    assert patient.hears() == PrepareDeleteExchange(0, is_called_off=True)
    assert any(isinstance(heard, Failed) and heard.request == 5 for heard in world.client.take_heard())
    assert "patient" in world.actor.topology.exchanges


def test_one_that_is_quarantined_is_deleted_without_asking() -> None:
    world = _world()
    world.bench.notice(control.Down("exchange:patient", 1, "quarantined", "its journal is corrupt"))
    world.bench.deliver(world.client, DeleteExchange(5, "patient"))
    assert "patient" not in world.actor.topology.exchanges


def test_one_that_died_before_it_answered_is_asked_again_when_it_is_back() -> None:
    world = _world()
    world.bench.deliver(world.client, DeleteExchange(5, "patient"))
    first = _asked(world)
    world.bench.leave(world.exchange("patient"))
    heard = world.exchange("patient").take_heard()
    (second,) = [message for message in heard if isinstance(message, PrepareDeleteExchange)]
    assert second.request != first.request


@pytest.mark.parametrize("answers", [True, False], ids=["answers", "silent"])
def test_a_listing_of_exchanges_tells_what_each_holds(answers: bool) -> None:
    world = _world()
    world.client.say(ListExchanges(7))
    world.bench.run()
    patient = world.exchange("patient")
    (asked,) = patient.take_heard()
    assert isinstance(asked, HoldStatus)
    if answers:
        info = HoldInfo(exchange="patient", messages=3, bytes=30, leaving=1)
        patient.say(Reply(asked.request, raw(info)))
        world.bench.run()
    else:
        world.bench.advance(3_000)
    (found,) = world.client.take_heard()
    names = [row["name"] if isinstance(row, dict) else row[0] for row in result_of(found)]
    assert names == ["", "patient"]
    assert result_of(found)[1][-3:] == ([3, 30, 1] if answers else [0, 0, 0])

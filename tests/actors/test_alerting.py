"""The monitor's alerting on a bench: news and samples in, notices at the desk, over several lives."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.actors import alert_memory, measures
from posthouse.actors.actor import Context
from posthouse.actors.alert_defaults import default_rules
from posthouse.actors.alert_desk import AlertSettings
from posthouse.actors.alert_outbox import TargetFacts
from posthouse.actors.alert_pace import GATHER_MS
from posthouse.actors.alert_rules import Events, State
from posthouse.actors.alerting import SAVE_WAIT_MS, Alerting
from posthouse.actors.monitor import BrokerFacts, MonitorActor, Senses
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.figures import MachineFigures, ProcessFigures
from posthouse.transport.messages import Failed
from posthouse.transport.messages_alerts import (
    AlertList,
    AlertTested,
    EndSilence,
    ListAlerts,
    SendTestAlert,
    Silence,
    SilenceAlerts,
)
from tests.support.actor_bench import ActorBench, Peer, Setting, result_of
from tests.support.alert_bench import NotingDesk, node

CRASH = Events(name="crash", summary="ended", events=("restarting",), clear_for_s=5.0)
DOWN = State(name="down", summary="is down", severity="critical", states=("quarantined",), clear_for_s=2.0)
RULES = {rule.name: rule for rule in (CRASH, DOWN)}
HOOK = TargetFacts("hook", "webhook", "http://h/***")
PAGER = TargetFacts("pager", "command", "page", ("critical",))


class World:
    """One broker's monitor, life after life, with a tree that the test describes."""

    def __init__(self, *targets: TargetFacts, **settings: Any) -> None:
        self.desk = NotingDesk()
        self.nodes = [node(), node("monitor", "monitor")]
        self.boot = "first"
        self._given: dict[str, Any] = {"rules": RULES, "targets": targets or (HOOK,)} | settings
        self.bench = ActorBench("monitor", self._make, Setting(has_journal=False))
        self.sample()

    def _make(self, context: Context) -> MonitorActor:
        settings = AlertSettings(boot=self.boot, **self._given)
        senses = Senses(
            lambda page: [0] * 256, lambda pid: ProcessFigures(), lambda: MachineFigures(2, 0.0, 10, 5, 10, 5)
        )
        return MonitorActor(context, BrokerFacts("0", "/d", 1, 0.0), senses, Alerting(context, settings, self.desk))

    def sample(self, *nodes: control.NodeInfo) -> None:
        """The supervisor answers what the monitor asks once a second."""
        self.nodes = list(nodes) or self.nodes
        asked = [order for order in self.bench.take_orders() if isinstance(order, control.DescribeTree)]
        self.bench.notice(*(control.Tree(order.request, self.nodes) for order in asked))

    def seconds(self, count: int) -> None:
        for _ in range(count):
            self.bench.advance(1_000)
            self.sample()

    def crash(self, actor: str = "queue:q") -> None:
        self.bench.notice(control.Happened(0, "restarting", actor, reason="signal 9"))

    def settle(self) -> None:
        """Long enough for a notice to leave."""
        self.bench.advance(GATHER_MS + 300)

    def told(self) -> list[tuple[list[str], list[str]]]:
        """Everything that was sent since the last look, all of it taken: rules that fire, rules that are over."""
        found = []
        while self.desk.sent:
            notice = self.desk.answer().notice
            found.append(([alert.rule for alert in notice.firing], [alert.rule for alert in notice.resolved]))
            self.settle()
        return found

    def die(self) -> None:
        self.desk.saving = None
        self.desk.sent.clear()
        self.bench.crash()

    def client(self) -> Peer:
        return self.bench.client()

    def listing(self, client: Peer) -> AlertList:
        (answer,) = self.bench.deliver(client, ListAlerts(1))
        found: AlertList = result_of(answer, AlertList)
        return found


def test_a_death_is_told_without_waiting_for_a_sample() -> None:
    world = World()
    world.crash()
    world.settle()
    assert world.told() == [(["crash"], [])]


def test_what_is_over_is_told_once() -> None:
    world = World()
    world.crash()
    world.settle()
    world.told()
    world.seconds(7)
    world.settle()
    assert world.told() == [([], ["crash"])]


def test_many_deaths_at_once_are_one_notice() -> None:
    world = World()
    for number in range(1_000):
        world.crash(f"queue:{number}")
    world.settle()
    ((firing, _),) = world.told()
    assert len(firing) == 1_000


def test_events_and_the_log_have_it_and_the_monitor_does_not_hear_itself() -> None:
    world = World()
    world.crash()
    alarms = [order for order in world.bench.take_orders() if isinstance(order, control.Alarm)]
    assert [(alarm.event, alarm.is_over, alarm.fields["rule"]) for alarm in alarms] == [
        ("alert_firing", False, "crash")
    ]
    world.bench.notice(control.Alarmed(0, "monitor", alarms[0]))
    client = world.client()
    assert len(world.listing(client).alerts) == 1


def test_targets_hear_of_what_they_want() -> None:
    world = World(HOOK, PAGER)
    world.crash()
    world.settle()
    assert [dispatch.target for dispatch in world.desk.sent] == ["hook"]
    world.told()
    world.bench.notice(control.Happened(0, "quarantined", "queue:q"))
    world.settle()
    assert sorted(dispatch.target for dispatch in world.desk.sent) == ["hook", "pager"]
    assert len({dispatch.notice.number for dispatch in world.desk.sent}) == 1


def test_what_fails_is_listed_as_undelivered_and_tried_again() -> None:
    world = World()
    world.crash()
    world.settle()
    world.desk.answer("answered 500")
    world.settle()
    (target,) = world.listing(world.client()).targets
    assert (target.waiting, target.failed, target.error) == (1, 1, "answered 500")
    world.bench.advance(3_000)
    assert world.told() == [(["crash"], [])]
    assert world.bench.cell.meter.get(measures.NOTICES_FAILED) == 1


def test_a_notice_waits_for_what_must_survive_but_not_for_a_disk_that_hangs() -> None:
    world = World()
    world.desk.saves_at_once = False
    world.crash()
    world.bench.advance(GATHER_MS + 100)
    assert world.desk.sent == []
    world.bench.advance(SAVE_WAIT_MS + 200)
    assert world.told() == [(["crash"], [])]


def test_a_disk_that_cannot_be_written_is_said_and_changes_nothing_else() -> None:
    world = World()
    world.desk.problem = "no space left"
    world.crash()
    world.settle()
    assert world.told() == [(["crash"], [])]
    client = world.client()
    assert "no space left" in world.listing(client).trouble
    world.desk.problem = ""
    world.crash("queue:other")
    world.settle()
    world.settle()
    assert world.listing(client).trouble == ""


def test_a_monitor_that_dies_forgets_nothing_and_repeats_nothing() -> None:
    world = World()
    world.crash()
    world.settle()
    world.desk.sent.clear()
    world.die()
    world.sample()
    world.settle()
    assert world.told() == [(["crash"], [])], "it was not delivered when the first life died"
    world.die()
    world.sample()
    world.settle()
    assert world.told() == []
    world.seconds(7)
    world.settle()
    assert world.told() == [([], ["crash"])]


def test_what_was_delivered_and_not_written_down_is_not_told_again() -> None:
    world = World()
    world.crash()
    world.settle()
    world.desk.answer()
    world.die()
    world.sample()
    world.settle()
    assert world.told() == []


def test_the_death_of_the_monitor_itself_is_seen_by_its_next_life() -> None:
    world = World()
    world.settle()
    world.die()
    world.sample(node(), node("monitor", "monitor", restarts=1, last_exit="signal 9"))
    world.settle()
    assert world.told() == [(["crash"], [])]
    world.die()
    world.sample()
    world.settle()
    assert world.told() == [], "that one was seen before"


def test_a_restart_in_order_is_no_death() -> None:
    world = World()
    world.die()
    world.sample(node(restarts=1, last_exit="exit code 0"))
    world.settle()
    assert world.told() == []


def test_restarts_of_an_earlier_broker_are_not_compared_with_those_of_this_one() -> None:
    world = World()
    world.sample(node(restarts=5))
    world.seconds(1)
    world.boot = "second"
    world.die()
    world.sample(node(restarts=1, last_exit="signal 9"))
    world.settle()
    assert world.told() == [(["crash"], [])]


@pytest.mark.parametrize("data", [b"{", b'{"version": 2}'])
def test_a_file_that_cannot_be_understood_is_said_kept_aside_and_begun_anew(data: bytes) -> None:
    world = World()
    world.desk.file = data
    world.die()
    alarms = [order for order in world.bench.take_orders() if isinstance(order, control.Alarm)]
    assert [alarm.event for alarm in alarms] == ["alerts_trouble"]
    assert world.desk.aside == [data]
    world.crash()
    world.settle()
    assert world.told() == [(["crash"], [])]
    assert world.desk.file is not None
    assert alert_memory.decode(world.desk.file).firing[0].rule == "crash"


def test_what_is_silenced_is_not_told_until_the_silence_is_over() -> None:
    world = World()
    client = world.client()
    (answer,) = world.bench.deliver(client, SilenceAlerts(1, "cr*", "q", 3_600_000, "why"))
    silence: Silence = result_of(answer, Silence)
    world.crash()
    world.settle()
    assert world.told() == []
    (alert,) = world.listing(client).alerts
    assert (alert.state, alert.silence, alert.is_told) == ("firing", silence.number, False)
    world.die()
    world.sample()
    client = world.bench.clients["client"]
    assert world.listing(client).silences == [silence]
    assert result_of(world.bench.deliver(client, EndSilence(2, silence.number))[0]) is True
    assert result_of(world.bench.deliver(client, EndSilence(3, silence.number))[0]) is False
    world.settle()
    assert world.told() == [(["crash"], [])]


def test_a_test_says_what_became_of_it_at_each_target() -> None:
    world = World(HOOK, PAGER)
    client = world.client()
    assert world.bench.deliver(client, SendTestAlert(1)) == []
    assert [dispatch.notice.kind for dispatch in world.desk.sent] == ["test", "test"]
    world.desk.answer()
    world.desk.answer("no modem")
    world.settle()
    assert result_of(client.hears(), list[AlertTested]) == [
        AlertTested(target="hook"),
        AlertTested(target="pager", error="no modem"),
    ]


def test_a_test_of_a_target_that_hangs_is_answered_in_time() -> None:
    world = World()
    client = world.client()
    world.bench.deliver(client, SendTestAlert(1, "hook", 2_000))
    world.bench.advance(2_100)
    (tested,) = result_of(client.hears(), list[AlertTested])
    assert "no answer yet" in tested.error


def test_requests_that_cannot_be_meant_are_refused_and_change_nothing() -> None:
    world = World()
    client = world.client()
    for request in (
        SendTestAlert(1, "nobody"),
        SendTestAlert(2, "hook", 1 << 40),
        SilenceAlerts(3, "", "*", 1_000),
        SilenceAlerts(4, "*", "*", 0),
    ):
        (answer,) = world.bench.deliver(client, request)
        assert isinstance(answer, Failed)
        assert answer.code == "invalid_argument"
    assert world.listing(client).silences == []
    assert world.desk.sent == []


def test_alerts_that_are_switched_off_tell_nothing_and_say_so() -> None:
    world = World(is_enabled=False, rules=default_rules(1))
    world.crash()
    world.settle()
    assert world.told() == []
    listing = world.listing(world.client())
    assert listing.enabled is False
    assert len(listing.rules) == len(default_rules(1))


def test_figures_of_alerts_are_on_the_monitors_page() -> None:
    world = World()
    world.crash()
    world.settle()
    world.bench.advance(1_500)
    meter = world.bench.cell.meter
    assert [meter.get(word) for word in (measures.ALERTS_FIRING, measures.NOTICES_WAITING)] == [1, 1]

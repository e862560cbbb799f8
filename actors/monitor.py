"""The monitor: watches the others, and tells whoever asks.

A thin shell around `readings` and `broker_events`; `alerting` is its part that tells people. It keeps no journal: what
it knows is on the pages that actors write and in what the supervisor tells, and after a restart it learns that again.
It must never be needed by those it watches: nobody waits for it, and it asks nobody but the supervisor.

Fails with: nothing of its own; a figure that cannot be had is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, final

import msgspec

from posthouse.actors import measures
from posthouse.actors.actor import Context
from posthouse.actors.alert_desk import AlertSettings, NoDesk
from posthouse.actors.alerting import OWN_ALARMS, Alerting
from posthouse.actors.broker_events import BrokerEvents
from posthouse.actors.event_publisher import EventPublisher
from posthouse.actors.readings import Readings, ReadPage, ReadProcess
from posthouse.actors.tallies import Totals
from posthouse.actors.topology_news import ConsumerNews, News, TopologyNews
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.figures import MachineFigures
from posthouse.supervisor.meter import Meter
from posthouse.transport.errors import InvalidArgument, ProtocolViolation
from posthouse.transport.links import Arrived, Link
from posthouse.transport.messages import Message, Receipt, TopologyChange, WatchTopology
from posthouse.transport.messages_alerts import EndSilence, ListAlerts, SendTestAlert, SilenceAlerts
from posthouse.transport.messages_monitor import Machine, Overview, ReadEvents, ReadOverview
from posthouse.transport.messages_sessions import ListSessions
from posthouse.transport.names import REGISTRY

SAMPLE_MS: Final = 1_000
LOOK_MS: Final = 100
"""What threads have delivered and written is looked at so often."""

EVENTS_PER_ANSWER_MAX: Final = 10_000
WAIT_MS_MAX: Final = 60_000
WAITING_MAX: Final = 1_000
"""Readers that wait for the next event; one more is answered at once, with nothing."""


@final
class BrokerFacts(NamedTuple):
    """What does not change while a broker runs. `started_at`: epoch seconds."""

    version: str
    data: str
    pid: int
    started_at: float


@final
class Senses(NamedTuple):
    """How the monitor gets at the machine."""

    page: ReadPage
    process: ReadProcess
    machine: Callable[[], MachineFigures]


class _Waiting(NamedTuple):
    link: Link
    request: int
    after: int
    limit: int
    until_ms: int


@final
class MonitorActor:
    """The one monitor of a broker."""

    def __init__(self, context: Context, facts: BrokerFacts, senses: Senses, alerting: Alerting | None = None) -> None:
        self._context = context
        self._totals = Totals(context.meter)
        self._facts = facts
        self._senses = senses
        self._alerting = alerting or Alerting(context, AlertSettings({}), NoDesk())
        self._readings = Readings(senses.page, senses.process)
        self._events: BrokerEvents | None = None
        self._publisher = EventPublisher(context)
        self._registry = context.connect(REGISTRY, survives=False)
        self._topology_news = TopologyNews()
        self._consumer_news = ConsumerNews()
        self._waiting: list[_Waiting] = []
        self._asked = 0
        self._machine = Machine()

    # ---- life ----

    def start(self) -> None:
        self._events = BrokerEvents(self._context.wall_ms)
        self._alerting.start(self._events)
        self._context.tell_supervisor(control.Follow())
        self._sample()

    def receive(self, arrived: Arrived, message: Message, raw: msgspec.Raw) -> None:
        link = arrived.link
        match message:
            case ReadOverview(request, kinds, with_history):
                self._context.reply(link, request, self._overview(kinds, with_history))
            case ListSessions(request):
                self._context.reply(link, request, self._context.sessions())
            case TopologyChange() if link is self._registry:
                self._tell(self._topology_news.told(message))
            case Receipt() if self._publisher.owns(link):
                pass  # Its settlement says that an event arrived; one that was refused is not published again.
            case ReadEvents():
                self._read_events(link, message)
            case ListAlerts() | SilenceAlerts() | EndSilence() | SendTestAlert():
                self._alerting.receive(link, message)
            case _:
                raise ProtocolViolation(f"a monitor does not understand {type(message).__name__}")

    def link_opened(self, link: Link) -> None:
        if link is self._registry:
            self._context.send(link, WatchTopology(1))

    def link_ended(self, link: Link, abandoned: list[Any]) -> None:
        if self._publisher.owns(link):
            self._publisher.abandoned(abandoned)
        self._waiting = [waiting for waiting in self._waiting if waiting.link is not link]
        self._alerting.link_ended(link)

    def settled(self, link: Link, contexts: list[Any]) -> None:
        """Answers need no acknowledgement."""
        if self._publisher.owns(link):
            self._publisher.settled(contexts)

    def wake(self, key: str) -> None:
        if key == "sample":
            self._sample()

    def noticed(self, message: control.FromSupervisor) -> None:
        assert self._events is not None
        match message:
            case control.Happened():
                self._events.happened(message)
                self._count(message.kind)
                self._alerting.happened(message)
            case control.Alarmed(_, id, alarm) if id == self._context.actor_id and alarm.event in OWN_ALARMS:
                pass
            case control.Alarmed():
                self._events.alarmed(message)
                self._count("alarm_over" if message.alarm.is_over else "alarm")
                self._alerting.alarmed(message)
            case control.Tree(request, nodes) if request == self._asked:
                self._readings.take(nodes, self._context.wall_ms)
                self._tell(self._consumer_news.read(self._readings.actors.values()))
                self._machine = Machine(**self._senses.machine()._asdict())
                self._alerting.sampled(self._readings.actors, self._machine)
            case _:
                pass

    def finish_round(self) -> None:
        assert self._events is not None
        self._alerting.finish_round()
        self._answer_waiting()
        self._publisher.publish(self._events)
        self._context.set_timer("look", self._context.monotonic_ms + LOOK_MS)

    def measure(self, meter: Meter) -> None:
        self._totals.count(measures.EVENTS_PUBLISHED, self._publisher.published)
        self._totals.count(measures.EVENTS_DROPPED, self._publisher.dropped)
        self._alerting.measure(meter)

    # ---- inside ----

    def _tell(self, told: list[News]) -> None:
        assert self._events is not None
        for news in told:
            self._events.add(
                self._context.wall_ms, news.kind, news.actor, severity=news.severity, text=news.text, **news.fields
            )

    def _count(self, kind: str) -> None:
        self._context.meter.add(measures.EVENTS.get(kind, measures.EVENTS["other"]))

    def _sample(self) -> None:
        self._asked += 1
        self._context.tell_supervisor(control.DescribeTree(self._asked, with_memory=False))
        self._context.set_timer("sample", self._context.monotonic_ms + SAMPLE_MS)

    def _overview(self, kinds: list[str] | None, with_history: bool) -> Overview:
        assert self._events is not None
        actors = self._readings.actors.values()
        return Overview(
            at_ms=self._context.wall_ms,
            version=self._facts.version,
            data=self._facts.data,
            pid=self._facts.pid,
            started_at=self._facts.started_at,
            machine=self._machine,
            actors=[actor for actor in actors if kinds is None or actor.kind in kinds],
            history=list(self._readings.history) if with_history else [],
            standing=self._events.standing,
        )

    def _read_events(self, link: Link, message: ReadEvents) -> None:
        assert self._events is not None
        if not 1 <= message.limit <= EVENTS_PER_ANSWER_MAX:
            raise InvalidArgument(f"limit is 1 to {EVENTS_PER_ANSWER_MAX} events, not {message.limit}")
        if not 0 <= message.wait_ms <= WAIT_MS_MAX:
            raise InvalidArgument(f"wait_ms is 0 to {WAIT_MS_MAX}, not {message.wait_ms}")
        found = self._events.after(message.after, message.limit)
        if found or not message.wait_ms or len(self._waiting) >= WAITING_MAX:
            self._context.reply(link, message.request, found)
            return
        until_ms = self._context.monotonic_ms + message.wait_ms
        after = self._events.last if message.after < 0 else message.after
        self._waiting.append(_Waiting(link, message.request, after, message.limit, until_ms))
        self._context.set_timer(f"waited {link.session} {message.request}", until_ms)

    def _answer_waiting(self) -> None:
        assert self._events is not None
        still: list[_Waiting] = []
        for waiting in self._waiting:
            found = self._events.after(waiting.after, waiting.limit)
            if found or waiting.until_ms <= self._context.monotonic_ms:
                self._context.reply(waiting.link, waiting.request, found)
            else:
                still.append(waiting)
        self._waiting = still

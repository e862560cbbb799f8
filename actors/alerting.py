"""Alerting: the monitor's part that notices what is wrong and has it told.

A thin shell around `alert_news`, `alert_watch`, `alert_book`, `alert_pace` and `alert_outbox`. Delivering and writing
take their time, so both happen behind a desk that the composition point hands in, and nothing here ever waits for them.

What must outlive the monitor is on its way to the disk before a notice is on its way to its target; where the disk does
not answer within `SAVE_WAIT_MS` the notice goes first, since a failing disk is among the things to tell. A monitor that
dies in between tells one notice twice, under the same number, and loses none.

Fails with: nothing of its own; what cannot be read or written is said (`trouble`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, final

from posthouse.actors import alert_memory, measures
from posthouse.actors.actor import Context
from posthouse.actors.alert_book import AlertBook, Change, Letter, Now
from posthouse.actors.alert_desk import AlertDesk, AlertSettings
from posthouse.actors.alert_finding import Findings
from posthouse.actors.alert_memory import Memory
from posthouse.actors.alert_news import AlertNews
from posthouse.actors.alert_outbox import AlertOutbox, Notice
from posthouse.actors.alert_pace import AlertPace
from posthouse.actors.alert_rules import Rule
from posthouse.actors.alert_watch import AlertWatch, Sample
from posthouse.actors.alert_words import condition, settings_of
from posthouse.actors.alerting_tests import AlertTests
from posthouse.actors.broker_events import BrokerEvents
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.exit_codes import NORMAL, SHUTDOWN
from posthouse.supervisor.meter import Meter
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.links import Link
from posthouse.transport.messages_alerts import (
    Alert,
    AlertList,
    AlertMessage,
    AlertRule,
    EndSilence,
    ListAlerts,
    SendTestAlert,
    SilenceAlerts,
)
from posthouse.transport.messages_monitor import ActorReading, Machine

SAVE_WAIT_MS: Final = 500
LOOK: Final = "alerting"
"""The timer by which it looks what became of what it began."""
LOOK_MS: Final = 100
LOGGED_PER_ROUND_MAX: Final = 20
OWN_ALARMS: Final = ("alert_firing", "alert_resolved", "alerts_trouble")
"""What the monitor itself tells the log; it is no news to it."""

_ORDERLY: Final = ("", f"exit code {NORMAL}", f"exit code {SHUTDOWN}")
_SEVERITIES: Final = {"info": "info", "warning": "warning", "critical": "error"}


@final
class Alerting:
    """The alerts of one broker, in the life of one monitor."""

    def __init__(self, context: Context, settings: AlertSettings, desk: AlertDesk) -> None:
        rules = settings.rules.values() if settings.is_enabled else ()
        self._context = context
        self._settings = settings
        self._desk = desk
        self._news = AlertNews(rules)
        self._watch = AlertWatch(rules)
        self._book = AlertBook(settings.rules if settings.is_enabled else {}, settings.repeat_s)
        self._pace = AlertPace()
        self._outbox = AlertOutbox(settings.targets)
        self._tests = AlertTests(context)
        self._events: BrokerEvents | None = None
        self._restarts: dict[str, int] = {}
        self._has_caught_up = False
        self._last_notice = 0
        self._has_news = False
        self._must_save = False
        self._save_began_ms: int | None = None
        self._unsaved_since_ms: int | None = None
        self._trouble = ""

    # ---- life ----

    def start(self, events: BrokerEvents) -> None:
        """Take up what the last life left."""
        self._events = events
        memory = Memory()
        try:
            data = self._desk.load()
            if data is not None:
                memory = alert_memory.decode(data)
        except InvalidArgument as error:
            self._in_trouble(f"{error}; alerts begin anew")
            self._desk.set_aside()
        self._last_notice = max(memory.last_notice, self._context.wall_ms)
        self._book.silences.restore(memory.silences, memory.last_silence)
        self._book.restore(memory.firing, memory.resolved, memory.untold, self._now)
        self._outbox.restore(memory.waiting, self._desk.delivered())
        if memory.boot == self._settings.boot:
            self._restarts = dict(memory.restarts)
        self._has_news = True

    @property
    def _now(self) -> Now:
        return Now(self._context.wall_ms, self._context.monotonic_ms)

    # ---- facts ----

    def happened(self, news: control.Happened) -> None:
        """The supervisor reported it."""
        self._changed(self._book.take_news(self._news.happened(news, self._context.monotonic_ms), self._now))

    def alarmed(self, news: control.Alarmed) -> None:
        """An actor alarms, or takes it back."""
        self._changed(self._book.take_news(self._news.alarmed(news), self._now))

    def sampled(self, actors: Mapping[str, ActorReading], machine: Machine) -> None:
        """A sample of everything."""
        self._catch_up(actors)
        sample = Sample(self._context.monotonic_ms, actors, machine, self._settings.descriptors_max)
        active = self._book.active
        found: Findings = self._watch.take(sample, active)
        found |= self._news.take(actors, sample.at_ms, active)
        self._changed(self._book.take_sample(found, self._now))
        self._has_news = self._has_news or self._book.has_news(self._now)

    def _catch_up(self, actors: Mapping[str, ActorReading]) -> None:
        """Deaths that nobody told of, since this actor itself was not there: in the tree they are restarts."""
        restarts = {actor.id: actor.restarts for actor in actors.values() if actor.restarts}
        if not self._has_caught_up:
            self._has_caught_up = True
            for actor_id, count in restarts.items():
                actor = actors[actor_id]
                is_new = count > self._restarts.get(actor_id, 0) and actor_id not in self._news.heard
                if is_new and actor.last_exit not in _ORDERLY:
                    self.happened(
                        control.Happened(self._context.wall_ms, "restarting", actor_id, reason=actor.last_exit)
                    )
        self._must_save = self._must_save or restarts != self._restarts
        self._restarts = restarts

    def _changed(self, changes: list[Change]) -> None:
        assert self._events is not None
        for change in changes:
            alert = change.alert
            is_over = change.kind == "resolved"
            self._events.add(
                self._context.wall_ms,
                f"alert_{change.kind}",
                alert.subject,
                severity="info" if is_over else _SEVERITIES[alert.severity],
                text=f"{alert.rule} {'is over' if is_over else 'fires'}: {alert.text}",
                rule=alert.rule,
                alert_severity=alert.severity,
                value=alert.value,
            )
        for change in changes[:LOGGED_PER_ROUND_MAX]:
            self._log(change)
        if changes:
            self._has_news = True
            self._must_save = True

    def _log(self, change: Change) -> None:
        alert = change.alert
        fields: dict[str, str | int] = {"rule": alert.rule, "subject": alert.subject, "text": alert.text}
        key = f"alert {alert.rule} {alert.subject}"
        is_over = change.kind == "resolved"
        self._context.tell_supervisor(control.Alarm(f"alert_{change.kind}", fields, is_over=is_over, key=key))

    # ---- requests ----

    def receive(self, link: Link, message: AlertMessage) -> None:
        """What clients ask."""
        match message:
            case ListAlerts(request):
                self._context.reply(link, request, self._listing())
            case SilenceAlerts(request, rule, subject, for_ms, comment):
                silence = self._book.silences.add(rule, subject, for_ms, comment, self._context.wall_ms)
                self._must_save = True
                self._context.reply(link, request, silence)
            case EndSilence(request, number):
                was_there = self._book.silences.end(number)
                self._must_save = self._must_save or was_there
                self._has_news = True
                self._context.reply(link, request, was_there)
            case SendTestAlert():
                self._send_test(link, message)

    def link_ended(self, link: Link) -> None:
        """Nobody waits there any more."""
        self._tests.link_ended(link)

    def _send_test(self, link: Link, message: SendTestAlert) -> None:
        targets = [message.target] if message.target else self._outbox.names
        for target in targets:
            if target not in self._outbox.names:
                known = ", ".join(self._outbox.names) or "none, see docs/alerts.md"
                raise InvalidArgument(f"there is no target {target!r} in the configuration; there are {known}")
        notice = self._notice("test", Letter([], []))
        self._tests.began(link, message, notice.number, targets)
        for target in targets:
            self._outbox.add(target, notice)

    def _listing(self) -> AlertList:
        wall_ms, monotonic_ms = self._now
        return AlertList(
            at_ms=wall_ms,
            enabled=self._settings.is_enabled,
            alerts=self._book.listing(self._now),
            silences=self._book.silences.standing(wall_ms),
            targets=self._outbox.listing(wall_ms, monotonic_ms),
            rules=[_shown(rule) for rule in self._settings.rules.values()],
            trouble=self._trouble,
        )

    # ---- rounds ----

    def finish_round(self) -> None:
        """Tell what there is to tell, write what must be kept, deliver what is due."""
        now_ms = self._context.monotonic_ms
        self._take_outcomes()
        if self._has_news:
            self._has_news = self._book.has_news(self._now)
        if self._pace.is_due(self._has_news, now_ms):
            self._has_news = False
            self._address(self._book.tell(self._now))
        if self._outbox.is_changed:
            self._outbox.is_changed = False
            self._must_save = True
        self._save(now_ms)
        if self._may_send(now_ms):
            for dispatch in self._outbox.dispatch(self._context.wall_ms, now_ms):
                self._desk.send(dispatch)
        self._tests.answer_late(now_ms)
        if self._has_news or self._must_save or self._save_began_ms is not None or self._outbox.is_busy:
            # The desk says nothing when it is done, and a notice has to leave soon, not with the next sample.
            self._context.set_timer(LOOK, now_ms + LOOK_MS)

    def measure(self, meter: Meter) -> None:
        """Once a second: how much is wrong, and how much of it is untold."""
        targets = self._outbox.listing(self._context.wall_ms, self._context.monotonic_ms)
        meter.set(measures.ALERTS_FIRING, len(self._book.firing))
        meter.set(measures.ALERTS_PENDING, len(self._book.pending))
        meter.set(measures.NOTICES_WAITING, sum(target.waiting for target in targets))

    def _take_outcomes(self) -> None:
        for outcome in self._desk.take_outcomes():
            word = measures.NOTICES_FAILED if outcome.error else measures.NOTICES_DELIVERED
            self._context.meter.add(word)
            now = self._now
            tested = self._outbox.ended(outcome, now.wall_ms, now.monotonic_ms, self._context.random.random())
            if tested is not None:
                self._tests.ended(outcome.number, tested)

    def _address(self, letter: Letter) -> None:
        """One notice for each different set of alerts that targets want; most often one for all."""
        made: dict[tuple[int, ...], Notice] = {}
        for name in self._outbox.names:
            own = Letter(self._wanted(name, letter.firing), self._wanted(name, letter.resolved))
            if own.firing or own.resolved:
                which = tuple(map(id, (*own.firing, *own.resolved)))
                notice = made.get(which)
                if notice is None:
                    notice = made[which] = self._notice("alerts", own)
                self._outbox.add(name, notice)
        self._must_save = True

    def _wanted(self, target: str, alerts: Iterable[Alert]) -> list[Alert]:
        severities = self._outbox.facts(target).severities
        wanted = []
        for alert in alerts:
            rule = self._settings.rules.get(alert.rule)
            for_all = rule is None or rule.targets is None
            if alert.severity in severities and (for_all or (rule is not None and target in (rule.targets or ()))):
                wanted.append(alert)
        return wanted

    def _notice(self, kind: str, letter: Letter) -> Notice:
        self._last_notice += 1
        return Notice(
            number=self._last_notice,
            at_ms=self._context.wall_ms,
            kind=kind,
            firing=letter.firing,
            resolved=letter.resolved,
        )

    # ---- keeping ----

    def _save(self, now_ms: int) -> None:
        if self._save_began_ms is not None:
            why = self._desk.take_saved()
            if why is None:
                return
            self._save_began_ms = None
            if why:
                self._in_trouble(f"the alerts' file cannot be written: {why}")
            else:
                self._trouble = ""
        if self._must_save:
            self._must_save = False
            self._save_began_ms = now_ms
            self._desk.save(alert_memory.encode(self._memory()))

    def _may_send(self, now_ms: int) -> bool:
        """What is told has been written, or writing takes too long."""
        if self._save_began_ms is None:
            self._unsaved_since_ms = None
            return True
        if self._unsaved_since_ms is None:
            self._unsaved_since_ms = now_ms
        return now_ms - self._unsaved_since_ms >= SAVE_WAIT_MS

    def _memory(self) -> Memory:
        book = self._book
        return Memory(
            boot=self._settings.boot,
            last_notice=self._last_notice,
            last_silence=book.silences.last,
            firing=book.firing,
            resolved=list(book.resolved),
            untold=book.untold,
            silences=book.silences.standing(self._context.wall_ms),
            waiting=self._outbox.waiting(),
            restarts=self._restarts,
        )

    def _in_trouble(self, text: str) -> None:
        """Said once, for the log and for people."""
        if text != self._trouble:
            self._trouble = text
            self._context.tell_supervisor(control.Alarm("alerts_trouble", {"text": text}))


def _shown(rule: Rule) -> AlertRule:
    return AlertRule(
        name=rule.name,
        kind=str(rule.__struct_config__.tag),
        severity=rule.severity,
        enabled=rule.enabled,
        condition=condition(rule),
        settings=settings_of(rule),
    )

"""The watch over lives: what the supervisor and alarming actors tell, and what the rules find in it.

Pure. News is judged when it comes, without waiting for a sample; a sample says what is still so. It remembers only
times of events within the windows of rules, and the last exit code of each actor.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, final

from posthouse.actors.alert_finding import Active, Finding, Findings, Key, Verdict
from posthouse.actors.alert_rules import Alarms, Events, Rule, State, concerns
from posthouse.actors.alert_words import duration
from posthouse.supervisor.control_messages import Alarmed, Happened
from posthouse.transport.messages_monitor import ActorReading
from posthouse.transport.names import name_of_actor

_EXIT_CODE: Final = re.compile(r"exit code (\d+)$")
_WELL: Final = ("up", "stopped")
"""States in which an event of the past is over."""


@final
class AlertNews:
    """The rules that look at events, states and alarms."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        enabled = [rule for rule in rules if rule.enabled]
        self._events = [rule for rule in enabled if isinstance(rule, Events)]
        self._states = [rule for rule in enabled if isinstance(rule, State)]
        self._alarms = [rule for rule in enabled if isinstance(rule, Alarms)]
        self._times: dict[Key, deque[int]] = {}
        self._codes: dict[str, int | None] = {}
        self._standing: dict[tuple[str, str], Alarmed] = {}
        self.heard: set[str] = set()
        """Whose unexpected end was told in this life."""

    # ---- news ----

    def happened(self, news: Happened, at_ms: int) -> Findings:
        """What is bad because of this. `at_ms`: monotonic."""
        if news.kind == "exited":
            self._codes[news.id] = news.code
        elif news.kind in ("restarting", "quarantined"):
            self.heard.add(news.id)
        found: Findings = {}
        code = self._codes.get(news.id)
        for rule in self._events:
            if news.kind in rule.events and _means(rule, news.id) and _has_code(rule, code):
                count = self._count(rule, news.id, at_ms)
                if count >= rule.count:
                    often = "" if rule.count == 1 else f", {count} times in {duration(rule.window_s)}"
                    found |= _bad(rule, news.id, float(count), f"{rule.summary}{often}{_why(news.reason)}")
        for state in self._states:
            if news.kind in state.states and _means(state, news.id) and _has_code(state, code):
                found |= _bad(state, news.id, 1.0, state.summary + _why(news.reason))
        return found

    def alarmed(self, news: Alarmed) -> Findings:
        """What is bad because an actor alarms. What it takes back is over at the next sample."""
        key = (news.id, news.alarm.key or news.alarm.event)
        if news.alarm.is_over:
            self._standing.pop(key, None)
            return {}
        self._standing[key] = news
        return self._of_alarm(news)

    # ---- samples ----

    def take(self, actors: Mapping[str, ActorReading], at_ms: int, active: Active) -> Findings:
        """What is still so."""
        found: Findings = {}
        for rule in self._states:
            for actor in actors.values():
                found |= self._of_state(rule, actor, active)
        for news in self._standing.values():
            found |= self._of_alarm(news)
        self._keep_events(found, actors, at_ms, active)
        for gone in [actor_id for actor_id in self._codes if actor_id not in actors]:
            del self._codes[gone]
        return found

    def _of_state(self, rule: State, actor: ActorReading, active: Active) -> Findings:
        if actor.state in rule.states:
            if _means(rule, actor.id) and _has_code(rule, _code_of(actor.last_exit)):
                return _bad(rule, actor.id, 1.0, rule.summary + _why(actor.last_exit))
        elif actor.state not in _WELL and (rule.name, actor.id) in active:
            return _undecided(rule, actor.id)
        return {}

    def _of_alarm(self, news: Alarmed) -> Findings:
        found: Findings = {}
        names = (news.alarm.event, news.alarm.key)
        for rule in self._alarms:
            if any(name in rule.alarms for name in names if name) and _means(rule, news.id):
                details = ", ".join(f"{name} {value}" for name, value in news.alarm.fields.items())
                found |= _bad(rule, news.id, 1.0, f"{rule.summary}{': ' * bool(details)}{details}")
        return found

    def _keep_events(self, found: Findings, actors: Mapping[str, ActorReading], at_ms: int, active: Active) -> None:
        """An event is over when its actor is up, and the window has fewer than the rule counts."""
        for rule in self._events:
            for subject in _subjects(rule, active):
                actor = actors.get(subject)
                if actor is None:
                    continue
                times = self._times.get((rule.name, subject), ())
                recent = sum(1 for time in times if time > at_ms - rule.window_s * 1000)
                if actor.state not in _WELL or (rule.count > 1 and recent >= rule.count):
                    found |= _undecided(rule, subject)
        for key in [key for key, times in self._times.items() if key not in active and key[1] not in actors]:
            del self._times[key]

    def _count(self, rule: Events, subject: str, at_ms: int) -> int:
        times = self._times.setdefault((rule.name, subject), deque(maxlen=1_000))
        times.append(at_ms)
        while times[0] <= at_ms - rule.window_s * 1000:
            times.popleft()
        return len(times)


def _subjects(rule: Rule, active: Active) -> Iterator[str]:
    return (subject for name, subject in active if name == rule.name)


def _means(rule: Events | State | Alarms, actor_id: str) -> bool:
    kind = actor_id.partition(":")[0]
    return rule.actors in ("*", kind) and concerns(rule, actor_id, name_of_actor(actor_id))


def _has_code(rule: Events | State, code: int | None) -> bool:
    return (not rule.codes or code in rule.codes) and code not in rule.ignore_codes


def _code_of(last_exit: str) -> int | None:
    found = _EXIT_CODE.search(last_exit)
    return int(found[1]) if found else None


def _why(reason: str) -> str:
    return f": {reason}" if reason else ""


def _bad(rule: Rule, subject: str, value: float, text: str) -> Findings:
    finding = Finding(rule, subject, name_of_actor(subject), Verdict.BAD, value, f"{subject}: {text}")
    return {finding.key: finding}


def _undecided(rule: Rule, subject: str) -> Findings:
    finding = Finding(rule, subject, name_of_actor(subject), Verdict.UNDECIDED)
    return {finding.key: finding}

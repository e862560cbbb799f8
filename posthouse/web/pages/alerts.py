"""Alerts: what fires, who is told, what is kept quiet, and the rules behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, final

from posthouse.transport.messages_alerts import Alert, AlertTarget, Silence
from posthouse.web.pages.fields import Fields
from posthouse.web.pages.frame import Done
from posthouse.web.pages.visit import Visit
from posthouse.web.pages.words import When, duration, plural, when_ms

NUMBER_MAX: Final = (1 << 63) - 1
MINUTES_MAX: Final = 60 * 24 * 30
_TONES: Final = {"critical": "bad", "warning": "warn", "info": "note"}


@final
class AlertRow(NamedTuple):
    """One alert."""

    alert: Alert
    tone: str
    word: str
    since: When | None
    over: When | None


@final
class SilenceRow(NamedTuple):
    """One silence."""

    silence: Silence
    until: When


@final
class TargetRow(NamedTuple):
    """One place where notices go."""

    target: AlertTarget
    tone: str
    word: str
    last: When | None
    next: When | None


async def view(visit: Visit) -> Mapping[str, Any]:
    """What the template shows."""
    found = await (await visit.broker()).alerts.list()
    now_ms = found.at_ms
    rows = alert_rows(found.alerts, now_ms)
    return {
        "found": found,
        "firing": [row for row in rows if row.alert.state == "firing"],
        "pending": [row for row in rows if row.alert.state == "pending"],
        "resolved": [row for row in rows if row.alert.state == "resolved"],
        "silences": [SilenceRow(silence, when_ms(silence.until_ms, now_ms)) for silence in found.silences],
        "targets": [target_row(target, now_ms) for target in found.targets],
        "rule": visit.query.text("rule"),
        "subject": visit.query.text("subject"),
    }


def alert_rows(alerts: Sequence[Alert], now_ms: int) -> list[AlertRow]:
    """The alerts for people."""
    return [
        AlertRow(
            alert,
            "off" if alert.silence or alert.state != "firing" else _TONES.get(alert.severity, "warn"),
            f"{alert.severity}, silenced" if alert.silence else alert.severity,
            when_ms(alert.since_ms, now_ms) if alert.since_ms else None,
            when_ms(alert.resolved_ms, now_ms) if alert.resolved_ms else None,
        )
        for alert in alerts
    ]


def target_row(target: AlertTarget, now_ms: int) -> TargetRow:
    """A target, and whether it can be reached."""
    tone, word = ("good", "delivers") if target.delivered else ("off", "nothing sent yet")
    if target.error:
        tone, word = "bad", f"fails, {plural(target.attempts, 'attempt')}"
    elif target.waiting:
        tone, word = "warn", f"{target.waiting} waiting"
    return TargetRow(
        target,
        tone,
        word,
        when_ms(target.delivered_ms, now_ms) if target.delivered_ms else None,
        when_ms(target.next_ms, now_ms) if target.next_ms else None,
    )


# ---- actions ----


async def silence(visit: Visit, form: Fields) -> Done:
    """Keep what matches quiet for a while."""
    rule, subject = form.line("rule") or "*", form.line("subject") or "*"
    for_s = form.whole("minutes", 60, 1, MINUTES_MAX) * 60
    comment = form.line("comment") or ""
    await (await visit.broker()).alerts.silence(rule, subject, for_s=for_s, comment=comment)
    return Done("/alerts", f"Quiet for {duration(for_s)}: rule {rule}, subject {subject}.")


async def unsilence(visit: Visit, form: Fields) -> Done:
    """End a silence."""
    was_there = await (await visit.broker()).alerts.unsilence(form.whole("number", 0, 0, NUMBER_MAX))
    return Done("/alerts", "The silence has ended." if was_there else "That silence was over already.")


async def test(visit: Visit, form: Fields) -> Done:
    """Send a test notice."""
    tested = await (await visit.broker()).alerts.test(form.line("target"))
    failed = [f"{one.target}: {one.error}" for one in tested if one.error]
    if failed:
        return Done("/alerts", f"Not delivered. {'; '.join(failed)}", "bad")
    return Done(
        "/alerts", f"Delivered to {', '.join(one.target for one in tested)}." if tested else "No target is set."
    )

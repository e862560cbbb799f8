"""A notice as it leaves: JSON for programs, a title and a text for people.

Pure. `docs/alerts.md` describes the JSON; its `version` changes with its meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, final

import msgspec

from posthouse.actors.alert_outbox import Notice
from posthouse.transport.messages_alerts import Alert

VERSION: Final = 1
LISTED_MAX: Final = 1_000
"""Alerts that one notice lists; it always has their count."""

LINES_MAX: Final = 20
_NAMED_MAX: Final = 3
_CONTROL: Final = dict.fromkeys([*range(32), 127, *range(128, 160)], "�")


@final
class Sender(NamedTuple):
    """Which broker it is from."""

    host: str
    data: str
    version: str


def title(notice: Notice, sender: Sender) -> str:
    """One line: how much is wrong, and the worst of it by name."""
    if notice.kind == "test":
        return f"[posthouse {sender.host}] test"
    parts = [
        f"{len(alerts):,} {word}: {_names(alerts)}"
        for alerts, word in ((notice.firing, "firing"), (notice.resolved, "resolved"))
        if alerts
    ]
    return f"[posthouse {sender.host}] {'; '.join(parts)}"


def text(notice: Notice, sender: Sender) -> str:
    """Everything in lines, the worst first, cut to what a person reads."""
    if notice.kind == "test":
        return f"This is a test. Alerts of the broker on {sender.host}, {sender.data}, arrive here."
    lines = []
    for alerts, word in ((notice.firing, "FIRING"), (notice.resolved, "RESOLVED")):
        shown = _worst_first(alerts)[:LINES_MAX]
        lines += [f"{word} {alert.severity} {alert.rule}: {_plain(alert.text)}" for alert in shown]
        if len(alerts) > len(shown):
            lines.append(f"... and {len(alerts) - len(shown):,} more {word.lower()}")
    lines.append(f"Broker: {sender.host}, {sender.data}")
    return "\n".join(lines)


def body(notice: Notice, sender: Sender) -> bytes:
    """What a webhook and a command get."""
    return msgspec.json.encode(
        {
            "version": VERSION,
            "id": str(notice.number),
            "kind": notice.kind,
            "at": _moment(notice.at_ms),
            "broker": sender._asdict(),
            "title": title(notice, sender),
            "text": text(notice, sender),
            "firing_count": len(notice.firing),
            "resolved_count": len(notice.resolved),
            "firing": [_shown(alert) for alert in _worst_first(notice.firing)[:LISTED_MAX]],
            "resolved": [_shown(alert) for alert in _worst_first(notice.resolved)[:LISTED_MAX]],
        }
    )


def _shown(alert: Alert) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "rule": alert.rule,
        "subject": alert.subject,
        "name": alert.name,
        "severity": alert.severity,
        "text": alert.text,
        "value": alert.value,
        "since": _moment(alert.since_ms),
        "fired": _moment(alert.fired_ms),
    }
    if alert.resolved_ms:
        shown["resolved"] = _moment(alert.resolved_ms)
    return shown


def _names(alerts: Sequence[Alert]) -> str:
    rules = list(dict.fromkeys(alert.rule for alert in _worst_first(alerts)))
    named = []
    for rule in rules[:_NAMED_MAX]:
        subjects = [alert.subject for alert in alerts if alert.rule == rule]
        named.append(
            f"{rule} {_plain(subjects[0])}" + (f" and {len(subjects) - 1:,} more" if len(subjects) > 1 else "")
        )
    return ", ".join(named) + (f", {len(rules) - _NAMED_MAX} more rules" if len(rules) > _NAMED_MAX else "")


def _worst_first(alerts: Sequence[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda alert: ("critical", "warning", "info").index(alert.severity))


def _plain(words: str) -> str:
    """Without what could forge a line."""
    return words.translate(_CONTROL)


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")

"""The vocabulary of alerts: what is wrong, who is told, and what may be silenced.

Frozen values like those of `messages.py`, whose union they join; numbers 123 to 127.
"""

from __future__ import annotations

from typing import Any, final

import msgspec


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


class _Value(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A record inside a message; it has no number of its own."""


@final
class Alert(_Value, frozen=True):
    """Something is wrong, or was: one rule about one subject.

    `subject` is an actor's id or "machine", `name` that of the queue or exchange. `state`: pending (not for long enough
    yet), firing, resolved. Times are epoch milliseconds, 0 for not yet. `silence`: number of the silence that keeps it
    quiet, 0 for none. `is_told`: a notice of it was made.
    """

    rule: str
    subject: str
    name: str = ""
    severity: str = "warning"
    state: str = "firing"
    text: str = ""
    value: float = 0.0
    since_ms: int = 0
    fired_ms: int = 0
    resolved_ms: int = 0
    told_ms: int = 0
    silence: int = 0
    is_told: bool = False


@final
class Silence(_Value, frozen=True):
    """Alerts that match are kept quiet until then. `rule` and `subject` are patterns with `*` and `?`."""

    number: int
    rule: str = "*"
    subject: str = "*"
    until_ms: int = 0
    comment: str = ""
    made_ms: int = 0


@final
class AlertTarget(_Value, frozen=True):
    """Where notices go. `kind`: apprise, webhook, command; `where` is its address without anything secret.

    `waiting`: notices that are not delivered yet; `attempts` and `error`: of the first of them; `next_ms`: when it is
    tried again.
    """

    name: str
    kind: str = ""
    where: str = ""
    delivered: int = 0
    failed: int = 0
    dropped: int = 0
    waiting: int = 0
    attempts: int = 0
    error: str = ""
    next_ms: int = 0
    delivered_ms: int = 0


@final
class AlertRule(_Value, frozen=True):
    """A rule in force, or switched off. `condition` says in words when it fires, `settings` what its file would say."""

    name: str
    kind: str
    severity: str = "warning"
    enabled: bool = True
    condition: str = ""
    settings: dict[str, Any] = {}


@final
class AlertList(_Value, frozen=True):
    """Everything about alerts at one moment. `alerts`: firing first, then pending, then the last that were resolved."""

    at_ms: int
    enabled: bool = True
    alerts: list[Alert] = []
    silences: list[Silence] = []
    targets: list[AlertTarget] = []
    rules: list[AlertRule] = []
    trouble: str = ""
    """Why the state of alerts could not be read or written; "" when all is well."""


@final
class AlertTested(_Value, frozen=True):
    """What became of a test notice to one target. `error` "" means delivered."""

    target: str
    error: str = ""


@final
class ListAlerts(_Message, frozen=True, tag=123):
    """The answer is an `AlertList`."""

    request: int


@final
class SilenceAlerts(_Message, frozen=True, tag=124):
    """Keep alerts that match quiet for so long. The answer is the `Silence`."""

    request: int
    rule: str
    subject: str
    for_ms: int
    comment: str = ""


@final
class EndSilence(_Message, frozen=True, tag=125):
    """The answer is whether there was a silence of that number."""

    request: int
    number: int


@final
class SendTestAlert(_Message, frozen=True, tag=126):
    """Send a test notice to one target, or to all. The answer is a list of `AlertTested`, when all have tried once."""

    request: int
    target: str = ""
    wait_ms: int = 10_000


AlertMessage = ListAlerts | SilenceAlerts | EndSilence | SendTestAlert

"""One sample of each message about alerts, and of each value in them, for `wire_samples`."""

from __future__ import annotations

from typing import Final

from posthouse.transport.messages_alerts import (
    Alert,
    AlertList,
    AlertRule,
    AlertTarget,
    AlertTested,
    EndSilence,
    ListAlerts,
    SendTestAlert,
    Silence,
    SilenceAlerts,
)

SAMPLES: Final = (
    ListAlerts(11),
    SilenceAlerts(12, "oldest-ready", "queue:b*", 3_600_000, "deployment"),
    EndSilence(13, 4),
    SendTestAlert(14, "mail", 5_000),
)

VALUES: Final = (
    Alert(
        rule="oldest-ready",
        subject="queue:billing",
        name="billing",
        severity="warning",
        state="firing",
        text="queue billing: the oldest ready message waits for 20 min",
        value=1_200.5,
        since_ms=1_700_000_000_000,
        fired_ms=1_700_000_060_000,
        resolved_ms=0,
        told_ms=1_700_000_060_100,
        silence=4,
        is_told=True,
    ),
    Silence(
        number=4,
        rule="oldest-ready",
        subject="queue:b*",
        until_ms=1_700_003_600_000,
        comment="deployment",
        made_ms=1_700_000_000_000,
    ),
    AlertTarget(
        name="mail",
        kind="apprise",
        where="mailto://***",
        delivered=3,
        failed=2,
        dropped=1,
        waiting=1,
        attempts=2,
        error="answered 500",
        next_ms=1_700_000_000_000,
        delivered_ms=1_600_000_000_000,
    ),
    AlertRule(
        name="oldest-ready",
        kind="level",
        severity="warning",
        enabled=True,
        condition="above 900",
        settings={"above": 900.0},
    ),
    AlertTested(target="mail", error="refused"),
    AlertList(at_ms=1_700_000_000_000, trouble="no space left"),
)

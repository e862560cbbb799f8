"""Alerts on the command line: what fires, who is told and whether it arrived, silences, rules."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from posthouse.cli_connection import AsJson, with_broker
from posthouse.cli_output import Cell, Column, Row, count, duration, note, print_json, print_table, printable, say
from posthouse.cli_values import parse_duration_s
from posthouse.client import Broker
from posthouse.transport.messages_alerts import Alert, AlertList, AlertRule, AlertTarget, Silence

FIRES: Final = 1
"""The exit code of `alerts list --check` while something fires."""

_STYLES: Final = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_ALERTS: Final = (
    Column("state"),
    Column("severity"),
    Column("rule"),
    Column("for", is_number=True),
    Column("what", can_shrink=True),
)
_TARGETS: Final = (
    Column("target"),
    Column("kind"),
    Column("where", can_shrink=True),
    Column("delivered", is_number=True),
    Column("failed", is_number=True),
    Column("waiting", is_number=True),
    Column("trouble", can_shrink=True),
)
_SILENCES: Final = (
    Column("silence", is_number=True),
    Column("rule"),
    Column("subject", can_shrink=True),
    Column("ends in", is_number=True),
    Column("comment", can_shrink=True),
)
_RULES: Final = (
    Column("rule"),
    Column("severity"),
    Column("fires when", can_shrink=True),
    Column("for", can_shrink=True),
    Column("state"),
)


@with_broker
def list_alerts(
    broker: Broker,
    resolved: Annotated[bool, typer.Option("--resolved", help="Also the last ones that are over.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit code 1 while an alert fires that is not silenced.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List what fires and what is about to, who is told, and what is silenced.

    \b
    Examples:
      posthouse alerts list
      posthouse alerts list --check >/dev/null || echo look at the broker
    """
    found = broker.alerts.list()
    if as_json:
        print_json(found)
    else:
        _print(found, with_resolved=resolved)
    if check and any(alert.state == "firing" and not alert.silence for alert in found.alerts):
        raise typer.Exit(FIRES)


def _print(found: AlertList, *, with_resolved: bool) -> None:
    now_ms = found.at_ms
    alerts = [alert for alert in found.alerts if with_resolved or alert.state != "resolved"]
    print_table(_ALERTS, (_alert_row(alert, now_ms) for alert in alerts), "Nothing is wrong.")
    if found.targets:
        print_table(_TARGETS, (_target_row(target, now_ms) for target in found.targets), "")
    if found.silences:
        print_table(_SILENCES, (_silence_row(silence, now_ms) for silence in found.silences), "")
    if not found.enabled:
        note("Alerts are switched off: alerts.enabled is false in the configuration file.")
    elif not found.targets:
        note("Nobody is told of alerts: the configuration file names no target, see docs/alerts.md.")
    if found.trouble:
        note(printable(found.trouble))


def _alert_row(alert: Alert, now_ms: int) -> Row:
    state = f"silenced ({alert.silence})" if alert.silence else alert.state
    ends_ms = alert.resolved_ms or now_ms
    return (
        Cell(state, "green" if alert.state == "resolved" else "dim" if alert.silence else ""),
        Cell(printable(alert.severity), _STYLES.get(alert.severity, "")),
        printable(alert.rule),
        duration(max(0, ends_ms - alert.since_ms) / 1000),
        printable(alert.text),
    )


def _target_row(target: AlertTarget, now_ms: int) -> Row:
    trouble = printable(target.error)
    if target.error and target.next_ms:
        trouble += f"; {count(target.attempts)} tries, next in {duration(max(0, target.next_ms - now_ms) / 1000)}"
    if target.dropped:
        trouble += f" ({count(target.dropped)} given up)"
    return (
        printable(target.name),
        printable(target.kind),
        printable(target.where),
        count(target.delivered),
        count(target.failed),
        Cell(count(target.waiting), "yellow" if target.error else ""),
        Cell(trouble.strip(), "red"),
    )


def _silence_row(silence: Silence, now_ms: int) -> Row:
    return (
        str(silence.number),
        printable(silence.rule),
        printable(silence.subject),
        duration(max(0, silence.until_ms - now_ms) / 1000),
        printable(silence.comment),
    )


@with_broker
def send_test(
    broker: Broker,
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Send a test notice to one target or to all, once. Exit code 1 where one did not take it.

    \b
    Examples:
      posthouse alerts test
      posthouse alerts test mail
    """
    results = broker.alerts.test(target)
    if as_json:
        print_json(results)
    elif not results:
        say("There are no targets; the configuration file names them, see docs/alerts.md.")
    else:
        for result in results:
            say(f"{printable(result.target)}: {printable(result.error) or 'delivered'}")
    if any(result.error for result in results):
        raise typer.Exit(1)


@with_broker
def silence(
    broker: Broker,
    rule: Annotated[str, typer.Option("--rule", metavar="PATTERN", help="Of these rules, as in 'disk-*'.")] = "*",
    subject: Annotated[
        str,
        typer.Option("--subject", metavar="PATTERN", help="Of these queues or exchanges; an actor's id, or machine."),
    ] = "*",
    for_s: Annotated[
        float,
        typer.Option("--for", metavar="S", parser=parse_duration_s, show_default=False, help="So long: 30m, 2h, 1d."),
    ] = 3_600.0,
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why, for whoever looks.")] = "",
    as_json: AsJson = False,
) -> None:
    """Keep alerts quiet for a time (an hour, where it is not said). They are still listed.

    What fires on when the time is over is told then.

    \b
    Examples:
      posthouse alerts silence --subject 'import.*' --for 2h --comment 'nightly import'
      posthouse alerts silence --rule oldest-ready --subject queue:orders --for 1d
    """
    made = broker.alerts.silence(rule, subject, for_s=for_s, comment=comment)
    if as_json:
        print_json(made)
        return
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(made.until_ms / 1000))
    say(f"silence {made.number}: rule {printable(rule)}, subject {printable(subject)}, until {until}")


@with_broker
def unsilence(
    broker: Broker, number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, show_default=False)]
) -> None:
    """End a silence. Exit code 1 where there is none of that number.

    Example:  posthouse alerts unsilence 3
    """
    if not broker.alerts.unsilence(number):
        note(f"there is no silence {number}; posthouse alerts list shows them")
        raise typer.Exit(1)
    say(f"silence {number} is over")


@with_broker
def rules(broker: Broker, as_json: AsJson = False) -> None:
    """List the rules: when each fires, for which subjects, and whether it is on.

    Example:  posthouse alerts rules
    """
    found = broker.alerts.list().rules
    if as_json:
        print_json(found)
        return
    print_table(_RULES, map(_rule_row, found), "There are no rules.")


def _rule_row(rule: AlertRule) -> Row:
    match, ignore = rule.settings.get("match", ["*"]), rule.settings.get("ignore", [])
    subjects = ", ".join(map(str, match)) + (f" but not {', '.join(map(str, ignore))}" if ignore else "")
    return (
        printable(rule.name),
        Cell(rule.severity, _STYLES.get(rule.severity, "")),
        printable(rule.condition),
        printable("all" if subjects == "*" else subjects),
        Cell("on", "green") if rule.enabled else Cell("off", "dim"),
    )

"""How alerts read: figures with their unit, rules as conditions.

Pure.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

import msgspec

from posthouse.actors.alert_rules import (
    Absence,
    Alarms,
    Events,
    Forecast,
    Growth,
    Level,
    Quantile,
    Rule,
    State,
)

_KIB: Final = 1024.0


def figure(measure: str, value: float) -> str:
    """A value in the unit that the measure's name ends in."""
    if measure.endswith("_seconds"):
        return duration(value)
    if measure.endswith("_bytes"):
        return size(value)
    if measure.endswith("_share"):
        return f"{value:.0%}"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def duration(seconds: float) -> str:
    """12 ms, 1.5 s, 3 min 5 s, 2 h 10 min, 4 d 3 h: the two greatest units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = int(seconds)
    parts: list[tuple[int, str]] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        amount, whole = divmod(whole, length)
        if amount or parts:
            parts.append((amount, unit))
    return " ".join(f"{amount} {unit}" for amount, unit in parts[:2] if amount)


def size(number_bytes: float) -> str:
    """17 B, 1.5 KiB, 203 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number_bytes < _KIB or unit == "TiB":
            return f"{number_bytes:.1f} {unit}" if unit != "B" and number_bytes < 10 else f"{number_bytes:.0f} {unit}"
        number_bytes /= _KIB
    raise AssertionError("the last unit takes everything")


def condition(rule: Rule) -> str:
    """When a rule fires, in one line."""
    text = _condition(rule)
    if rule.for_s:
        text += f" for {duration(rule.for_s)}"
    return text


def settings_of(rule: Rule) -> dict[str, Any]:
    """What a file would say for this rule; what it need not say is left out."""
    settings: dict[str, Any] = msgspec.to_builtins(rule)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in settings.items()
        if name != "name" and value is not None and value != ()
    }


def _condition(rule: Rule) -> str:
    match rule:
        case Level(above=None):
            return f"{rule.measure} below {figure(rule.measure, rule.below or 0.0)}"
        case Level():
            return f"{rule.measure} above {figure(rule.measure, rule.above or 0.0)}"
        case Growth():
            return f"{rule.measure} grows by more than {figure(rule.measure, rule.above)} in {duration(rule.window_s)}"
        case Absence():
            return f"{rule.measure} stands still for {duration(rule.after_s)}, after it rose"
        case Quantile():
            return (
                f"{rule.quantile:.4g} quantile of {rule.measure} above {figure(rule.measure, rule.above)} "
                f"over {duration(rule.window_s)}"
            )
        case Forecast():
            return f"{rule.measure} reaches {size(rule.floor)} within {duration(rule.below_s)}"
        case Events():
            times = "" if rule.count == 1 else f" {rule.count} times in {duration(rule.window_s)}"
            return " or ".join(rule.events) + times + _codes(rule)
        case State():
            return " or ".join(rule.states) + _codes(rule)
        case Alarms():
            return "alarm " + " or ".join(rule.alarms)
        case _:
            assert_never(rule)


def _codes(rule: Events | State) -> str:
    if rule.codes:
        return f" with exit code {' or '.join(map(str, rule.codes))}"
    return f" with an exit code other than {' and '.join(map(str, rule.ignore_codes))}" if rule.ignore_codes else ""

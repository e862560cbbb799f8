"""The table [alerts] of the configuration file, checked as a whole before anything starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, final

from posthouse.actors.alert_defaults import default_rules
from posthouse.actors.alert_rules import Rule, read_rules
from posthouse.alerting.targets import Target, read_targets
from posthouse.transport.errors import InvalidArgument

REPEAT_S_DEFAULT: Final = 14_400.0
REPEAT_S_MIN: Final = 60.0
_FIELDS: Final = ("enabled", "repeat_s", "rules", "targets")


@final
class AlertConfig(NamedTuple):
    """What the file says, with what it does not say filled in."""

    is_enabled: bool
    repeat_s: float
    rules: Mapping[str, Rule]
    targets: Mapping[str, Target]


def read_alerts(table: Any, disk_free_bytes_min: int) -> AlertConfig:
    """Raises InvalidArgument that names the rule or target and the field."""
    if not isinstance(table, dict):
        raise InvalidArgument("alerts is a table of settings")
    for field in table:
        if field not in _FIELDS:
            raise InvalidArgument(f"alerts has no field {field!r}; there are {', '.join(_FIELDS)}")
    is_enabled = table.get("enabled", True)
    if not isinstance(is_enabled, bool):
        raise InvalidArgument("alerts.enabled is true or false")
    repeat_s = table.get("repeat_s", REPEAT_S_DEFAULT)
    is_number = isinstance(repeat_s, int | float) and not isinstance(repeat_s, bool) and math.isfinite(repeat_s)
    if not is_number or (repeat_s != 0 and not REPEAT_S_MIN <= repeat_s <= 365 * 86_400):
        raise InvalidArgument(
            f"alerts.repeat_s is {repeat_s!r}; it is a number of seconds from a minute on, or 0: never"
        )
    rules = table.get("rules", {})
    if not isinstance(rules, dict):
        raise InvalidArgument("alerts.rules is a table of rules")
    targets = read_targets(table.get("targets", {}))
    config = AlertConfig(is_enabled, float(repeat_s), read_rules(rules, default_rules(disk_free_bytes_min)), targets)
    for rule in config.rules.values():
        for target in rule.targets or ():
            if target not in targets:
                known = ", ".join(targets) or "none"
                raise InvalidArgument(f"alerts.rules.{rule.name}.targets has no {target!r}; there are {known}")
    return config

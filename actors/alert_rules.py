"""Alert rules: the kinds there are, what each can be told, and which values make sense.

Pure. A rule is a frozen value; a file names rules in tables, where a name of the built-in set changes only what it says
(`alert_defaults`). Everything is checked when a broker starts, so that no rule fails while somebody relies on it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal, final

import msgspec

from posthouse.actors.measure import MeasureKind
from posthouse.actors.measures import PAGES, measures_of
from posthouse.supervisor.effects import EventKind
from posthouse.transport.errors import InvalidArgument

Severity = Literal["info", "warning", "critical"]
SEVERITIES: Final = ("info", "warning", "critical")

MACHINE: Final = "machine"
MACHINE_MEASURES: Final = (
    "load",
    "memory_free_bytes",
    "memory_free_share",
    "disk_free_bytes",
    "disk_free_share",
)
PROCESS_MEASURES: Final = ("cpu", "rss_bytes", "descriptors", "descriptors_share", "restarts")
ACTOR_KINDS: Final = ("*", *PAGES)
SECONDS_MAX: Final = 30 * 86_400
RULES_MAX: Final = 200

Seconds = Annotated[float, msgspec.Meta(ge=0, le=SECONDS_MAX)]
Window = Annotated[float, msgspec.Meta(ge=1, le=SECONDS_MAX)]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]

_rule_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class _Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every rule has.

    `match` and `ignore`: patterns of names, of whole ids where they contain ":". `for_s`: so long it has to be so
    before it fires; `clear_for_s`: so long it has to be over before it is resolved. `targets`: who is told; all where
    it is not said. `repeat_s`: how often one is reminded of what still fires; 0 never.
    """

    name: str = ""
    summary: str = ""
    enabled: bool = True
    severity: Severity = "warning"
    match: tuple[Pattern, ...] = ("*",)
    ignore: tuple[Pattern, ...] = ()
    for_s: Seconds = 0.0
    clear_for_s: Seconds = 30.0
    repeat_s: Seconds | None = None
    targets: tuple[str, ...] | None = None
    tell_resolved: bool = True


@final
class Level(_Rule, frozen=True, kw_only=True, tag="level"):
    """A figure stands above or below a threshold. `clear`: where it has to be for this to be over."""

    actors: str
    measure: str
    above: float | None = None
    below: float | None = None
    clear: float | None = None


@final
class Growth(_Rule, frozen=True, kw_only=True, tag="growth"):
    """A figure rose by more than `above` within `window_s`."""

    actors: str
    measure: str
    above: float
    clear: float | None = None
    window_s: Window = 300.0


@final
class Absence(_Rule, frozen=True, kw_only=True, tag="absence"):
    """A counter that has risen before has not risen for longer than `after_s`."""

    actors: str
    measure: str
    after_s: Window


@final
class Quantile(_Rule, frozen=True, kw_only=True, tag="quantile"):
    """A quantile of what a histogram counted within `window_s` is above a threshold, when it counted `count_min`."""

    actors: str
    measure: str
    above: float
    quantile: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.99
    clear: float | None = None
    window_s: Window = 60.0
    count_min: Annotated[int, msgspec.Meta(ge=1)] = 20


@final
class Forecast(_Rule, frozen=True, kw_only=True, tag="forecast"):
    """As the machine's `measure` fell over `window_s`, it reaches `floor` in less than `below_s`."""

    measure: str
    below_s: Window
    clear_s: Seconds | None = None
    floor: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    window_s: Annotated[float, msgspec.Meta(ge=10, le=SECONDS_MAX)] = 900.0


@final
class Events(_Rule, frozen=True, kw_only=True, tag="events"):
    """The supervisor reported one of these events `count` times within `window_s`; over when the actor stays up."""

    events: tuple[str, ...]
    actors: str = "*"
    count: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1
    window_s: Window = 60.0
    codes: tuple[int, ...] = ()
    ignore_codes: tuple[int, ...] = ()


@final
class State(_Rule, frozen=True, kw_only=True, tag="state"):
    """An actor is in one of these states, its last life ended with one of `codes` where there are any."""

    states: tuple[str, ...]
    actors: str = "*"
    codes: tuple[int, ...] = ()
    ignore_codes: tuple[int, ...] = ()


@final
class Alarms(_Rule, frozen=True, kw_only=True, tag="alarm"):
    """An actor alarms about one of these."""

    alarms: tuple[str, ...]
    actors: str = "*"


Rule = Level | Growth | Absence | Quantile | Forecast | Events | State | Alarms
KINDS: Final = ("level", "growth", "absence", "quantile", "forecast", "events", "state", "alarm")
STATES: Final = ("starting", "up", "stopping", "restarting", "quarantined", "stopped")
_THRESHOLDS: Final = ("above", "below", "below_s")


def read_rules(tables: Mapping[str, Any], defaults: Mapping[str, Rule]) -> dict[str, Rule]:
    """The built-in rules as the tables of a file change them, and those that it adds.

    Raises InvalidArgument that names the rule and the field.
    """
    if len(tables) > RULES_MAX:
        raise InvalidArgument(f"alerts.rules has {len(tables)} rules; there may be {RULES_MAX}")
    rules = dict(defaults)
    for name, table in tables.items():
        rules[name] = _read_rule(name, table, defaults.get(name))
    return rules


def _read_rule(name: str, table: Any, default: Rule | None) -> Rule:
    where = f"alerts.rules.{name}"
    if not isinstance(table, dict):
        raise InvalidArgument(f"{where} is a table of settings, not {type(table).__name__}")
    if not _rule_name.fullmatch(name):
        raise InvalidArgument(f"{where}: a rule's name has 1 to 64 letters, digits, dots, dashes and underscores")
    if "name" in table:
        raise InvalidArgument(f"{where}.name: a rule is named by its table")
    settings = dict(table)
    if default is not None:
        given = msgspec.to_builtins(default)
        if settings.get("kind", given["kind"]) != given["kind"]:
            raise InvalidArgument(f"{where}.kind is {given['kind']!r} for this rule; give a new rule a name of its own")
        if any(threshold in settings for threshold in _THRESHOLDS):
            given |= dict.fromkeys(("clear", "clear_s", "above", "below") & given.keys())
        settings = given | settings
    elif settings.get("kind") not in KINDS:
        raise InvalidArgument(f"{where}.kind is {settings.get('kind')!r}; a new rule is one of {', '.join(KINDS)}")
    settings["name"] = name
    try:
        rule: Rule = msgspec.convert(settings, Rule)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"{where} is wrong: {_readable(error)}") from error
    check_rule(rule)
    return rule


def _readable(error: msgspec.ValidationError) -> str:
    return str(error).replace("`$.", "`").replace("Object contains unknown field", "there is no field")


def check_rule(rule: Rule) -> None:
    """Raise InvalidArgument for values that cannot be meant."""
    for field in rule.__struct_fields__:
        value = getattr(rule, field)
        if isinstance(value, float) and not math.isfinite(value):
            raise _wrong(rule, field, "is a finite number")
    match rule:
        case Level():
            _check_level(rule)
        case Growth() | Absence():
            _check_measure(rule, rule.actors, rule.measure, (MeasureKind.COUNTER, MeasureKind.GAUGE))
        case Quantile():
            _check_measure(rule, rule.actors, rule.measure, (MeasureKind.HISTOGRAM,))
        case Forecast():
            if rule.measure not in ("memory_free_bytes", "disk_free_bytes"):
                raise _wrong(rule, "measure", "is memory_free_bytes or disk_free_bytes")
            if rule.clear_s is not None and rule.clear_s < rule.below_s:
                raise _wrong(rule, "clear_s", f"is at least below_s, {rule.below_s}")
        case Events():
            _check_kinds(rule, rule.actors)
            _check_words(rule, "events", rule.events, [str(kind) for kind in EventKind])
            if rule.for_s:
                raise _wrong(rule, "for_s", "is 0 for events, which are over in a moment; use count and window_s")
        case State():
            _check_kinds(rule, rule.actors)
            _check_words(rule, "states", rule.states, STATES)
        case Alarms():
            _check_kinds(rule, rule.actors)
            if not rule.alarms:
                raise _wrong(rule, "alarms", "names at least one")
    if isinstance(rule, Growth | Quantile) and rule.clear is not None and rule.clear > rule.above:
        raise _wrong(rule, "clear", f"is at most above, {rule.above}")


def _check_level(rule: Level) -> None:
    if (rule.above is None) == (rule.below is None):
        raise _wrong(rule, "above", "or below is given, one of the two")
    if rule.clear is not None and rule.above is not None and rule.clear > rule.above:
        raise _wrong(rule, "clear", f"is at most above, {rule.above}")
    if rule.clear is not None and rule.below is not None and rule.clear < rule.below:
        raise _wrong(rule, "clear", f"is at least below, {rule.below}")
    if rule.actors == MACHINE:
        _check_words(rule, "measure", [rule.measure], MACHINE_MEASURES)
    elif rule.measure not in PROCESS_MEASURES:
        _check_measure(rule, rule.actors, rule.measure, (MeasureKind.GAUGE, MeasureKind.MOMENT))


def _check_measure(rule: Rule, actors: str, measure: str, kinds: tuple[MeasureKind, ...]) -> None:
    _check_kinds(rule, actors)
    known = {name for one in measures_of(actors) if one.kind in kinds for name in (one.name, one.key)}
    _check_words(rule, "measure", [measure], sorted(known))


def _check_kinds(rule: Rule, actors: str) -> None:
    _check_words(rule, "actors", [actors], ACTOR_KINDS)


def _check_words(rule: Rule, field: str, given: Sequence[str], known: Sequence[str]) -> None:
    if not given:
        raise _wrong(rule, field, f"names at least one of {', '.join(known)}")
    for word in given:
        if word not in known:
            raise InvalidArgument(f"alerts.rules.{rule.name}.{field} has no {word!r}; there are {', '.join(known)}")


def _wrong(rule: Rule, field: str, what: str) -> InvalidArgument:
    return InvalidArgument(f"alerts.rules.{rule.name}.{field} is {getattr(rule, field)!r}; it {what}")


def matches(patterns: Sequence[str], subject: str, name: str) -> bool:
    """Whether one of the patterns means this subject: its name, or its whole id where the pattern has a colon."""
    return any(fnmatchcase(subject if ":" in pattern else name or subject, pattern) for pattern in patterns)


def concerns(rule: Rule, subject: str, name: str) -> bool:
    """Whether a rule is meant for this subject."""
    return matches(rule.match, subject, name) and not (rule.ignore and matches(rule.ignore, subject, name))

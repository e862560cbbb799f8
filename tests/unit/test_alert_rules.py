"""Rules of alerts as a file says them: what is taken, what is refused and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from posthouse.actors.alert_defaults import default_rules
from posthouse.actors.alert_rules import Level, concerns, read_rules
from posthouse.actors.alert_words import condition, duration, figure, settings_of, size
from posthouse.transport.errors import InvalidArgument

DEFAULTS = default_rules(64 * 1024 * 1024)
MINE = {"kind": "level", "actors": "queue", "measure": "ready", "above": 10}


def read(tables: dict[str, Any]) -> Any:
    (name,) = tables
    return read_rules(tables, DEFAULTS)[name]


def test_without_a_file_the_built_in_rules_are_in_force() -> None:
    assert read_rules({}, DEFAULTS) == DEFAULTS
    assert [name for name, rule in DEFAULTS.items() if not rule.enabled] == ["no-messages"]


def test_a_name_of_the_built_in_set_changes_only_what_it_says() -> None:
    rule = read({"oldest-ready": {"above": 60, "match": ["orders.*"]}})
    assert isinstance(rule, Level)
    assert (rule.above, rule.measure, rule.match) == (60.0, "oldest_ready_age_seconds", ("orders.*",))
    assert rule.clear is None, "a clearing threshold that belonged to another threshold is not kept"
    assert read({"crash": {"enabled": False}}).enabled is False


def test_a_threshold_may_change_sides() -> None:
    assert read({"disk-low": {"above": 5}}).below is None


def test_a_new_name_is_a_new_rule() -> None:
    assert read({"mine": MINE}).above == 10.0


def test_every_rule_can_be_said_in_a_file_as_it_is_shown() -> None:
    for name, rule in DEFAULTS.items():
        assert read_rules({name: settings_of(rule)}, {}) == {name: rule}
        assert condition(rule)


@pytest.mark.parametrize(
    ("name", "table", "words"),
    [
        ("mine", 5, "is a table"),
        ("my rule", MINE, "letters, digits"),
        ("mine", {"above": 1}, "kind"),
        ("mine", {**MINE, "kind": "odd"}, "kind"),
        ("mine", {**MINE, "name": "x"}, "name"),
        ("crash", {"kind": "level"}, "kind"),
        ("mine", {**MINE, "abov": 1}, "abov"),
        ("mine", {**MINE, "above": "x"}, "above"),
        ("mine", {**MINE, "above": float("nan")}, "above"),
        ("mine", {**MINE, "below": 1}, "above"),
        ("mine", {**MINE, "clear": 11}, "clear"),
        ("mine", {"kind": "level", "actors": "queue", "measure": "ready"}, "above"),
        ("mine", {"kind": "level", "actors": "queue", "measure": "ready", "below": 5, "clear": 4}, "clear"),
        ("mine", {**MINE, "measure": "stored"}, "measure"),
        ("mine", {**MINE, "actors": "horse"}, "actors"),
        ("mine", {**MINE, "actors": "machine"}, "measure"),
        ("mine", {**MINE, "for_s": -1}, "for_s"),
        ("mine", {**MINE, "severity": "loud"}, "loud"),
        ("mine", {**MINE, "match": [""]}, "match"),
        ("mine", {"kind": "growth", "actors": "queue", "measure": "stored", "above": 5, "clear": 6}, "clear"),
        ("mine", {"kind": "growth", "actors": "queue", "measure": "stored", "above": 5, "window_s": 0}, "window_s"),
        ("mine", {"kind": "quantile", "actors": "queue", "measure": "ready", "above": 1}, "measure"),
        ("mine", {"kind": "forecast", "measure": "load", "below_s": 5}, "measure"),
        ("mine", {"kind": "forecast", "measure": "disk_free_bytes", "below_s": 5, "clear_s": 4}, "clear_s"),
        ("mine", {"kind": "events", "events": []}, "events"),
        ("mine", {"kind": "events", "events": ["born"]}, "born"),
        ("mine", {"kind": "events", "events": ["exited"], "for_s": 1}, "for_s"),
        ("mine", {"kind": "state", "states": ["sad"]}, "sad"),
        ("mine", {"kind": "alarm", "alarms": []}, "alarms"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(name: str, table: Any, words: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_rules({name: table}, DEFAULTS)
    assert f"alerts.rules.{name}" in str(refused.value)
    assert words in str(refused.value)


def test_no_file_has_rules_without_end() -> None:
    with pytest.raises(InvalidArgument, match="may be 200"):
        read_rules({f"r{number}": MINE for number in range(201)}, DEFAULTS)


def test_patterns_mean_names_and_with_a_colon_whole_ids() -> None:
    rule = read({"mine": {**MINE, "match": ["orders.*", "exchange:events"], "ignore": ["*.test"]}})
    assert concerns(rule, "queue:orders.eu", "orders.eu")
    assert concerns(rule, "exchange:events", "events")
    assert not concerns(rule, "queue:events", "events")
    assert not concerns(rule, "queue:orders.test", "orders.test")


def test_rules_are_values() -> None:
    rule = DEFAULTS["crash"]
    with pytest.raises(AttributeError):
        rule.enabled = False  # type: ignore[misc]
    assert msgspec.json.decode(msgspec.json.encode(settings_of(rule)))["kind"] == "events"


def test_the_documentation_lists_the_rules_as_they_are() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "alerts.md").read_text()
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| `")]
    listed = {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows if len(row) == 5}
    expected = {
        name: [
            rule.severity,
            rule.__struct_config__.tag,
            condition(rule),
            (duration(rule.clear_for_s) if rule.clear_for_s else "at once") + ("" if rule.enabled else "; off"),
        ]
        for name, rule in DEFAULTS.items()
    }
    assert listed == expected


def test_figures_have_their_unit() -> None:
    assert [figure("x_seconds", 90.0), figure("x_bytes", 1536.0), figure("x_share", 0.05), figure("ready", 1234)] == [
        "1 min 30 s",
        "1.5 KiB",
        "5%",
        "1,234",
    ]
    assert figure("load", 0.5) == "0.50"
    assert [duration(0.012), duration(1.5), duration(60), duration(90_061)] == ["12 ms", "1.5 s", "1 min", "1 d 1 h"]
    assert [size(5), size(1 << 60)] == ["5 B", "1048576 TiB"]

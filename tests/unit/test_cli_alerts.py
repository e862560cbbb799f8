"""Alerts on the command line, beside a client that only notes what it is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from posthouse.alerts import Alerts
from posthouse.cli import main
from posthouse.transport.messages_alerts import Alert, AlertList, AlertRule, AlertTarget, AlertTested, Silence
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker, arguments_of

AT_MS = 1_700_000_000_000
FIRING = Alert(
    rule="deep", subject="queue:q", name="q", severity="critical", text="q\x1b is deep", since_ms=AT_MS - 65_000
)
SILENCED = Alert(rule="slow", subject="queue:q", silence=3, since_ms=AT_MS)
RESOLVED = Alert(rule="old", subject="queue:q", state="resolved", since_ms=AT_MS - 5_000, resolved_ms=AT_MS)
TARGET = AlertTarget(
    name="hook",
    kind="webhook",
    where="http://h/***",
    waiting=1,
    attempts=2,
    error="answered 500",
    next_ms=AT_MS + 4_000,
    dropped=1,
)
SILENCE = Silence(number=3, rule="slow", subject="*", until_ms=AT_MS + 60_000, comment="why")
RULES = [
    AlertRule(name="deep", kind="level", condition="ready above 10", settings={"match": ["a", "b"], "ignore": ["c"]}),
    AlertRule(name="off", kind="level", enabled=False, settings={"match": ["*"]}),
]


class RecordingAlerts:
    """Notes each call as the real one would see it, and answers."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answer: Any = AlertList(at_ms=AT_MS)

    def __getattr__(self, name: str) -> Any:
        method = getattr(Alerts, name)

        def answer(*given: Any, **named: Any) -> Any:
            self.calls.append((name, arguments_of(method, *given, **named)))
            return self.answer

        return answer


@pytest.fixture
def alerts() -> RecordingAlerts:
    return RecordingAlerts()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, alerts: RecordingAlerts) -> CommandLine:
    broker = RecordingBroker()
    broker.alerts = alerts  # type: ignore[attr-defined]
    return CommandLine(monkeypatch, broker)


def test_a_listing_shows_what_fires_who_is_told_and_what_is_silenced(run: CommandLine, alerts: RecordingAlerts) -> None:
    alerts.answer = AlertList(at_ms=AT_MS, alerts=[FIRING, SILENCED, RESOLVED], targets=[TARGET], silences=[SILENCE])
    ran = run("alerts", "list")
    assert ran.code == 0
    for words in (
        "1 min 5 s",
        "silenced (3)",
        "answered 500; 2 tries, next in 4 s (1 given up)",
        "http://h/***",
        "why",
    ):
        assert words in ran.out
    assert "old" not in ran.out
    assert "\x1b" not in ran.out
    assert "resolved" in run("alerts", "list", "--resolved").out


def test_a_check_fails_while_something_fires_that_is_not_silenced(run: CommandLine, alerts: RecordingAlerts) -> None:
    assert run("alerts", "list", "--check").code == 0
    alerts.answer = AlertList(at_ms=AT_MS, alerts=[SILENCED, RESOLVED])
    assert run("alerts", "list", "--check").code == 0
    alerts.answer = AlertList(at_ms=AT_MS, alerts=[FIRING])
    assert run("alerts", "list", "--check").code == 1


def test_people_are_told_that_nobody_is(run: CommandLine, alerts: RecordingAlerts) -> None:
    assert "Nobody is told" in run("alerts", "list").err
    alerts.answer = AlertList(at_ms=AT_MS, enabled=False, trouble="no space")
    ran = run("alerts", "list")
    assert "switched off" in ran.err
    assert "no space" in ran.err


def test_every_listing_is_json_too(run: CommandLine, alerts: RecordingAlerts) -> None:
    alerts.answer = AlertList(at_ms=AT_MS, alerts=[FIRING], rules=RULES)
    assert json.loads(run("alerts", "list", "--json").out)["alerts"][0]["rule"] == "deep"
    assert [rule["name"] for rule in json.loads(run("alerts", "rules", "--json").out)] == ["deep", "off"]


def test_rules_are_shown_with_whom_they_concern(run: CommandLine, alerts: RecordingAlerts) -> None:
    alerts.answer = AlertList(at_ms=AT_MS, rules=RULES)
    ran = run("alerts", "rules")
    assert "a, b but not c" in ran.out
    assert "all" in ran.out


def test_a_test_fails_when_one_target_did_not_take_it(run: CommandLine, alerts: RecordingAlerts) -> None:
    alerts.answer = [AlertTested(target="a"), AlertTested(target="b", error="refused")]
    ran = run("alerts", "test")
    assert (ran.code, ran.out) == (1, "a: delivered\nb: refused\n")
    alerts.answer = []
    assert "no targets" in run("alerts", "test", "a").out
    assert alerts.calls[-1][1]["target"] == "a"


def test_a_silence_is_asked_for_as_typed(run: CommandLine, alerts: RecordingAlerts) -> None:
    alerts.answer = SILENCE
    ran = run("alerts", "silence", "--rule", "slow", "--for", "2h", "--comment", "why")
    assert "silence 3: rule slow" in ran.out
    (call,) = alerts.calls
    assert call == ("silence", {"rule": "slow", "subject": "*", "for_s": 7_200.0, "comment": "why"})


def test_a_silence_that_is_not_there_cannot_be_ended(run: CommandLine, alerts: RecordingAlerts) -> None:
    alerts.answer = False
    assert run("alerts", "unsilence", "9").code == 1
    alerts.answer = True
    assert run("alerts", "unsilence", "9").code == 0
    assert run("alerts", "unsilence", "none").code == 2


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("[alerts.rules.oldest-ready]\nabove = 'long'\n", ["oldest-ready", "above"]),
        ("[alerts.rules.mine]\nkind = 'no such'\n", ["mine", "kind"]),
        ("[alerts.targets.mail]\nurl = 'nonsense'\n", ["mail", "url"]),
        ("[alerts.rules.crash]\ntargets = ['nobody']\n", ["crash", "targets", "nobody"]),
        ("alerts = 5\n", ["alerts"]),
        ("[alerts\n", ["cannot be read"]),
    ],
)
def test_a_broken_file_is_refused_and_nothing_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str, words: list[str]
) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text(config)
    assert main(["serve", "--data", str(tmp_path / "d"), "--config", str(file)]) == 1
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert not (tmp_path / "d").exists()

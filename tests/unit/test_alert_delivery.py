"""Ways to deliver a notice, with real sockets and processes: what is taken, and what targets may do wrong."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from posthouse.actors.alert_outbox import Dispatch, Notice, Outcome
from posthouse.alerting import apprise_target, command, letter, webhook
from posthouse.alerting.desk import FILE, LEDGER, Desk
from posthouse.alerting.letter import LINES_MAX, LISTED_MAX, Sender
from posthouse.alerting.settings import read_alerts
from posthouse.alerting.targets import Target
from posthouse.supervisor.atomic_file import replace_file
from posthouse.testing.waiting import eventually
from posthouse.transport.errors import DiskFull, InvalidArgument
from posthouse.transport.messages_alerts import Alert
from tests.support.alert_bench import WALL_MS
from tests.support.alert_receiver import Receiver

SENDER = Sender("host", "/data", "0.1.0")
ALERT = Alert(rule="deep", subject="queue:q", name="q", severity="warning", text="queue:q: deep", fired_ms=WALL_MS)
NOTICE = Notice(number=7, at_ms=WALL_MS, firing=[ALERT])
LONG_S = 30.0


def post(address: str, timeout_s: float = LONG_S) -> str:
    return webhook.post(address, {"X-Mine": "yes"}, b'{"firing": [], "resolved": []}', timeout_s)


# ---- webhooks ----


def test_a_webhook_is_posted_as_json() -> None:
    with Receiver() as receiver:
        assert post(receiver.address) == ""
        (taken,) = receiver.taken
        assert (taken.headers["Content-Type"], taken.headers["X-Mine"]) == ("application/json", "yes")


def test_a_name_and_a_password_in_the_address_are_sent_as_a_header() -> None:
    with Receiver() as receiver:
        assert post(receiver.address.replace("//", "//me:pass%20word@")) == ""
        assert receiver.taken[0].headers["Authorization"] == "Basic bWU6cGFzcyB3b3Jk"


@pytest.mark.parametrize(("behaviour", "words"), [("refuse", "answered 500"), ("redirect", "answered 302")])
def test_any_other_answer_is_none(behaviour: str, words: str) -> None:
    with Receiver(behaviour) as receiver:
        assert post(receiver.address).startswith(words)


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_a_webhook_that_hangs_or_drips_is_given_up_in_time(behaviour: str) -> None:
    with Receiver(behaviour) as receiver:
        assert post(receiver.address, 0.3) == "did not answer within 0.3 s"
        assert receiver.tries == 1


def test_nobody_there_and_nonsense_there_are_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert post(f"http://127.0.0.1:{port}/").startswith("cannot be reached")
    assert post("http://no-such-host.invalid/").startswith("cannot be reached")


def test_plain_http_where_tls_was_meant_is_an_error_and_not_a_fallback() -> None:
    with Receiver() as receiver:
        assert post(receiver.address.replace("http:", "https:")) != ""
        assert receiver.taken == []


# ---- commands ----


def run(program: str, timeout_s: float = LONG_S, data: bytes = b"{}") -> str:
    return command.run([sys.executable, "-c", program], data, timeout_s)


def test_a_command_gets_the_notice_on_its_standard_input(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(f"import sys; open({str(out)!r}, 'wb').write(sys.stdin.buffer.read())", data=b"x" * 1_000_000) == ""
    assert out.stat().st_size == 1_000_000


def test_a_command_need_not_read_it_all() -> None:
    assert run("", data=b"x" * 1_000_000) == ""


def test_a_command_that_fails_says_why() -> None:
    assert run("import sys; sys.exit('no modem')") == "ended with exit code 1: no modem"
    assert run("import os; os.kill(os.getpid(), 9)") == "ended with signal 9"


def test_of_a_command_that_talks_without_end_the_end_is_kept() -> None:
    error = run("import sys; sys.stderr.write('x' * 10_000_000 + 'end'); sys.exit(3)")
    assert error.endswith("end")
    assert len(error) < 5_000


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    child = f"import os, threading; open({str(pid)!r}, 'w').write(str(os.getpid())); threading.Event().wait(60)"
    error = run(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])", 2.0)
    assert error == "was still running after 2 s and was killed"
    if pid.exists():
        eventually(lambda: not Path("/proc", pid.read_text(), "cmdline").exists() or is_zombie(pid.read_text()))


def is_zombie(pid: str) -> bool:
    return "State:\tZ" in Path("/proc", pid, "status").read_text()


@pytest.mark.parametrize("program", ["/no/such/program", "/"])
def test_a_command_that_cannot_be_started_says_so(program: str) -> None:
    assert command.run([program], b"", LONG_S).startswith("cannot be started")


# ---- apprise ----


def test_apprise_delivers_and_says_why_it_could_not() -> None:
    with Receiver() as receiver:
        url = receiver.address.replace("http:", "json:")
        # apprise posts JSON of its own shape; that it arrives is what counts here.
        receiver.behaviour = "refuse"
        error = apprise_target.send(url, "title", "body", "firing", LONG_S)
        assert error.startswith("ended with exit code 1: ")
        assert receiver.tries == 1


def test_an_address_that_apprise_does_not_know_is_refused_at_the_start() -> None:
    apprise_target.check([Target(name="good", url="json://127.0.0.1:1/"), Target(name="hook", webhook="http://x/")])
    with pytest.raises(InvalidArgument, match=r"alerts\.targets\.mail\.url") as refused:
        apprise_target.check([Target(name="mail", url="mailtoo://user:s3cret@example.org")])
    assert "s3cret" not in str(refused.value)


# ---- what is shown ----


@pytest.mark.parametrize(
    ("target", "where"),
    [
        (Target(webhook="https://me:pw12@hooks.example.org/T00/B00/token?x=1"), "https://hooks.example.org/***"),
        (Target(webhook="http://127.0.0.1:8080"), "http://127.0.0.1:8080/"),
        (Target(url="slack://TokenA/TokenB/TokenC"), "slack://***"),
        (Target(command=["/bin/page", "--key", "k3y1"]), "/bin/page ***"),
        (Target(command=["/bin/page"]), "/bin/page"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(target: Target, where: str) -> None:
    assert target.where == where


def test_words_of_others_are_shown_without_secrets() -> None:
    target = Target(webhook="https://me:pw%2012@hooks.example.org/T00x/token?key=abcd", headers={"X-Key": "h3ader"})
    said = target.without_secrets("hooks.example.org: no /T00x/token with pw 12 for key abcd, h3ader")
    assert said == "hooks.example.org: no /***/*** with *** for key ***, ***"


def test_a_letter_is_short_for_people_and_bounded_for_programs() -> None:
    many = [
        Alert(rule="deep", subject=f"queue:{n}", severity="info", text=f"queue:{n} \x1b[31mdeep") for n in range(1_500)
    ]
    worst = Alert(rule="down", subject="door", severity="critical", text="door is\ndown")
    notice = Notice(number=1, at_ms=WALL_MS, firing=[*many, worst], resolved=[ALERT])
    text = letter.text(notice, SENDER)
    assert text.startswith("FIRING critical down: door is\ufffddown\n")
    assert len(text.splitlines()) == LINES_MAX + 3
    assert "\x1b" not in text
    assert "... and 1,481 more firing" in text
    title = letter.title(notice, SENDER)
    assert title.startswith("[posthouse host] 1,501 firing: down door, deep queue:0 and 1,499 more; 1 resolved: deep")
    body: dict[str, Any] = json.loads(letter.body(notice, SENDER))
    assert (body["firing_count"], len(body["firing"])) == (1_501, LISTED_MAX)
    assert body["firing"][0]["rule"] == "down"
    assert body["resolved"][0]["fired"] == "2023-11-14T22:13:20.000+00:00"


# ---- the desk ----


def desk(path: Path, *targets: Target) -> Desk:
    return Desk(str(path), replace_file, targets, SENDER)


def outcome_of(one: Desk) -> Outcome:
    return eventually(one.take_outcomes, LONG_S)[0]


def test_the_desk_delivers_and_remembers_it_for_its_next_life(tmp_path: Path) -> None:
    with Receiver() as receiver:
        one = desk(tmp_path, Target(name="hook", webhook=receiver.address))
        one.send(Dispatch("hook", NOTICE))
        assert outcome_of(one) == Outcome("hook", 7, "")
        assert receiver.taken[0].body["id"] == "7"
    assert desk(tmp_path).delivered() == {"hook": [7]}
    (tmp_path / LEDGER).write_bytes(b"{")
    assert desk(tmp_path).delivered() == {}


def test_a_target_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    with Receiver("hang") as slow, Receiver() as quick:
        one = desk(
            tmp_path,
            Target(name="slow", webhook=slow.address, timeout_s=LONG_S),
            Target(name="quick", webhook=quick.address),
        )
        one.send(Dispatch("slow", NOTICE))
        begun = time.monotonic()
        one.send(Dispatch("quick", NOTICE))
        assert outcome_of(one) == Outcome("quick", 7, "")
        assert time.monotonic() - begun < LONG_S / 2


def test_the_desk_writes_behind_the_monitors_back(tmp_path: Path) -> None:
    one = desk(tmp_path)
    assert one.load() is None
    assert one.take_saved() is None
    one.save(b"{}")
    assert eventually(lambda: (why := one.take_saved()) is not None and [why]) == [""]
    assert desk(tmp_path).load() == b"{}"
    one.set_aside()
    assert not (tmp_path / FILE).exists()
    assert (tmp_path / f"{FILE}.unreadable").read_bytes() == b"{}"


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    def full(path: str, data: bytes) -> None:
        raise DiskFull("no space left")

    one = Desk(str(tmp_path), full, (), SENDER)
    one.save(b"{}")
    assert eventually(lambda: (why := one.take_saved()) is not None and [why]) == ["no space left"]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(InvalidArgument, match="cannot be read"):
        desk(tmp_path).load()


# ---- the configuration ----

HOOK = {"webhook": "https://example.org/s3cret"}


def read(**table: Any) -> Any:
    return read_alerts(table, 1)


def test_a_file_that_says_nothing_has_the_rules_and_no_target() -> None:
    config = read()
    assert (config.is_enabled, config.targets) == (True, {})
    assert "crash" in config.rules


def test_targets_are_read() -> None:
    config = read(
        targets={"hook": {**HOOK, "at_least": "critical", "timeout_s": 3}}, rules={"crash": {"targets": ["hook"]}}
    )
    assert config.targets["hook"].facts.severities == ("critical",)
    assert config.rules["crash"].targets == ("hook",)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"rule": {}}, "no field 'rule'"),
        ({"enabled": "yes"}, "alerts.enabled"),
        ({"repeat_s": 5}, "alerts.repeat_s"),
        ({"repeat_s": True}, "alerts.repeat_s"),
        ({"rules": []}, "alerts.rules"),
        ({"targets": []}, "alerts.targets"),
        ({"targets": {"hook": "s3cret"}}, "alerts.targets.hook"),
        ({"targets": {"my hook": HOOK}}, "alerts.targets.my hook"),
        ({"targets": {"hook": {**HOOK, "name": "x"}}}, "alerts.targets.hook.name"),
        ({"targets": {"hook": {}}}, "one of url"),
        ({"targets": {"hook": {**HOOK, "url": "json://s3cret"}}}, "one of url"),
        ({"targets": {"hook": {**HOOK, "urk": 1}}}, "urk"),
        ({"targets": {"hook": {**HOOK, "timeout_s": 0}}}, "timeout_s"),
        ({"targets": {"hook": {"webhook": "ftp://s3cret"}}}, "alerts.targets.hook.webhook"),
        ({"targets": {"hook": {"webhook": "http://[s3cret"}}}, "alerts.targets.hook.webhook"),
        ({"targets": {"hook": {"webhook": "http://h/s3cret\r\nX: y"}}}, "alerts.targets.hook.webhook"),
        ({"targets": {"hook": {**HOOK, "headers": {"a b": "s3cret"}}}}, "alerts.targets.hook.headers"),
        ({"targets": {"hook": {**HOOK, "headers": {"a": "s3cret\n"}}}}, "alerts.targets.hook.headers"),
        ({"targets": {"hook": {"url": "s3cret"}}}, "alerts.targets.hook.url"),
        ({"targets": {"hook": {"url": "json://h", "headers": {"a": "b"}}}}, "only a webhook"),
        ({"targets": {"hook": {"command": []}}}, "alerts.targets.hook.command"),
        ({"targets": {"hook": {"command": ["x", "\0"]}}}, "alerts.targets.hook.command"),
        ({"targets": {f"t{number}": HOOK for number in range(21)}}, "may be 20"),
        ({"rules": {"crash": {"targets": ["hook"]}}}, "alerts.rules.crash.targets"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name_and_without_secrets(table: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_alerts(table, 1)
    assert words in str(refused.value)
    assert "s3cret" not in str(refused.value)

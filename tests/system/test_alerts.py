"""Alerts with real processes: what goes wrong is told to a receiver on loopback, and so is its end."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import posthouse
from posthouse import Retry
from posthouse.cli import main
from posthouse.testing.broker import BrokerProcess
from posthouse.testing.waiting import eventually
from posthouse.transport.messages_alerts import AlertTarget
from tests.support.alert_receiver import Receiver
from tests.support.small_disk import MIB, disk_to_fill

Start = Callable[..., BrokerProcess]

QUICK = """
[alerts.rules.crash-loop]
window_s = 15
clear_for_s = 1
[alerts.rules.dead-letter-growth]
above = 4
window_s = 5
"""
"""The built-in rules, with ends that a test can wait for."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def start(start_broker: Start, short_path: Path, receiver: Receiver) -> Start:
    """A broker that tells the receiver, with more of a configuration."""

    def start(config: str = "", **settings: Any) -> BrokerProcess:
        file = short_path / "posthouse.toml"
        file.write_text(f"{config}\n{QUICK}\n[alerts.targets.hook]\nwebhook = {json.dumps(receiver.address)}\n")
        return start_broker("--config", str(file), **settings)

    return start


def alerts_of(broker: posthouse.Broker, rule: str, state: str) -> list[str]:
    return [alert.subject for alert in broker.alerts.list().alerts if (alert.rule, alert.state) == (rule, state)]


def targets_of(broker: posthouse.Broker) -> dict[str, AlertTarget]:
    return {target.name: target for target in broker.alerts.list().targets}


def test_the_death_of_an_actor_is_told_within_two_seconds(start: Start, receiver: Receiver) -> None:
    process = start()
    broker = process.connect()
    broker.declare_queue("orders")
    killed_at = time.time()
    process.kill("queue:orders")
    taken = receiver.hears("crash", "queue:orders")
    assert taken.at - killed_at < 2.0
    assert taken.body["kind"] == "alerts"
    assert "signal 9" in taken.body["text"]
    assert taken.headers["Idempotency-Key"] == taken.body["id"]
    kinds = [(event.kind, event.actor) for event in broker.monitor.events(limit=1_000)]
    assert ("alert_firing", "queue:orders") in kinds


def test_a_crash_loop_is_told_and_so_is_its_end(start: Start, receiver: Receiver) -> None:
    process = start()
    broker = process.connect()
    broker.declare_queue("orders")
    for _ in range(3):
        process.kill("queue:orders")
    receiver.hears("crash-loop", "queue:orders")
    assert alerts_of(broker, "crash-loop", "firing") == ["queue:orders"]
    receiver.hears("crash-loop", "queue:orders", "resolved")
    assert alerts_of(broker, "crash-loop", "resolved") == ["queue:orders"]


def test_growing_dead_letters_are_told_and_so_is_their_end(start: Start, receiver: Receiver) -> None:
    broker = start().connect()
    broker.declare_queue("orders", retry=Retry(kind="off"))
    for _ in range(12):
        broker.publish("", b"x", routing_key="orders")
    with broker.consume("orders") as messages:
        for _ in range(12):
            message = messages.get(timeout_s=60.0)
            assert message is not None
            message.reject("broken")
    receiver.hears("dead-letter-growth", "dead-letter")
    receiver.hears("dead-letter-growth", "dead-letter", "resolved")


def test_a_damaged_journal_is_told_and_so_is_its_repair(start: Start, receiver: Receiver) -> None:
    process = start()
    broker = process.connect()
    broker.declare_queue("orders")
    with broker.publisher("") as out:
        for number in range(200):
            out.send(b"%d" % number, routing_key="orders")
    (folder,) = [path for path in (process.data / "journal").iterdir() if "orders" in path.name]
    damage(folder)
    process.kill("queue:orders")
    taken = receiver.hears("journal-damage", "queue:orders")
    (alert,) = [alert for alert in taken.body["firing"] if alert["rule"] == "journal-damage"]
    assert alert["severity"] == "critical"
    broker.delete_queue("orders")
    receiver.hears("journal-damage", "queue:orders", "resolved")


def damage(folder: Path) -> None:
    """Change a byte in the middle of the journal's oldest segment, where nothing is torn."""
    segment = min(path for path in folder.iterdir() if path.suffix == ".seg")
    data = bytearray(segment.read_bytes())
    data[200] ^= 0xFF
    segment.write_bytes(data)


def test_a_full_disk_is_told_and_so_is_room_on_it(short_path: Path, receiver: Receiver) -> None:
    with ExitStack() as stack:
        disk = stack.enter_context(disk_to_fill(short_path / "disk"))
        file = short_path / "posthouse.toml"
        file.write_text(
            f"disk_free_bytes_min = {disk.low_bytes}\nsegment_bytes_max = {MIB}\n"
            f"[alerts.rules.disk-full]\nclear = {disk.low_bytes}\nclear_for_s = 0\n"
            f"[alerts.targets.hook]\nwebhook = {json.dumps(receiver.address)}\n"
        )
        stack.enter_context(BrokerProcess(disk.path, "--config", str(file)))
        disk.fill()
        receiver.hears("disk-full", "machine")
        disk.empty()
        receiver.hears("disk-full", "machine", "resolved")


@pytest.mark.parametrize(("behaviour", "error"), [("refuse", "answered 500"), ("hang", "did not answer")])
def test_a_bad_target_harms_no_other_and_gets_its_notice_in_the_end(
    start_broker: Start, short_path: Path, receiver: Receiver, behaviour: str, error: str
) -> None:
    with Receiver(behaviour) as bad:
        file = short_path / "posthouse.toml"
        file.write_text(
            f"[alerts.targets.bad]\nwebhook = {json.dumps(bad.address)}\ntimeout_s = 0.5\n"
            f"[alerts.targets.good]\nwebhook = {json.dumps(receiver.address)}\n"
            f"[alerts.targets.script]\ntimeout_s = 0.5\n"
            f"command = {json.dumps([sys.executable, '-c', 'import threading; threading.Event().wait(60)'])}\n"
        )
        process = start_broker("--config", str(file))
        broker = process.connect()
        broker.declare_queue("orders")
        process.kill("queue:orders")
        receiver.hears("crash", "queue:orders")
        eventually(lambda: all(targets_of(broker)[name].error for name in ("bad", "script")))
        trouble = targets_of(broker)
        assert trouble["bad"].error.startswith(error)
        assert (trouble["bad"].waiting, trouble["good"].waiting) == (1, 0)
        assert "still running after 0.5 s" in trouble["script"].error
        assert "s3cret-token" not in repr(broker.alerts.list())
        broker.publish("", b"x", routing_key="orders")
        bad.behaviour = "take"
        bad.released.set()
        bad.hears("crash", "queue:orders")
        eventually(lambda: targets_of(broker)["bad"].waiting == 0)
    assert "s3cret-token" not in process.log


def test_a_killed_monitor_neither_repeats_nor_forgets(start: Start, receiver: Receiver) -> None:
    process = start()
    broker = process.connect()
    broker.declare_queue("orders")
    silence = broker.alerts.silence("oldest-*", "queue:*", for_s=600, comment="why")
    process.kill("queue:orders")
    receiver.hears("crash", "queue:orders")
    delivered(broker)
    process.kill("monitor")
    receiver.hears("crash", "monitor")
    delivered(broker)
    process.kill("monitor")
    assert eventually(lambda: broker.alerts.list().silences) == [silence]
    assert "queue:orders" in alerts_of(broker, "crash", "firing")
    told = [alert for taken in receiver.taken for alert in taken.body["firing"]]
    assert sum((alert["rule"], alert["subject"]) == ("crash", "queue:orders") for alert in told) == 1
    assert len({taken.body["id"] for taken in receiver.taken}) == len(receiver.taken)


def delivered(broker: posthouse.Broker) -> None:
    """Waits until the monitor knows that its notices arrived; one killed between that and the answer tells it again."""
    eventually(lambda: all(target.waiting == 0 for target in broker.alerts.list().targets))


def test_alerts_are_told_while_the_registry_is_down(start: Start, receiver: Receiver) -> None:
    process = start()
    broker = process.connect()
    broker.declare_queue("orders")
    os.kill(process.pid_of("registry"), signal.SIGSTOP)
    os.kill(process.pid_of("queue:orders"), signal.SIGKILL)
    receiver.hears("crash", "queue:orders")


def test_the_command_line_shows_tests_and_silences(
    start: Start, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start()

    def ran(*words: str) -> tuple[int, str]:
        code = main(["alerts", *words, "--data", str(process.data)])
        return code, capsys.readouterr().out

    assert ran("test") == (0, "hook: delivered\n")
    assert receiver.taken[0].body["kind"] == "test"
    assert ran("test", "nobody")[0] == 1
    code, listed = ran("list", "--json")
    assert [target["name"] for target in json.loads(listed)["targets"]] == ["hook"]
    assert "s3cret-token" not in listed
    made = json.loads(ran("silence", "--rule", "crash", "--json")[1])
    assert [ran("unsilence", str(made["number"]))[0] for _ in range(2)] == [0, 1]
    code, rules = ran("rules")
    assert code == 0
    assert "crash-loop" in rules

"""The chaos run as its users start it, short: it ends with a verdict, a page, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import posthouse.testing
from posthouse.testing.broker import run_command


def test_a_short_run_keeps_every_promise(tmp_path: Path) -> None:
    page = tmp_path / "chaos.html"
    done = run_command("chaos", "--seconds", "6", "--kills-per-minute", "90", "--report", str(page), within_s=100.0)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every promise was kept" in done.stdout
    text = page.read_text()
    assert "<svg" in text
    assert "<script" not in text
    for lane in ("fanout", "topic", "direct", "headers", "delayed", "work", "held"):
        assert lane in done.stdout
        assert lane in text


def test_a_broker_for_tests_of_others_is_there_and_gone() -> None:
    with posthouse.testing.running(hold_for_s=60.0) as process:
        broker = process.connect()
        broker.declare_queue("orders")
        broker.publish("", b"1", routing_key="orders")
        process.kill("queue:orders")
        with broker.consume("orders") as messages:
            message = messages.get(timeout_s=60.0)
            assert message is not None
            message.ack()
        assert "queue:orders" in process.actors("queue:*")
        place = process.data
    assert not place.exists()

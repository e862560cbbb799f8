"""A real Chromium for the tests of pages, and a broker that they share; without one they are left out, and say why."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import posthouse
from posthouse.testing.broker import BrokerProcess
from tests.support.page_broker import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """The browser of this system; Playwright's own builds are not looked for."""
    return next((found for name in CHROMIUMS if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = chromium()
    if program is None:
        pytest.skip(f"none of {', '.join(CHROMIUMS)} is on this machine")
    with playwright.sync_playwright() as running:
        # Without a sandbox of its own: in containers and as root there is none, and it sees our own pages only.
        started = running.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def serving(browser: Browser) -> Iterator[BrokerProcess]:
    """A broker with something on every page: asked for after the browser, so that none starts in vain."""
    with tempfile.TemporaryDirectory(prefix="ph-") as place, BrokerProcess(Path(place), http="127.0.0.1:0") as process:
        with process.connect() as client:
            fill(client)
        yield process


def fill(client: posthouse.Broker) -> None:
    """Hostile names, a dead letter, something held, something delayed."""
    client.declare_exchange("flights", "topic")
    client.declare_exchange("nobody", "fanout")
    client.declare_queue(HOSTILE)
    client.declare_queue("newark")
    client.bind("flights", "newark", "*.EWR.*")
    client.publish("flights", b'{"flight": "UA1545"}', routing_key="UA.EWR.IAH", message_id="order-4711")
    client.publish("", HOSTILE.encode(), routing_key=HOSTILE, headers={HOSTILE: HOSTILE})
    client.publish("nobody", b"held")
    client.publish("flights", b"later", routing_key="UA.EWR.IAH", delay_s=3_600)
    client.publish("", b"dies", routing_key="newark")
    with client.consume("newark", prefetch=1) as messages:
        for _ in range(2):
            message = messages.get(timeout_s=60.0)
            assert message is not None
            if message.body == b"dies":
                message.reject("no such gate", error=ValueError(HOSTILE))
            else:
                message.ack()

"""Dead letters sent back in a real Chromium: tried dry, begun with a first few, watched while they go, and undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posthouse.testing.broker import BrokerProcess
from posthouse.testing.waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WITHIN_MS = 60_000
LETTERS = 6


def _bury(process: BrokerProcess, queue: str) -> None:
    with process.connect() as client:
        client.declare_queue(queue)
        for number in range(LETTERS):
            client.publish("", f"letter {number}".encode(), routing_key=queue)
        with client.consume(queue, prefetch=LETTERS) as messages:
            for _ in range(LETTERS):
                message = messages.get(timeout_s=30)
                assert message is not None
                message.reject("no such gate", error=KeyError("gate"))
        eventually(lambda: len(client.dead_letters.list(queue=queue)) == LETTERS, what="all are dead letters")


def test_a_redrive_is_tried_dry_begun_with_a_first_few_watched_and_undone(
    browser: Browser, serving: BrokerProcess
) -> None:
    _bury(serving, "gates")
    context = browser.new_context(base_url=serving.http, viewport={"width": 1_280, "height": 900})
    context.set_default_timeout(WITHIN_MS)
    page = context.new_page()
    page.goto("/dead-letters")
    page.get_by_role("link", name="KeyError").first.click()
    page.get_by_label("try first with so many").fill("2")
    page.get_by_role("button", name="Dry run").click()
    page.get_by_text(f"A dry run: {LETTERS} dead letters would be sent. Nothing has moved.").wait_for()
    with serving.connect() as client:
        assert client.queue_info("gates").ready == 0

    page.get_by_label("try first with so many").fill("2")
    page.get_by_role("button", name="Redrive", exact=True).click()
    page.get_by_text(f"Begun: {LETTERS} dead letters.").wait_for()
    page.get_by_text("the rest waits for how they fare").wait_for()
    box, next_box = (page.get_by_role("button", name=name).bounding_box() for name in ("Stop", "Undo"))
    assert box is not None
    assert next_box is not None
    assert next_box["x"] - box["x"] - box["width"] >= 4, "the buttons stand apart"
    with serving.connect() as client:
        for _ in range(2):
            message = client.get("gates")
            assert message is not None
            message.ack()
    page.get_by_text("All that were meant have been sent.").wait_for()
    page.locator(f"#progress[value='{LETTERS}']").wait_for()

    page.get_by_role("button", name="Undo").click()
    page.get_by_text(f"Taken back: {LETTERS - 2} messages that nobody had been given.").wait_for()
    with serving.connect() as client:
        eventually(lambda: client.queue_info("gates").ready == 0, what="what was taken back has left the queue")
        eventually(lambda: len(client.dead_letters.list(queue="gates")) == LETTERS - 2, what="they are letters again")
    context.close()

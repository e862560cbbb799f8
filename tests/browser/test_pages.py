"""The pages in a real Chromium: live without reloading, usable by keyboard and on a phone, and without their script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from posthouse.testing.broker import BrokerProcess
from tests.support.page_broker import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Dialog, Page

WITHIN_MS = 20_000
PATHS = (
    "/", "/actors", "/queues", f"/queue?{urlencode({'name': HOSTILE})}", "/exchanges",
    "/exchange?name=flights&explain=1",
    "/connections",
    "/held?exchange=nobody", "/delayed", "/dead-letters", "/dead-letter?id=1", "/alerts", "/journals", "/events",
    "/why?id=order-4711", "/queue?name=nope",
)  # fmt: skip


@pytest.fixture
def context(browser: Browser, serving: BrokerProcess) -> Iterator[BrowserContext]:
    """A window of its own."""
    made = browser.new_context(base_url=serving.http)
    made.set_default_timeout(WITHIN_MS)
    yield made
    made.close()


def watched(page: Page) -> list[str]:
    """What a page must never have: dialogs, errors of scripts, and what the policy for content stopped."""
    found: list[str] = []

    def refuse(dialog: Dialog) -> None:
        found.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", refuse)
    page.on("pageerror", lambda error: found.append(f"an error: {error}"))
    page.on("console", lambda line: found.append(line.text) if "Content Security Policy" in line.text else None)
    return found


def test_no_page_obeys_a_name_or_breaks_its_own_policy_or_runs_over_a_phone(context: BrowserContext) -> None:
    page = context.new_page()
    page.set_viewport_size({"width": 360, "height": 740})
    found = watched(page)
    for path in PATHS:
        page.goto(path, wait_until="domcontentloaded")
        assert page.locator("h1").count() == 1, path
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, f"{path} is {over} pixels wider than a phone"
    assert found == []


def test_a_figure_changes_without_reloading_and_whoever_types_is_left_alone(
    context: BrowserContext, serving: BrokerProcess
) -> None:
    page = context.new_page()
    found = watched(page)
    page.goto("/queues")
    page.evaluate("window.isTheSamePage = true")
    search = page.get_by_label("name contains")
    search.fill("ewa")
    with serving.connect() as client:
        for _ in range(3):
            client.publish("", b"news", routing_key="newark")
    row = page.get_by_role("row", name=re.compile("newark"))
    row.get_by_text("3", exact=True).first.wait_for()
    assert page.get_by_text("live", exact=True).is_visible()
    assert page.evaluate("window.isTheSamePage")
    assert search.input_value() == "ewa"
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("paused", exact=True).wait_for()
    assert found == []


def test_a_queue_is_published_to_and_purged_by_keyboard_and_only_when_its_name_is_typed(
    context: BrowserContext, serving: BrokerProcess
) -> None:
    page = context.new_page()
    found = watched(page)
    with serving.connect() as client:
        client.declare_queue("to-purge")
    page.goto("/queue?name=to-purge")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.get_by_text("Publish a test message").press("Enter")
    page.get_by_label("body").fill('{"hello": "world"}')
    page.get_by_label("headers").fill("carrier=UA")
    page.get_by_role("button", name="Publish").press("Enter")
    page.get_by_role("status").get_by_text("Published, and on disk in to-purge.").wait_for()
    assert '"hello": "world"' in page.locator(".messages").inner_text()
    page.get_by_role("link", name="Purge…").press("Enter")
    page.get_by_label("type the queue's name").fill("to-purg")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="That cannot be asked").wait_for()
    page.go_back()
    page.get_by_label("type the queue's name").fill("to-purge")
    page.keyboard.press("Enter")
    page.get_by_text("Deleted 1 message.").wait_for()
    assert found == []


def test_everything_works_without_the_script(browser: Browser, serving: BrokerProcess) -> None:
    context = browser.new_context(base_url=serving.http, java_script_enabled=False)
    context.set_default_timeout(WITHIN_MS)
    page = context.new_page()
    page.goto("/queue?name=newark")
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("Paused: it takes messages in and delivers none").wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("It delivers again.").wait_for()
    context.close()


def test_a_page_that_gets_no_stream_is_loaded_now_and_then_instead(context: BrowserContext) -> None:
    page = context.new_page()

    def answer(route: Any) -> None:
        if "text/event-stream" in route.request.headers.get("accept", ""):
            route.fulfill(status=503)
        else:
            route.continue_()

    page.route("**/*", answer)
    page.clock.install()
    page.goto("/actors")
    page.get_by_text("reconnecting").wait_for()
    page.clock.run_for(6_000)
    page.get_by_text("every 5 s").wait_for()


def test_a_page_reaches_for_the_search_when_a_slash_is_typed(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/events")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"
    assert page.get_by_label("with the words").input_value() == ""

"""The HTTP server of a real broker: its life, what it answers, and what nobody can do to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from posthouse.config import DEFAULT_HTTP
from posthouse.errors import UnknownQueue
from posthouse.testing.broker import BrokerProcess, run_command
from posthouse.testing.waiting import eventually
from tests.system.conftest import StartBroker

ANY: Final = "127.0.0.1:0"


@pytest.fixture(scope="module")
def shared() -> Iterator[BrokerProcess]:
    """One broker for all tests that leave its processes alone."""
    with tempfile.TemporaryDirectory(prefix="ph-") as path, BrokerProcess(Path(path), http=ANY) as process:
        yield process
        assert "Traceback" not in process.log


@pytest.fixture
def api(shared: BrokerProcess) -> Iterator[httpx.Client]:
    with api_of(shared) as client:
        yield client


def api_of(process: BrokerProcess) -> httpx.Client:
    return httpx.Client(base_url=f"{process.http}/api/v1", timeout=90)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def events_of(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Server-sent events, each with its fields."""
    event: dict[str, Any] = {}
    for line in lines:
        if not line:
            if "data" in event:
                yield event
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = json.loads(value) if name == "data" else value


# ---- life ----


def test_a_broker_says_where_its_page_is_and_keeps_the_port_through_a_restart(start_broker: StartBroker) -> None:
    process = start_broker(http=ANY)
    where = process.http
    assert httpx.get(f"{where}/health/ready", timeout=90).json()["ready"]
    assert process.connect().status()["http"] == where
    process.restart()
    assert process.http == where
    assert httpx.get(f"{where}/health/live", timeout=90).json()["live"]


def test_an_address_that_is_taken_is_refused_before_anything_starts(shared: BrokerProcess, short_path: Path) -> None:
    taken = shared.http.removeprefix("http://")
    ran = run_command("serve", "--data", str(short_path / "d"), "--listen", "tcp://127.0.0.1:0", "--http", taken)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error[address_in_use]: ")


def test_the_default_port_that_is_taken_is_no_reason_not_to_start(short_path: Path) -> None:
    host, _, port = DEFAULT_HTTP.rpartition(":")
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # Somebody else's broker has it: then it is taken all the same.
            stack.enter_context(socket.create_server((host, int(port))))
        process = stack.enter_context(BrokerProcess(short_path, http=None))
        assert process.http == ""
        assert "no web page and no HTTP API" in process.log
        process.connect().declare_queue("q")


def test_the_web_dies_and_nothing_else_notices(start_broker: StartBroker) -> None:
    process = start_broker(http=ANY)
    broker = process.connect()
    broker.declare_queue("q")
    httpx.get(f"{process.http}/health/ready", timeout=90)
    before = process.pid_of("queue:q")
    process.kill("web")
    assert httpx.get(f"{process.http}/health/ready", timeout=90).status_code == 200
    assert broker.publish("", b"x", "q").queues == ["q"]
    assert process.pid_of("queue:q") == before


def test_a_stop_ends_open_streams_in_order(start_broker: StartBroker) -> None:
    process = start_broker(http=ANY)
    with api_of(process) as api, api.stream("GET", "/events/stream") as stream:
        assert next(events_of(stream.iter_lines()))["event"]
        began = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - began < 50
    assert "Traceback" not in process.log
    assert "killed" not in [line["event"] for line in process.lines() if line.get("actor") == "web"]


def test_a_client_that_outlives_its_broker_is_told_and_served_again(start_broker: StartBroker) -> None:
    process = start_broker(http=ANY)
    with api_of(process) as api:
        api.put("/queues/q")
        process.kill("registry")
        eventually(lambda: api.get("/status").status_code == 200, 60.0, "the registry answers again")
        assert api.get("/queues/q").json()["name"] == "q"


# ---- answers ----


def test_a_message_goes_all_the_way_round(api: httpx.Client) -> None:
    api.put("/exchanges/round", json={"kind": "topic"}).raise_for_status()
    api.put("/queues/round", json={"retry": {"max_attempts": 1}}).raise_for_status()
    api.post("/bindings", json={"source": "round", "destination": "round", "key": "#"}).raise_for_status()
    assert api.post("/explain", json={"exchange": "round", "routing_key": "k"}).json()["queues"] == ["round"]
    sent = {"exchange": "round", "routing_key": "k", "body": "h€", "headers": {"n": 1}, "message_id": "m-1"}
    assert api.post("/publish", json=sent).json()["queues"] == ["round"]
    (shown,) = api.get("/queues/round/messages").json()
    assert (shown["message_id"], shown["place"], shown["headers"]) == ("m-1", "ready", {"n": 1})
    assert shown["body"] == {"size": 4, "base64": "aOKCrA==", "text": "h€", "is_cut": False}
    taken = api.post("/queues/round/get").json()
    assert (taken["message_id"], taken["attempt"]) == ("m-1", 1)
    assert api.post("/queues/round/get").json() is None


def test_what_died_is_found_and_sent_on_again(shared: BrokerProcess, api: httpx.Client) -> None:
    api.put("/queues/graves").raise_for_status()
    broker = shared.connect()
    broker.publish("", b"bad", "graves")
    message = broker.get("graves")
    assert message is not None
    message.reject("poison")
    broker.queue_info("graves")  # The blocking client sends what it has noted when it is used next.
    letters = eventually(
        lambda: api.get("/dead-letters", params={"queue": "graves"}).json(), 20, "the dead letter has arrived"
    )
    one = api.get(f"/dead-letters/{letters[0]['id']}").json()
    assert (one["letter"]["reason"], one["body"]["text"], len(one["history"])) == ("rejected", "bad", 1)
    (cause,) = api.get("/dead-letters/causes", params={"queue": "graves"}).json()
    assert cause["count"] == 1
    wish = {"queue": "graves", "dry_run": True}
    assert api.post("/redrives", json=wish).json()["matched"] == 1
    begun = api.post("/redrives", json={"queue": "graves"}).json()
    eventually(lambda: api.get(f"/redrives/{begun['id']}").json()["state"] == "done", 60.0, "the redrive is over")
    assert api.get("/queues/graves").json()["ready"] == 1


def test_a_paused_queue_waits_through_a_restart_of_its_actor(shared: BrokerProcess, api: httpx.Client) -> None:
    api.put("/queues/halt").raise_for_status()
    api.post("/queues/halt/pause").raise_for_status()
    api.post("/publish", json={"routing_key": "halt", "body": "x"}).raise_for_status()
    shared.kill("queue:halt")
    shared.wait_up("queue:halt")
    assert api.get("/queues/halt").json()["is_paused"]
    assert shared.connect().get("halt") is None
    assert run_command("resume", "halt", "--data", str(shared.data)).returncode == 0
    assert api.post("/queues/halt/get").json()["body"]["text"] == "x"
    assert "paused halt" in run_command("pause", "halt", "--data", str(shared.data)).stdout


def test_ten_megabytes_are_looked_at_without_being_sent(shared: BrokerProcess, api: httpx.Client) -> None:
    broker = shared.connect()
    broker.declare_queue("large")
    for _ in range(4):
        broker.publish("", b"\xff" * 10_000_000, "large")
    answer = api.get("/queues/large/messages", params={"body_bytes": 16})
    assert len(answer.content) < 10_000
    found = answer.json()
    assert [one["offset"] for one in found] == list(range(1, len(found) + 1))
    assert found[0]["body"] == {"size": 10_000_000, "base64": "/" * 21 + "w==", "text": None, "is_cut": True}
    rest = api.get("/queues/large/messages", params={"after": found[-1]["offset"], "body_bytes": 0}).json()
    assert len(found) + len(rest) == 4


def test_who_holds_what_is_told(shared: BrokerProcess, api: httpx.Client) -> None:
    broker = shared.connect(name="holder-of-one")
    broker.declare_queue("holders")
    for _ in range(2):
        broker.publish("", b"x", "holders")
    with broker.consume("holders", prefetch=1) as messages:
        assert messages.get(timeout_s=20) is not None
        held = api.get("/queues/holders/messages", params={"place": "unacked"}).json()
        assert [(one["offset"], one["client"]) for one in held] == [(1, "holder-of-one")]
        (consumer,) = api.get("/consumers", params={"queue": "holders"}).json()["items"]
        assert (consumer["client"], consumer["unacked"]) == ("holder-of-one", 1)


def test_who_is_connected_is_told_and_the_registry_lives_through_it(shared: BrokerProcess, api: httpx.Client) -> None:
    generation = shared.generation_of("registry")
    for _ in range(5):
        clients = [one["client"] for one in api.get("/connections", params={"client": "WEB"}).json()["items"]]
        assert clients == ["web"]
    assert shared.generation_of("registry") == generation


def test_everything_declared_is_taken_out_and_laid_down_again(api: httpx.Client) -> None:
    api.put("/queues/declared", json={"max_length": 5}).raise_for_status()
    whole = api.get("/definitions").json()
    report = api.post("/definitions", json=whole).json()
    assert {one["state"] for one in report["definitions"]} == {"existing"}
    for queue in whole["queues"]:
        queue["max_length"] = 6
    assert error_of(api.post("/definitions", json=whole)) == (409, "import_refused")
    assert error_of(api.post("/definitions", json={"nonsense": 1})) == (400, "invalid_argument")


def test_a_biography_and_figures_are_told(api: httpx.Client) -> None:
    api.put("/queues/lives").raise_for_status()
    api.post("/publish", json={"routing_key": "lives", "body": "x", "message_id": "m/1"}).raise_for_status()
    told = api.get("/messages/m%2F1/why").json()
    assert "stored" in [event["what"] for event in told["events"]]
    scraped = httpx.get(str(api.base_url).partition("/api")[0] + "/metrics", timeout=90)
    assert scraped.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "posthouse_info" in scraped.text


def test_journals_are_listed_and_verified_and_nothing_outside_is_read(api: httpx.Client) -> None:
    api.put("/queues/written").raise_for_status()
    listed = api.get("/journals", params={"name": "queue_written"}).json()["items"]
    assert len(listed) == 1
    verdict = api.post(f"/journals/{listed[0]['name']}/verify").json()
    assert (verdict["is_corrupt"], verdict["missing"], verdict["faults"]) == (False, [], [])
    for wrong in ("..", "..%2F..%2Fetc", ".", "%00", "nothing"):
        assert api.post(f"/journals/{wrong}/verify").status_code in (400, 404)


# ---- streams ----


def test_events_are_followed_and_taken_up_where_they_were_left(shared: BrokerProcess, api: httpx.Client) -> None:
    with api.stream("GET", "/events/stream") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = events_of(stream.iter_lines())
        shared.connect().declare_queue("followed")
        seen = next(one for one in events if one["data"].get("actor") == "queue:followed")
    assert seen["event"] == seen["data"]["kind"]
    assert int(seen["id"]) == seen["data"]["number"]
    with api.stream("GET", "/events/stream", headers={"last-event-id": seen["id"]}) as stream:
        after = next(events_of(stream.iter_lines()))
    assert int(after["id"]) == int(seen["id"]) + 1


def test_the_overview_is_sent_again_and_again(api: httpx.Client) -> None:
    with api.stream("GET", "/overview/stream", params={"interval_s": 0.5, "kinds": "registry"}) as stream:
        events = events_of(stream.iter_lines())
        first, second = next(events), next(events)
    assert [actor["id"] for actor in first["data"]["actors"]] == ["registry"]
    assert second["data"]["at_ms"] >= first["data"]["at_ms"]


@pytest.mark.parametrize("number", ["x", "-2", "9" * 30, "1.5"])
def test_a_number_that_is_none_follows_nothing(api: httpx.Client, number: str) -> None:
    answer = api.get("/events/stream", headers={"last-event-id": number})
    assert error_of(answer) == (400, "invalid_argument")


# ---- hostile input ----


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a/b", "ä ö?#%&+", "..", "'\";--", "🦉", "a\\b"])
def test_a_name_may_look_like_anything_and_stays_a_name(api: httpx.Client, name: str) -> None:
    path = "/queues/" + quote(name, safe="")
    if name == "..":
        path = "/queues/%2E%2E"
    assert api.put(path).json()["name"] == name
    assert api.get(path).json()["name"] == name
    assert name in [one["name"] for one in api.get("/queues", params={"limit": 1000}).json()["items"]]
    assert api.delete(path).json() == {"removed": 0}
    assert error_of(api.get(path)) == (404, "unknown_queue")


@pytest.mark.parametrize("name", ["%00", "%0A", "%1b[2J", "x" * 256, "%C2%85"])
def test_a_name_that_no_queue_may_have_is_refused(shared: BrokerProcess, api: httpx.Client, name: str) -> None:
    assert error_of(api.put(f"/queues/{name}")) == (400, "invalid_argument")


def test_a_page_of_another_origin_changes_nothing(shared: BrokerProcess, api: httpx.Client) -> None:
    api.put("/queues/precious").raise_for_status()
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": shared.http}):
        assert api.delete("/queues/precious", headers=headers).status_code == 403
    assert error_of(api.delete("/queues/precious", headers={"host": "evil.example"})) == (421, "wrong_host")
    assert api.get("/queues/precious").status_code == 200


def test_a_page_of_ours_changes_what_it_may(shared: BrokerProcess) -> None:
    with httpx.Client(base_url=shared.http, timeout=90) as browser:
        browser.put("/api/v1/queues/with-a-page").raise_for_status()
        page = browser.get("/queue", params={"name": "with-a-page"})
        token = re.findall(r'name="csrf_token" value="([0-9a-f]{64})"', page.text)[0]
        headers = {"origin": shared.http, "sec-fetch-site": "same-origin", "x-csrf-token": token}
        assert browser.put("/api/v1/queues/by-page", headers=headers).status_code == 200
        headers["x-csrf-token"] = token[::-1]
        assert error_of(browser.put("/api/v1/queues/by-page", headers=headers)) == (403, "wrong_csrf_token")


def test_a_huge_body_is_refused_before_it_is_read(api: httpx.Client, shared: BrokerProcess) -> None:
    assert error_of(api.post("/publish", content=b"x" * 5_000_000)) == (413, "body_too_large")
    host, _, port = shared.http.removeprefix("http://").rpartition(":")
    with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=90)) as connection:
        connection.putrequest("POST", "/api/v1/publish")
        connection.putheader("content-length", str(1 << 40))
        connection.endheaders()
        assert connection.getresponse().status == 413
    with pytest.raises(UnknownQueue):
        shared.connect().queue_info("x")


def test_what_is_no_http_is_answered_and_closed(shared: BrokerProcess) -> None:
    host, _, port = shared.http.removeprefix("http://").rpartition(":")
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
        b"PH\x01\x01" + b"\0" * 60 + b"\r\n\r\n",
        b"GET\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=90) as peer:
            peer.sendall(garbage)
            told = b"".join(_received(peer))
        head, _, body = told.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert json.loads(body)["error"]["code"] == "invalid_http"


def test_clients_that_say_nothing_leave_room_for_others(shared: BrokerProcess, api: httpx.Client) -> None:
    host, _, port = shared.http.removeprefix("http://").rpartition(":")
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((host, int(port)), timeout=60)) for _ in range(50)]
        for peer in slow:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert api.get("/status").status_code == 200
        told = b"".join(_received(slow[0]))
        assert told.startswith(b"HTTP/1.1 408 ")
        assert api.get("/status").status_code == 200


def _received(peer: socket.socket) -> Iterator[bytes]:
    """What comes until the other end closes."""
    while data := peer.recv(4_096):
        yield data

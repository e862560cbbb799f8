"""The figures of a real broker: through kills and stops of its actors, and in a real Prometheus."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import posthouse
from posthouse.prometheus import CONTENT_TYPE, Exposition
from posthouse.testing.broker import BrokerProcess
from posthouse.testing.waiting import eventually
from posthouse.transport.messages_monitor import Overview
from tests.support.metric_texts import RULES, samples
from tests.support.programs import needs
from tests.system.conftest import StartBroker

ACTORS = ("queue:q", "exchange:x", "dead-letter", "delay", "registry", "door", "monitor")


def use(broker: posthouse.Broker) -> None:
    """A little of everything."""
    with broker.publisher("x") as out:
        for number in range(50):
            out.send(b"m", routing_key="a" if number else "nowhere")
        out.flush(timeout_s=20)
    for _ in range(10):
        message = broker.get("q")
        assert message is not None
        message.ack()
    message = broker.get("q")
    assert message is not None
    message.reject("no good")
    broker.publish("x", b"later", routing_key="a", delay_s=0.05)


def full_overview(broker: posthouse.Broker) -> Overview:
    """One in which every actor was measured in its present life."""

    def look() -> Overview | None:
        overview = broker.monitor.overview()
        fresh = {
            actor.id
            for actor in overview.actors
            if actor.state == "up" and actor.values.get("measured_age_seconds", 9) < 3
        }
        return overview if fresh.issuperset(ACTORS) else None

    return eventually(look, 60.0, "not every actor shows its figures")


def test_counters_never_fall_whichever_actor_is_killed(process: BrokerProcess) -> None:
    exposed = Exposition()
    with process.connect() as broker:
        broker.declare_exchange("x", "direct", unrouted="drop")
        broker.declare_queue("q")
        broker.bind("x", "q", "a")
        use(broker)
        full_overview(broker)
        before: dict[Any, float] = {}
        for victim in (None, *ACTORS):
            if victim is not None:
                generation = process.generation_of(victim)
                process.kill(victim)
                process.wait_up(victim, generation)
                use(broker)
            now = samples(exposed.render(full_overview(broker)))
            for key, value in before.items():
                if key[0].endswith(("_total", "_bucket", "_sum", "_count")):
                    assert now.get(key, -1) >= value, f"{key} fell after the death of {victim}"
            before = now

        def counted() -> tuple[float, ...]:
            (queue,) = broker.monitor.overview(["queue"]).actors
            return tuple(queue.values[key] for key in ("stored", "acked", "rejected", "dead_lettered"))

        uses = 1 + len(ACTORS)
        expected = (50 * uses, 10 * uses, uses, uses)
        eventually(lambda: counted() == expected, 60.0, f"{counted()} is not {expected}")
        assert before["posthouse_exchange_unrouted_total", (("exchange", "x"), ("fate", "drop"))] >= 1
        restarts = [value for (name, _), value in before.items() if name == "posthouse_actor_restarts_total"]
        assert sum(restarts) == len(ACTORS)


def test_what_happens_is_heard_of_when_it_happens_and_not_when_the_wait_is_over(process: BrokerProcess) -> None:
    with process.connect() as broker:
        broker.declare_queue("q")
        known = broker.monitor.events()[-1].number
        killed_at = time.monotonic()
        process.kill("queue:q")
        kinds: list[str] = []
        while "exited" not in kinds:
            for event in broker.monitor.events(known, wait_s=60.0):
                known = event.number
                if event.actor == "queue:q":
                    kinds.append(event.kind)
            assert time.monotonic() - killed_at < 50.0


def test_a_stopped_actor_is_in_the_overview_with_its_last_figures_and_their_age(process: BrokerProcess) -> None:
    with process.connect() as broker:
        broker.declare_queue("q")
        broker.publish("", b"x", routing_key="q")

        def ready() -> float:
            # A queue is in the overview from the sample after its declaration on.
            return sum(queue.values.get("ready", 0) for queue in broker.monitor.overview(["queue"]).actors)

        eventually(lambda: ready() == 1, 60.0, "the message is not shown")
        pid = process.pid_of("queue:q")
        os.kill(pid, signal.SIGSTOP)
        try:

            def is_old() -> bool:
                asked_at = time.monotonic()
                (queue,) = broker.monitor.overview(["queue"]).actors
                assert time.monotonic() - asked_at < 30.0, "a stopped actor holds up nobody who asks"
                assert queue.values["ready"] == 1
                return queue.values["measured_age_seconds"] > 2

            eventually(is_old, 60.0, "its figures do not grow old")
        finally:
            os.kill(pid, signal.SIGCONT)


def test_a_service_manager_is_told(
    start_broker: StartBroker, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(short_path / "notify"))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(short_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        process = start_broker()
        heard = ""
        while "READY=1" not in heard or "WATCHDOG=1" not in heard:
            heard += manager.recv(4096).decode() + "\n"
        assert f"MAINPID={process.pid}" in heard
        process.stop()
        while "STOPPING=1" not in heard:
            heard += manager.recv(4096).decode() + "\n"
        assert heard.index("READY=1") < heard.index("STOPPING=1")


def test_every_line_of_the_log_is_json_with_the_fields_that_all_have(process: BrokerProcess) -> None:
    generation = process.generation_of("door")
    process.kill("door")
    process.wait_up("door", generation)
    lines = [json.loads(line) for line in process.log.splitlines()]
    assert len(lines) > 5
    for line in lines:
        assert {"timestamp", "level", "event"} <= line.keys()
        assert line["level"] in ("info", "warning", "error")
        if line["event"] in ("started", "ready", "exited"):
            assert {"actor", "generation", "pid"} <= line.keys()


# ---- a real Prometheus ----


@contextmanager
def scraped(address: str) -> Iterator[int]:
    """The figures of a broker over HTTP; the port."""
    exposed = Exposition()
    with posthouse.connect(address) as broker:

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = exposed.render(broker.monitor.overview())
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *arguments: object) -> None:
                """Tests read nothing of it."""

        with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                yield server.server_port
            finally:
                server.shutdown()
                thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def prometheus(place: Path, target: int) -> Iterator[str]:
    """A Prometheus that scrapes every second, with our rules; its URL."""
    port = free_port()
    rules = RULES.read_text().replace("interval: 15s", "interval: 1s")
    (place / "posthouse.rules.yml").write_text(rules)
    (place / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        "rule_files: [posthouse.rules.yml]\n"
        f"scrape_configs: [{{job_name: posthouse, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
    )
    command = ["prometheus", f"--config.file={place}/prometheus.yml", f"--storage.tsdb.path={place}/tsdb"]
    with (place / "log").open("wb") as log:
        running = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stderr=log, stdout=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()
            running.wait(20)


def ask(url: str, path: str, **query: str) -> Any:
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=5) as answer:
        return json.load(answer)["data"]


def value_of(url: str, expression: str) -> float | None:
    try:
        result = ask(url, "query", query=expression)["result"]
    except OSError:
        return None
    return float(result[0]["value"][1]) if result else None


@needs("promtool")
def test_prometheus_accepts_the_rules() -> None:
    ran = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@needs("promtool")
def test_prometheus_accepts_the_exposition(process: BrokerProcess) -> None:
    with process.connect() as broker:
        broker.declare_queue('a "queue" with a \\ in its name')
        broker.publish("", b"x", routing_key='a "queue" with a \\ in its name')
        text = Exposition().render(eventually(lambda: broker.monitor.overview(), 60.0, "no overview"))
    ran = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stdout.decode() + ran.stderr.decode()


@needs("prometheus")
def test_a_real_prometheus_scrapes_counts_and_evaluates(process: BrokerProcess, tmp_path: Path) -> None:
    with process.connect() as broker:
        broker.declare_queue("q")
        with scraped(process.ipc) as target, prometheus(tmp_path, target) as url:
            log = (tmp_path / "log").read_text
            eventually(lambda: value_of(url, "posthouse_info") == 1, 60.0, log())
            for _ in range(20):
                broker.publish("", b"x", routing_key="q")
            eventually(lambda: value_of(url, 'posthouse_queue_ready{queue="q"}') == 20, 60.0, log())
            published = 'posthouse_exchange_published_total{exchange="(default)"}'
            eventually(lambda: value_of(url, published) == 20, 60.0, log())

            def is_recorded(name: str) -> bool:
                # A histogram is there from its first count on, so what has risen since is what comes after that.
                broker.publish("", b"x", routing_key="q")
                return (value_of(url, name) or 0) > 0

            for name in ("published:rate1m", "confirm_seconds:p99", "journal_sync_seconds:p99"):
                eventually(partial(is_recorded, f"posthouse:{name}"), 60.0, f"posthouse:{name}")
            assert value_of(url, 'scrape_samples_scraped{job="posthouse"}')
            groups = ask(url, "rules")["groups"]
            states = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
            assert len(states) > 20
            assert set(states.values()) <= {"ok", "unknown"}

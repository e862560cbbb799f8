"""How soon an administrator hears of a crash: from SIGKILL of a queue until its alert is at a webhook.

The rules are those that are on from the start. Alerts have a pace of their own (a few at once, then fewer), so each
broker is asked for no more than it tells at once.
"""

from __future__ import annotations

import http.server
import json
import os
import queue
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.broker import running_broker
from benchmarks.measured import percentile
from benchmarks.report import Result, milliseconds
from posthouse.actors.alert_pace import BURST
from posthouse.demo_broker import OPTIONS

BROKERS: Final = 4
QUICK_BROKERS: Final = 1
HEARD_TIMEOUT_S: Final = 60.0
AIM_S: Final = 2.0

_Heard = queue.SimpleQueue[tuple[float, dict[str, Any]]]


def run(is_quick: bool) -> Result:
    brokers = QUICK_BROKERS if is_quick else BROKERS
    took_s = [seconds for _ in range(brokers) for seconds in _of_one_broker()]
    rows = [
        (
            "kill -9 of a queue → its alert is at the webhook",
            str(len(took_s)),
            milliseconds(percentile(took_s, 50)),
            milliseconds(max(took_s)),
        )
    ]
    note = f"{BURST} crashes of each of {brokers} brokers; the aim is {AIM_S:.0f} s"
    return Result("Alerts", ("", "crashes", "p50 ms", "most ms"), rows, {"took_s": took_s}, (note,))


def _of_one_broker() -> Iterator[float]:
    with _receiver() as (address, heard), tempfile.TemporaryDirectory() as directory:
        config = Path(directory, "posthouse.toml")
        config.write_text(f'[alerts.targets.here]\nwebhook = "{address}"\n')
        with running_broker(arguments=(*OPTIONS, "--config", str(config))) as bench:
            for number in range(BURST):
                bench.broker.declare_queue(f"queue-{number}")
            for number in range(BURST):
                actor = f"queue:queue-{number}"
                pid = bench.node(actor)["pid"]
                began = time.monotonic()
                os.kill(pid, signal.SIGKILL)
                yield _when_told(heard, actor) - began


def _when_told(heard: _Heard, actor: str) -> float:
    """The moment at which a notice came that says that an alert about this actor fires."""
    while True:
        moment, notice = heard.get(timeout=HEARD_TIMEOUT_S)
        if any(alert["subject"] == actor for alert in notice["firing"]):
            return moment


@contextmanager
def _receiver() -> Iterator[tuple[str, _Heard]]:
    heard: _Heard = queue.SimpleQueue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            moment = time.monotonic()
            heard.put((moment, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Nobody reads it."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/alerts", heard
        finally:
            server.shutdown()
            thread.join()

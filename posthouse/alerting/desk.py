"""The desk of alerts: threads that deliver and write, so that the monitor never waits for either.

One thread writes the file that survives the monitor, and one for each target delivers, one notice after the other. They
begin when there is something to do, and end with the process.

Fails with: nothing; how a thing ended comes back as an outcome.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Final, final

from posthouse.actors.alert_outbox import Dispatch, Notice, Outcome
from posthouse.alerting import apprise_target, command, letter, webhook
from posthouse.alerting.letter import Sender
from posthouse.alerting.targets import Target
from posthouse.supervisor.atomic_file import replace_file
from posthouse.transport.errors import DiskFault, InvalidArgument

FILE: Final = "alerts.json"
FILE_BYTES_MAX: Final = 64 * 1024 * 1024


@final
class Desk:
    """The desk of one monitor; `actors.alerting.AlertDesk` says what its calls mean."""

    def __init__(self, directory: str, targets: Iterable[Target], sender: Sender) -> None:
        self._path = os.path.join(directory, FILE)
        self._targets = {target.name: target for target in targets}
        self._sender = sender
        self._workers: dict[str, tuple[threading.Thread, queue.SimpleQueue[Callable[[], None]]]] = {}
        self._saved: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    # ---- the file ----

    def load(self) -> bytes | None:
        try:
            with open(self._path, "rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidArgument(f"{self._path} cannot be read: {error.strerror}") from error
        if len(data) > FILE_BYTES_MAX:
            raise InvalidArgument(f"{self._path} has more than {FILE_BYTES_MAX} bytes")
        return data

    def set_aside(self) -> None:
        with contextlib.suppress(OSError):
            os.replace(self._path, f"{self._path}.unreadable")

    def save(self, data: bytes) -> None:
        self._do("save", lambda: self._saved.put(self._write(data)))

    def take_saved(self) -> str | None:
        try:
            return self._saved.get_nowait()
        except queue.Empty:
            return None

    def _write(self, data: bytes) -> str:
        try:
            replace_file(self._path, data)
        except DiskFault as error:
            return str(error)
        return ""

    # ---- deliveries ----

    def send(self, dispatch: Dispatch) -> None:
        target, notice = self._targets[dispatch.target], dispatch.notice
        self._do(f"to {target.name}", lambda: self._deliver(target, notice))

    def take_outcomes(self) -> list[Outcome]:
        found: list[Outcome] = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._outcomes.get_nowait())
        return found

    def _deliver(self, target: Target, notice: Notice) -> None:
        error = "was given up by a bug of posthouse"
        try:
            error = target.without_secrets(deliver(target, notice, self._sender))
        finally:
            self._outcomes.put(Outcome(target.name, notice.number, error))

    # ---- threads ----

    def _do(self, worker: str, work: Callable[[], None]) -> None:
        thread, waiting = self._workers.get(worker, (None, queue.SimpleQueue()))
        if thread is None or not thread.is_alive():
            # A thread that a bug ended has said so; the next piece of work is not its victim.
            thread = threading.Thread(target=_work, args=(waiting,), name=f"alerts {worker}", daemon=True)
            self._workers[worker] = thread, waiting
            thread.start()
        waiting.put(work)


def _work(waiting: queue.SimpleQueue[Callable[[], None]]) -> None:
    while True:
        waiting.get()()


def deliver(target: Target, notice: Notice, sender: Sender) -> str:
    """Try once; "" means delivered."""
    if target.webhook is not None:
        headers = {"Idempotency-Key": str(notice.number), **target.headers}
        return webhook.post(target.webhook, headers, letter.body(notice, sender), target.timeout_s)
    if target.command is not None:
        return command.run(target.command, letter.body(notice, sender), target.timeout_s)
    assert target.url is not None
    kind = "test" if notice.kind == "test" else "firing" if notice.firing else "resolved"
    title, text = letter.title(notice, sender), letter.text(notice, sender)
    return apprise_target.send(target.url, title, text, kind, target.timeout_s)

"""The desk of alerts: threads that deliver and write, so that the monitor never waits for either.

One thread writes the file that survives the monitor, and one for each target delivers, one notice after the other. They
begin when there is something to do, and end with the process. What was delivered is written down by whoever delivered
it, at once, so that the next life of the monitor does not tell it again.

Fails with: nothing; how a thing ended comes back as an outcome.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Final, final

import msgspec

from posthouse.actors.alert_outbox import Dispatch, Notice, Outcome
from posthouse.alerting import apprise_target, command, letter
from posthouse.alerting.letter import Sender
from posthouse.alerting.targets import Target
from posthouse.transport.errors import DiskFault, InvalidArgument

FILE: Final = "alerts.json"
LEDGER: Final = "alerts.delivered.json"
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
REMEMBERED_MAX: Final = 200
"""Numbers of delivered notices that are remembered for each target."""


@final
class Desk:
    """The desk of one monitor; `actors.alert_desk.AlertDesk` says what its calls mean."""

    def __init__(
        self, directory: str, replace_file: Callable[[str, bytes], None], targets: Iterable[Target], sender: Sender
    ) -> None:
        self._replace_file = replace_file
        self._directory = directory
        self._path = os.path.join(directory, FILE)
        self._ledger = threading.Lock()
        self._targets = {target.name: target for target in targets}
        self._sender = sender
        self._workers: dict[str, tuple[threading.Thread, queue.SimpleQueue[Callable[[], None]]]] = {}
        self._delivered: dict[str, list[int]] = {}
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
            self._replace_file(self._path, data)
        except DiskFault as error:
            return str(error)
        return ""

    def delivered(self) -> dict[str, list[int]]:
        path = os.path.join(self._directory, LEDGER)
        try:
            with open(path, "rb") as file:
                self._delivered = msgspec.json.decode(file.read(FILE_BYTES_MAX), type=dict[str, list[int]])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            # Without it the worst is a notice told twice.
            self._delivered = {}
        return self._delivered

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
            if not error and notice.kind != "test":
                self._remember(target.name, notice.number)
        finally:
            self._outcomes.put(Outcome(target.name, notice.number, error))

    def _remember(self, target: str, number: int) -> None:
        """Against a death of the process it needs no sync; a power cut may have a notice told twice."""
        path = os.path.join(self._directory, LEDGER)
        with self._ledger, contextlib.suppress(OSError):
            self._delivered[target] = [*self._delivered.get(target, []), number][-REMEMBERED_MAX:]
            with open(f"{path}.tmp", "wb") as file:
                file.write(msgspec.json.encode(self._delivered))
            os.replace(f"{path}.tmp", path)

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
        from posthouse.alerting import webhook  # With TLS and all, by the first thread that needs it.

        headers = {"Idempotency-Key": str(notice.number), **target.headers}
        return webhook.post(target.webhook, headers, letter.body(notice, sender), target.timeout_s)
    if target.command is not None:
        return command.run(target.command, letter.body(notice, sender), target.timeout_s)
    assert target.url is not None
    kind = "test" if notice.kind == "test" else "firing" if notice.firing else "resolved"
    title, text = letter.title(notice, sender), letter.text(notice, sender)
    return apprise_target.send(target.url, title, text, kind, target.timeout_s)

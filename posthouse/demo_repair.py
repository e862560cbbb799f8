"""The second half of the demo: a handler fails, its messages die with their history, and a redrive repairs it.

The dead letters are read and audited; a redrive before the repair sends a canary, which dies again, so that the rest
stays where it is; then the handler is replaced, and a redrive empties the store. What the consumers wrote down is the
evidence here too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, final

import posthouse
from posthouse.dead_letter_requests import LIST_MAX
from posthouse.demo_audit import Ledger
from posthouse.demo_clients import Clients
from posthouse.demo_feeds import REBOOKING, REDRIVEN
from posthouse.demo_flights import Flight
from posthouse.demo_letters import faults_of_history, faults_of_letters, story_of
from posthouse.demo_rebooking import error_of
from posthouse.demo_screen import Screen
from posthouse.demo_tables import error_shown
from posthouse.demo_topology import ATTEMPTS, RETRY
from posthouse.transport.messages_dead import Cause, RedriveInfo

CANARY: Final = 10
HISTORIES: Final = 25
"""So many are read whole; the listing tells of all."""
STALL_S: Final = 30.0
TURN_S: Final = 0.02


@final
class Repair:
    """From the first dead letter to an empty store. `causes` is what the letters died of."""

    def __init__(
        self,
        broker: posthouse.Broker,
        clients: Clients,
        ledgers: Mapping[str, Ledger],
        screen: Screen,
        flights: Sequence[Flight],
    ) -> None:
        self.causes: list[Cause] = []
        self._broker = broker
        self._clients = clients
        self._ledgers = ledgers
        self._screen = screen
        # What the broken handler gets a second time.
        self._second = Ledger(ledgers[REBOOKING.name].expected)
        self._errors = {flight.number: error for flight in flights if (error := error_of(flight)) is not None}
        self._canary = min(CANARY, (len(self._errors) + 1) // 2)

    def run(self) -> list[str]:
        """All of it; returns what is wrong. Where no flight was cancelled there is nothing to repair."""
        if not self._errors:
            return []
        return self._collect() or self._try_too_early() or self._repair()

    def _collect(self) -> list[str]:
        faults = self._await_letters()
        if faults:
            return faults
        self.causes = self._broker.dead_letters.causes()
        kinds = {error_shown(cause.cause).partition(":")[0] for cause in self.causes}
        self._screen.say(
            f"[yellow]dead letters[/] {len(self._errors):,} cancelled flights died after {ATTEMPTS} attempts; "
            f"{len(self.causes)} cause{'s' if len(self.causes) > 1 else ''}: {', '.join(sorted(kinds))}"
        )
        first = self._broker.dead_letters.list(limit=1)[0]
        story = story_of(self._broker.dead_letters.get(first.id))
        self._screen.say(f"  the history of flight {int(first.message_id):,}: {story}")
        return faults

    def _try_too_early(self) -> list[str]:
        """A redrive while the handler is still broken: the canary dies again, and nothing else moves."""
        second = self._second
        self._clients.enter_into(REBOOKING.queue, second)
        info = self._redrive()
        faults = self._await_letters()
        self._read(0.0)
        if info.state != "stopped" or not info.failed or second.received != self._canary or second.unexpected:
            faults.append(
                f"a redrive to the broken handler is {info.state} after {info.failed} of {info.moved} failed, and "
                f"{second.received} flights came; {self._canary} canaries should have failed and stopped it"
            )
        self._screen.say(
            f"[yellow]redrive[/] before the repair: {second.received} canaries died again, it stopped by itself, "
            f"{len(self._errors) - second.received:,} were not touched"
        )
        return faults

    def _repair(self) -> list[str]:
        self._clients.retire(REBOOKING.queue)
        self._clients.add_consumer(REDRIVEN)
        started_at = time.monotonic()
        info = self._redrive()
        ledger = self._ledgers[REDRIVEN.name]
        self._until(lambda: ledger.is_complete)
        took_s = time.monotonic() - started_at
        self._screen.say(
            f"[green]redrive[/] after the repair: {ledger.received:,} flights handled in {took_s:.1f} s, "
            f"a canary of {self._canary} first"
        )
        if info.state == "done" and info.moved == len(self._errors) and not info.failed:
            return []
        return [f"the redrive is {info.state} after {info.moved:,} of {len(self._errors):,}: {info.text}"]

    def _redrive(self) -> RedriveInfo:
        return self._broker.dead_letters.redrive(
            queue=REBOOKING.queue,
            canary=self._canary,
            timeout_s=STALL_S,
            on_progress=lambda _info: self._read(0.0),
        )

    def _await_letters(self) -> list[str]:
        """Until all are dead that have to be; returns what is wrong with them."""
        store = self._broker.dead_letters
        self._until(lambda: (status := store.status()).messages >= len(self._errors) and not status.leaving)
        letters = store.list(limit=LIST_MAX)
        faults = faults_of_letters(letters, self._errors, ATTEMPTS)
        if not faults:
            step = max(1, len(letters) // HISTORIES)
            for letter in letters[::step]:
                faults += faults_of_history(store.get(letter.id), self._errors[int(letter.message_id)], RETRY)
        return faults

    def _until(self, is_done: Callable[[], bool]) -> None:
        """Or until the time is up; what is missing then is seen by who looks next."""
        deadline = time.monotonic() + STALL_S
        while not is_done() and time.monotonic() < deadline and not self._clients.faults():
            self._read(TURN_S)

    def _read(self, wait_s: float) -> None:
        self._clients.turn(wait_s)
        self._screen.show(self._clients.published, self._ledgers)

"""Test notices: who asked for one, and what became of it at each target.

Fails with: nothing; whoever asked gets an answer when all targets were tried, and in time if they were not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from posthouse.actors.actor import Context
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.links import Link
from posthouse.transport.messages_alerts import AlertTested, SendTestAlert

TESTS_MAX: Final = 20
WAIT_MS_MAX: Final = 60_000


@final
@dataclass(slots=True)
class _Test:
    link: Link
    request: int
    until_ms: int
    open: list[str]
    done: list[AlertTested]


@final
class AlertTests:
    """Those that somebody waits for, by the number of their notice."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._tests: dict[int, _Test] = {}

    def began(self, link: Link, message: SendTestAlert, number: int, targets: list[str]) -> None:
        """A test notice is in the outbox for these targets. Raises InvalidArgument for too many at once."""
        if len(self._tests) >= TESTS_MAX:
            raise InvalidArgument(f"{TESTS_MAX} tests are on their way; wait for one to end")
        if not 0 <= message.wait_ms <= WAIT_MS_MAX:
            raise InvalidArgument(f"wait_ms is 0 to {WAIT_MS_MAX}, not {message.wait_ms}")
        until_ms = self._context.monotonic_ms + message.wait_ms
        self._tests[number] = _Test(link, message.request, until_ms, list(targets), [])
        if not targets:
            self._answer(number)

    def ended(self, number: int, tested: AlertTested) -> None:
        """One target was tried."""
        test = self._tests.get(number)
        if test is not None and tested.target in test.open:
            test.open.remove(tested.target)
            test.done.append(tested)
            if not test.open:
                self._answer(number)

    def answer_late(self, now_ms: int) -> None:
        """Whoever waits for long enough is told what is known."""
        for number in [number for number, test in self._tests.items() if test.until_ms <= now_ms]:
            self._answer(number)

    def link_ended(self, link: Link) -> None:
        """Nobody waits there any more."""
        for number in [number for number, test in self._tests.items() if test.link is link]:
            del self._tests[number]

    def _answer(self, number: int) -> None:
        test = self._tests.pop(number)
        late = [AlertTested(target=target, error="no answer yet; see posthouse alerts list") for target in test.open]
        self._context.reply(test.link, test.request, sorted([*test.done, *late], key=lambda tested: tested.target))

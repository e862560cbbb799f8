"""The dead letters, as a program sees them: list, look, redrive, undo, purge.

Requests and values are in `dead_letter_requests.py`; questions are put by the client that made it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, final

from posthouse import dead_letter_requests as requests
from posthouse.arguments import check_seconds
from posthouse.dead_letter_requests import DeadLetter, make_filter
from posthouse.requests import Ask
from posthouse.transport.messages_dead import Cause, DeadLetterFilter, DeadLetterStoreInfo, RedriveInfo

POLL_S: Final = 0.02
Causes = list[Cause]


Pause = Callable[[float], None]
"""Waits so many seconds, and lets the connection live meanwhile."""


@final
class DeadLetters:
    """The dead letters of one broker; `broker.dead_letters`."""

    def __init__(self, ask: Ask, pause: Pause) -> None:
        self._ask = ask
        self._pause = pause

    def list(
        self,
        queue: str | None = None,
        reason: str | None = None,
        fingerprint: str | None = None,
        limit: int = 100,
        *,
        after: int = 0,
        **more: Any,
    ) -> list[DeadLetter]:
        """Dead letters, oldest first, from above the id `after`.

        Keywords narrow it further: `since` and `before` (aware datetimes, of the death), `older_than_s`,
        `newer_than_s`, `headers` (all must be there and equal), `ids`. Raises InvalidArgument.
        """
        wanted = make_filter(queue, reason, fingerprint, more)
        return requests.shown(self._ask(requests.letters(wanted, limit, after)))

    def causes(
        self,
        queue: str | None = None,
        reason: str | None = None,
        fingerprint: str | None = None,
        limit: int = 100,
        **more: Any,
    ) -> Causes:
        """The same letters by what they died of, the most frequent cause first."""
        return self._ask(requests.causes(make_filter(queue, reason, fingerprint, more), limit))

    def get(self, id: int) -> DeadLetter:
        """One dead letter with body, headers and history. Raises UnknownDeadLetter."""
        return requests.shown_whole(self._ask(requests.one(id)))

    def status(self) -> DeadLetterStoreInfo:
        """How much is in the store, and how much it takes."""
        return self._ask(requests.status())

    def purge(
        self, queue: str | None = None, reason: str | None = None, fingerprint: str | None = None, **more: Any
    ) -> int:
        """Remove dead letters for good; returns how many. Without a filter: all. Narrowed as in `list`."""
        return self._ask(requests.purge(make_filter(queue, reason, fingerprint, more)))

    def redrive(
        self,
        queue: str | None = None,
        reason: str | None = None,
        fingerprint: str | None = None,
        *,
        to: str | None = None,
        to_exchange: str | None = None,
        rate: float | None = None,
        canary: int | None = None,
        failure_share: float = 0.0,
        dry_run: bool = False,
        allow_circle: bool = False,
        wait: bool = True,
        timeout_s: float | None = None,
        on_progress: Callable[[RedriveInfo], None] | None = None,
        **more: Any,
    ) -> RedriveInfo:
        """Send dead letters back to the queue they died in, `to` another, or through `to_exchange`.

        Narrowed as in `list`. `rate`: messages a second. `canary`: so many go first; when more than `failure_share` of
        them die again, the rest stays. `dry_run` only counts, by `causes`. Returns when it is over (`state` done or
        stopped, `text` says why), or as it stands after `timeout_s` (None: as long as it takes) or at once without
        `wait`; it goes on either way. A queue that is named here and whose dead letters come back to it through
        dead-letter exchanges is refused, unless with `allow_circle`. Raises UnknownQueue, UnknownExchange,
        InvalidArgument, PreconditionFailed.
        """
        wanted = make_filter(queue, reason, fingerprint, more)
        asked = requests.redrive(
            wanted, to=to, to_exchange=to_exchange, rate=rate, canary=canary, failure_share=failure_share,
            dry_run=dry_run,
        )  # fmt: skip
        deadline = None if timeout_s is None else time.monotonic() + check_seconds("timeout_s", timeout_s)
        queue_meant = to if to is not None else queue
        if queue_meant is not None and to_exchange is None:
            self._check_way(queue_meant, wanted, allow_circle)
        info = self._ask(asked)
        while wait and requests.is_running(info) and (deadline is None or time.monotonic() < deadline):
            if on_progress is not None:
                on_progress(info)
            self._pause(POLL_S)
            info = self.redrive_status(info.id)
        return info

    def _check_way(self, queue: str, wanted: DeadLetterFilter, allow_circle: bool) -> None:
        some, circle = requests.way_of(queue, wanted)
        found = self._ask(circle(self._ask(some)))
        if not allow_circle:
            requests.refuse_circle(found)

    def redrive_status(self, id: int) -> RedriveInfo:
        """A redrive as it stands. Raises UnknownDeadLetter; the last hundred are remembered."""
        return self._ask(requests.redrive_status(id))

    def redrive_stop(self, id: int) -> RedriveInfo:
        """Send nothing more in this redrive; what is on its way arrives."""
        return self._ask(requests.redrive_status(id, stop=True))

    def redrive_undo(self, id: int) -> RedriveInfo:
        """Stop a redrive, and bring back what nobody was given yet; `taken_back` says how many are on their way.

        Raises UnknownDeadLetter; PreconditionFailed for one that went through an exchange.
        """
        return self._ask(requests.redrive_undo(id))

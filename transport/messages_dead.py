"""The vocabulary of dead letters: moves into and out of the store, and what a client may ask of it.

Frozen values like those of `messages.py`, whose union they join; numbers 80 to 99. A *move* travels on a numbered
stream of its source. `floor` is the lowest number of that stream whose fate the source does not know yet: nothing below
it will ever be sent again, so whoever knows nothing of the stream may begin there, and a gap above it is refused.
"""

from __future__ import annotations

from typing import Any, Final, final

import msgspec

TAKEN_BACK: Final = "taken_back"
"""The reason of messages that an undo brings back; the store gives them the one they had, if it remembers."""


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


class _Value(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """A record inside a message; it has no number of its own."""


@final
class Attempt(_Value, frozen=True):
    """One delivery that failed. `how` is nack, reject, consumer_gone or ack_timeout; the error is what it sent.

    `reason` is what a reject said; where it sent no error, `error` says that too.
    `republish`, `redrive` and `taken_back` are the store's own remarks: a move that failed, or was undone.
    """

    attempt: int
    at_ms: int
    consumer: str
    how: str
    error_type: str = ""
    error: str = ""
    traceback: str = ""
    reason: str = ""


@final
class Death(_Value, frozen=True):
    """Why messages are dead: what they share. `attempt` is how often they were delivered, in all their lives.

    `republish_to` is the dead-letter exchange they go to, and `republish_key` the routing key they get, if not their
    own. `earlier` is the id of the dead letter they were before (0: none), `life` which death this is.
    """

    reason: str
    queue: str
    died_ms: int
    attempt: int = 0
    first_ms: int = 0
    fingerprint: str = ""
    cause: str = ""
    history: tuple[Attempt, ...] = ()
    republish_to: str | None = None
    republish_key: str | None = None
    earlier: int = 0
    life: int = 1


@final
class DeadLetterFilter(_Value, frozen=True):
    """Which dead letters are meant; what is nil is not asked. Times are of the death, in epoch milliseconds."""

    queue: str | None = None
    reason: str | None = None
    fingerprint: str | None = None
    after_ms: int | None = None
    before_ms: int | None = None
    headers: dict[str, Any] | None = None
    ids: tuple[int, ...] | None = None


@final
class DeadLetterInfo(_Value, frozen=True):
    """One dead letter as a listing shows it. `is_leaving`: it is on its way to a queue or an exchange.

    `earlier` is the id of the dead letter it was before, 0 when it had no earlier life; `life` counts them.
    """

    id: int
    reason: str
    queue: str
    exchange: str
    routing_key: str
    message_id: str
    attempt: int
    first_ms: int
    last_ms: int
    fingerprint: str
    cause: str = ""
    size: int = 0
    is_leaving: bool = False
    earlier: int = 0
    life: int = 1


@final
class Cause(_Value, frozen=True):
    """Dead letters with one fingerprint: how many, and what they have in common."""

    fingerprint: str
    cause: str
    count: int
    queues: tuple[str, ...]
    reasons: tuple[str, ...]
    first_ms: int
    last_ms: int


@final
class DeadLetterStoreInfo(_Value, frozen=True):
    """The store. Counts are messages, sizes bytes. `refused`: moves that found it full, and stayed at their source.

    `republished`: sent on to the dead-letter exchange of their queue.
    """

    messages: int
    leaving: int
    bytes: int
    messages_max: int
    bytes_max: int
    is_full: bool
    buried: int
    redriven: int
    purged: int
    refused: int
    journal_bytes: int = 0
    republished: int = 0


@final
class RedriveInfo(_Value, frozen=True):
    """A redrive as it stands. `state` is dry_run, running, canary, done or stopped; `text` says why it stopped.

    `matched` letters were meant when it began, `moved` have arrived, `returned` were not taken, `failed` canaries died
    again, `remaining` have not gone yet; `rate` is messages a second so far. `taken_back`: its undo found so many
    untouched. `causes`, of a dry run: what they died of.
    """

    id: int
    state: str
    matched: int
    moved: int = 0
    returned: int = 0
    failed: int = 0
    text: str = ""
    remaining: int = 0
    rate: float = 0.0
    taken_back: int = 0
    causes: tuple[Cause, ...] = ()


# ---- moves ----


@final
class Bury(_Message, frozen=True, tag=80):
    """A queue moves messages to the store: `count` numbers of `stream`. `batch` is the `Batch` they came in, sliced."""

    stream: int
    first_seq: int
    count: int
    floor: int
    death: Death
    batch: msgspec.Raw


@final
class Restore(_Message, frozen=True, tag=81):
    """The store moves messages to a queue, under the numbers in the `Batch`.

    The answer, when `request` is not 0, is the first offset, or 0 for what the queue had already.
    """

    floor: int
    batch: msgspec.Raw
    request: int = 0


# ---- client → store ----


@final
class ListDeadLetters(_Message, frozen=True, tag=82):
    """The answer is a list of `DeadLetterInfo`, oldest first, from above the id `after`."""

    request: int
    filter: DeadLetterFilter
    limit: int = 100
    after: int = 0


@final
class ListCauses(_Message, frozen=True, tag=83):
    """The answer is a list of `Cause`, largest first."""

    request: int
    filter: DeadLetterFilter
    limit: int = 100


@final
class GetDeadLetter(_Message, frozen=True, tag=84):
    """The answer is `[DeadLetterInfo, Death, Batch]`, the batch cut to this one message."""

    request: int
    id: int


@final
class PurgeDeadLetters(_Message, frozen=True, tag=85):
    """The answer is how many were removed. What is on its way to a queue stays."""

    request: int
    filter: DeadLetterFilter


@final
class Redrive(_Message, frozen=True, tag=86):
    """Send dead letters back to their queue, or `to` another, or through the exchange `to_exchange`.

    The answer is a `RedriveInfo`, when it has begun. `rate` is messages a second, 0 for no limit. `canary` messages go
    first and are waited for; when more than `failure_share` of them die again, the rest stays.
    """

    request: int
    filter: DeadLetterFilter
    to: str | None = None
    rate: float = 0.0
    canary: int = 0
    failure_share: float = 0.0
    dry_run: bool = False
    to_exchange: str | None = None


@final
class RedriveStatus(_Message, frozen=True, tag=87):
    """The answer is a `RedriveInfo`."""

    request: int
    id: int
    stop: bool = False


@final
class DeadLetterStatus(_Message, frozen=True, tag=88):
    """The answer is a `DeadLetterStoreInfo`."""

    request: int


@final
class LookAfter(_Message, frozen=True, tag=89):
    """The store asks a queue what became of offsets. The answer is `[still there, of these with a failed attempt]`."""

    request: int
    first_offset: int
    last_offset: int


@final
class Republish(_Message, frozen=True, tag=110):
    """The store publishes to an exchange what died, or what is redriven through it, under the numbers in the `Batch`.

    It is routed even if the exchange is internal, and never held or dropped there: what no queue wants is refused. With
    `no_cycles`, queues in which it died before count as not there, as `x-death` tells.
    """

    batch: msgspec.Raw
    no_cycles: bool = False


@final
class TakeBack(_Message, frozen=True, tag=111):
    """The store asks a queue to bury what it has of these numbers of a stream and never gave to anybody.

    `ranges` are flat. Looked at are some batches from `from_offset` on. The answer is `[taken, offset to go on from]`,
    the latter 0 when there is nothing more.
    """

    request: int
    stream: int
    ranges: list[int]
    from_offset: int = 0


@final
class UndoRedrive(_Message, frozen=True, tag=112):
    """Stop a redrive and bring back what nobody was given yet. The answer, when that has begun, is a `RedriveInfo`."""

    request: int
    id: int


DeadLetterMessage = (
    Bury | Restore | ListDeadLetters | ListCauses | GetDeadLetter | PurgeDeadLetters | Redrive | RedriveStatus
    | DeadLetterStatus | LookAfter | Republish | TakeBack | UndoRedrive
)  # fmt: skip

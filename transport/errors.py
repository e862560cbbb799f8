"""Every error posthouse raises, sorted by who is at fault and who must act.

    PosthouseError
    ├── Refused                  the request is at fault; nothing was changed; `code` never changes
    │   ├── InvalidArgument      a value of the wrong type, range or form
    │   ├── UnknownExchange      no exchange of that name
    │   ├── UnknownQueue         no queue of that name
    │   ├── UnknownBinding       no such binding to remove
    │   ├── UnknownDelayed       no message of that id or key waits: never did, fired or cancelled
    │   ├── UnknownDeadLetter    no dead letter, or no redrive, of that number
    │   ├── UnknownMessage       no journal tells of a message of that id
    │   ├── PreconditionFailed   exists with other properties, is in use, is not empty
    │   ├── ResourceLocked       an exclusive queue or consumer belongs to somebody else
    │   ├── Unroutable           no queue matched and the exchange's policy is `return`
    │   ├── QueueFull            the queue's limit is reached and its overflow is `reject-publish`
    │   ├── HoldFull             an exchange holds all it may for queues to come, and the dead letters take nothing
    │   ├── DiskSpaceLow         the broker's disk is nearly full: it delivers, and takes nothing new
    │   ├── NoResponders         nobody serves calls on that route
    │   ├── AddressInUse         somebody else listens there, or the address is not this machine's
    │   └── DataDirectoryInUse   another broker owns the data directory
    ├── ProtocolViolation        the peer's bytes are at fault; its session ends
    ├── Unavailable              nobody is at fault; time will tell
    │   ├── NotDone              the request certainly had no effect; it may be repeated
    │   │   ├── BrokerNotRunning nobody listens at the address
    │   │   └── ActorDown        the actor is restarting or quarantined
    │   └── OutcomeUnknown       the deadline passed; it may or may not have happened
    │       └── CallTimeout      no reply came within the deadline of a call
    ├── PublishError             some messages of a publisher were refused or are unknown
    ├── CallFailed               whoever served a call raised an error
    └── DiskFault                the machine is at fault; the actor stops and its supervisor decides
        ├── JournalCorrupt       damage below the durable mark: never truncated, never served
        ├── JournalLocked        another life still holds the journal
        ├── DiskFull             no space left for the journal
        └── SyncFailed           a write or sync failed; the bytes must be taken as lost

`Refused` and `Unavailable` travel over the wire as `(code, text)` and come back as the same class.
"""

from __future__ import annotations

from typing import ClassVar, final


class PosthouseError(Exception):
    """The root of the tree. `code` is stable and meant for programs, the text is meant for people."""

    code: ClassVar[str] = "posthouse_error"


class Refused(PosthouseError):
    """The request is at fault. The broker's state is what it was before."""

    code = "refused"


@final
class InvalidArgument(Refused, ValueError):
    """A value has the wrong type, range or form."""

    code = "invalid_argument"


@final
class UnknownExchange(Refused):
    """No exchange has that name."""

    code = "unknown_exchange"


@final
class UnknownQueue(Refused):
    """No queue has that name."""

    code = "unknown_queue"


@final
class UnknownBinding(Refused):
    """No such binding exists."""

    code = "unknown_binding"


@final
class UnknownDelayed(Refused):
    """No delayed message of that id or key waits: there never was one, or it was fired or cancelled."""

    code = "unknown_delayed"


@final
class UnknownDeadLetter(Refused):
    """No dead letter or redrive has that number; it was redriven, purged, or never there."""

    code = "unknown_dead_letter"


@final
class UnknownMessage(Refused):
    """No journal tells of a message of that id: it never came, left no trace, or its segments are gone."""

    code = "unknown_message"


@final
class PreconditionFailed(Refused):
    """The thing exists with other properties, or is in use, or is not empty."""

    code = "precondition_failed"


@final
class ResourceLocked(Refused):
    """An exclusive queue or consumer belongs to another client."""

    code = "resource_locked"


@final
class Unroutable(Refused):
    """No queue matched, and the exchange returns what it cannot route."""

    code = "unroutable"


@final
class QueueFull(Refused):
    """A queue that rejects publishes has reached its limit."""

    code = "queue_full"


@final
class HoldFull(Refused):
    """The exchange holds all it may of what no queue wanted, and the dead letters take nothing now."""

    code = "hold_full"


@final
class DiskSpaceLow(Refused):
    """The broker's disk is nearly full. It goes on delivering, and takes nothing new until there is space."""

    code = "disk_space_low"


@final
class NoResponders(Refused):
    """Nobody serves calls on that route."""

    code = "no_responders"


@final
class DataDirectoryInUse(Refused):
    """Another broker owns the data directory, or it belongs to another user."""

    code = "data_directory_in_use"


@final
class AddressInUse(Refused):
    """The broker cannot listen there: another program does, or the address is not one of this machine."""

    code = "address_in_use"


@final
class ProtocolViolation(PosthouseError):
    """The peer sent bytes that the protocol does not allow."""

    code = "protocol_violation"


class Unavailable(PosthouseError):
    """Not now. Says by its class whether anything may have happened."""

    code = "unavailable"


class NotDone(Unavailable):
    """The request certainly had no effect and may be repeated."""

    code = "not_done"


@final
class BrokerNotRunning(NotDone):
    """Nobody listens at the broker's address."""

    code = "broker_not_running"


@final
class ActorDown(NotDone):
    """The actor that would answer is restarting or quarantined."""

    code = "actor_down"


class OutcomeUnknown(Unavailable):
    """The deadline passed. The request may or may not have taken effect."""

    code = "outcome_unknown"


@final
class CallTimeout(OutcomeUnknown):
    """No reply came within the deadline of a call. It may or may not have been carried out."""

    code = "call_timeout"


@final
class CallFailed(PosthouseError):
    """Whoever served a call raised an error, and that is the answer.

    `error_type` is the name of its class, `error_text` what it said; `traceback` is None unless the server tells it.
    """

    code = "call_failed"

    def __init__(self, error_type: str, error_text: str, traceback: str | None = None) -> None:
        self.error_type = error_type
        self.error_text = error_text
        self.traceback = traceback
        super().__init__(f"{error_type}: {error_text}" if error_text else error_type)


@final
class PublishError(PosthouseError):
    """Some messages of a pipelined publisher were refused, or their fate is unknown.

    `refused` lists `(sequence number, error)`, `unknown` lists sequence numbers; both count from 1 in the
    order of `send`.
    """

    code = "publish_error"

    def __init__(self, refused: list[tuple[int, Refused | Unavailable]], unknown: list[int]) -> None:
        self.refused = refused
        self.unknown = unknown
        said = []
        if refused:
            said.append("1 message was refused" if len(refused) == 1 else f"{len(refused)} messages were refused")
        if unknown:
            said.append(f"the fate of {len(unknown)} {'message' if len(unknown) == 1 else 'messages'} is unknown")
        first = f"; the first: {refused[0][1]}" if refused else ""
        super().__init__(f"{' and '.join(said)}{first}")


class DiskFault(PosthouseError):
    """The machine failed us. The actor stops at once; its supervisor decides what follows."""

    code = "disk_fault"


@final
class JournalCorrupt(DiskFault):
    """Damage below the durable mark. `missing` lists the lost position ranges, first and last inclusive."""

    code = "journal_corrupt"

    def __init__(self, text: str, missing: tuple[tuple[int, int], ...] = ()) -> None:
        self.missing = missing
        super().__init__(text)


@final
class JournalLocked(DiskFault):
    """Another life of the same actor still holds the journal's lock."""

    code = "journal_locked"


@final
class DiskFull(DiskFault):
    """No space is left for the journal. Nothing of the refused append is on disk."""

    code = "disk_full"


@final
class SyncFailed(DiskFault):
    """A write or sync failed; the bytes it covered must be taken as lost."""

    code = "sync_failed"


_BY_CODE: dict[str, type[Refused | Unavailable]] = {
    error.code: error
    for error in (
        Refused,
        InvalidArgument,
        UnknownExchange,
        UnknownQueue,
        UnknownBinding,
        UnknownDelayed,
        UnknownDeadLetter,
        UnknownMessage,
        PreconditionFailed,
        ResourceLocked,
        Unroutable,
        QueueFull,
        HoldFull,
        DiskSpaceLow,
        NoResponders,
        AddressInUse,
        DataDirectoryInUse,
        Unavailable,
        NotDone,
        BrokerNotRunning,
        ActorDown,
        OutcomeUnknown,
        CallTimeout,
    )
}


def from_wire(code: str, text: str) -> Refused | Unavailable:
    """Rebuild the error a broker sent. A code of a newer broker becomes a plain `Refused` that names it."""
    error = _BY_CODE.get(code)
    return error(text) if error is not None else Refused(f"{code}: {text}")

"""A stand-in for the client: it notes what it is asked, and answers what the test told it to.

Each call is held against the signature of the real client, so a command that calls it wrongly fails its test.
It does not simulate a broker: nothing that is declared, bound or published has any effect.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Self, final

import msgspec

from posthouse.client import Broker
from posthouse.failure import Failure
from posthouse.message import Message, Slice
from posthouse.publisher import Publisher
from posthouse.transport.batch import Properties, pack_lengths
from posthouse.transport.messages import NIL, Batch, Outcome, encode


def arguments_of(method: Callable[..., Any], *given: Any, **named: Any) -> dict[str, Any]:
    """The arguments of a call by name, as the method itself would see them. Raises TypeError if it would."""
    bound = inspect.signature(method).bind(None, *given, **named)
    flat = dict(list(bound.arguments.items())[1:])
    for parameter in inspect.signature(method).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            flat |= flat.pop(parameter.name, {})
    return flat


@final
class RecordingBroker:
    """`calls` are what was asked, in order; `answers` what to return or raise, by the name of the method."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        self.is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.is_closed = True

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(Broker, name)

        def answer(*given: Any, **named: Any) -> Any:
            self.calls.append((name, arguments_of(method, *given, **named)))
            found = self.answers.get(name)
            if isinstance(found, BaseException):
                raise found
            return found

        return answer


@final
class RecordingPublisher:
    """`sent` are the arguments of each `send`; `flushed` says that nothing was left unconfirmed."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.flushed = False
        self._failure = failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def send(self, *given: Any, **named: Any) -> int:
        self.sent.append(arguments_of(Publisher.send, *given, **named))
        return len(self.sent)

    def flush(self, timeout_s: float | None = None) -> None:
        self.flushed = True
        if self._failure is not None:
            raise self._failure


@final
class RecordingConsumer:
    """Hands out the given batches, then nothing, or raises `end`.

    `acked` are the offsets, in order; `on_batch` is called with them whenever a batch is asked for.
    """

    def __init__(
        self,
        batches: Iterable[list[Message]],
        end: BaseException | None = None,
        on_batch: Callable[[list[int]], None] | None = None,
    ) -> None:
        self.acked: list[int] = []
        self.waited: list[float | None] = []
        self.is_closed = False
        self._batches = list(batches)
        self._end = end
        self._on_batch = on_batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.is_closed = True

    def batch(self, max_count: int, timeout_s: float | None = None) -> list[Message]:
        self.waited.append(timeout_s)
        if self._on_batch is not None:
            self._on_batch(self.acked)
        if not self._batches:
            if self._end is not None:
                raise self._end
            return []
        taken, rest = self._batches[0][:max_count], self._batches[0][max_count:]
        self._batches[:1] = [rest] if rest else []
        return taken

    def ack_all(self, taken: list[Message]) -> None:
        self.acked += [message.offset for message in taken]


@final
class Settlements:
    """Notes how single messages were settled."""

    def __init__(self) -> None:
        self.noted: list[tuple[int, Outcome, bool]] = []

    def settle(
        self, message: Message, outcome: Outcome, requeue: bool, reason: str, failure: Failure | None = None
    ) -> None:
        self.noted.append((message.offset, outcome, requeue))


def messages_of(
    *bodies: bytes,
    first_offset: int = 1,
    headers: dict[str, Any] | None = None,
    message_id: str | None = None,
    settler: Settlements | None = None,
    attempt: int = 1,
) -> list[Message]:
    """Messages as a consumer gets them, published to `flights` with the key `UA.EWR.IAH`."""
    properties: Properties = [(message_id, None)] * len(bodies)
    batch = Batch(
        exchange="flights",
        routing_key="UA.EWR.IAH",
        stream=10,
        first_seq=1,
        count=len(bodies),
        published_ms=1_357_000_000_123,
        headers=NIL if headers is None else msgspec.Raw(encode(headers)),
        lengths=memoryview(pack_lengths([len(body) for body in bodies])),
        bodies=memoryview(b"".join(bodies)),
        properties=None if message_id is None else memoryview(encode(properties)),
    )
    return Slice(batch, first_offset, attempt, 1).messages(settler)

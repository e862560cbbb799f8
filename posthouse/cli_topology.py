"""The topology: declare, bind, unbind, delete and purge.

A declaration of what exists already as described changes nothing, so scripts may repeat it.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from posthouse.breaker import Breaker
from posthouse.cli_connection import with_broker
from posthouse.cli_output import count, name_of, printable, say
from posthouse.cli_values import HEADER_HELP, parse_breaker, parse_duration_s, parse_headers, parse_retry
from posthouse.client import Broker


class Kind(StrEnum):
    """How an exchange chooses queues."""

    DIRECT = "direct"
    TOPIC = "topic"
    FANOUT = "fanout"
    HEADERS = "headers"


class Unrouted(StrEnum):
    """What an exchange does with a message that no queue wants."""

    HOLD = "hold"
    DEAD_LETTER = "dead-letter"
    ALTERNATE = "alternate"
    RETURN = "return"
    DROP = "drop"


class DeadLetterPolicy(StrEnum):
    """Where a queue's messages go that cannot be handled."""

    STORE = "store"
    OFF = "off"


class Overflow(StrEnum):
    """What a queue does with what is too much."""

    DROP_HEAD = "drop-head"
    REJECT_PUBLISH = "reject-publish"
    DEAD_LETTER = "dead-letter"


class Match(StrEnum):
    """How a binding of a headers exchange reads its headers."""

    ALL = "all"
    ANY = "any"
    ALL_WITH_X = "all-with-x"
    ANY_WITH_X = "any-with-x"


Exchange = Annotated[str, typer.Argument(metavar="EXCHANGE", show_default=False)]
Queue = Annotated[str, typer.Argument(metavar="QUEUE", show_default=False)]
Key = Annotated[
    str,
    typer.Argument(metavar="KEY", show_default=False, help="The binding key; a topic's may hold * and #."),
]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", "-H", metavar="NAME=VALUE", help=f"For a headers exchange: {HEADER_HELP}"),
]
MatchMode = Annotated[
    Match | None,
    typer.Option(
        "--match",
        metavar="MODE",
        show_default=False,
        help="For a headers exchange: all (default), any, all-with-x or any-with-x. Names that start with x- "
        "count only with -with-x.",
    ),
]
Transient = Annotated[bool, typer.Option("--transient", help="Gone when the broker restarts, messages too.")]
AutoDelete = Annotated[bool, typer.Option("--auto-delete", help="Deleted when its last user leaves.")]
RetryPolicy = Annotated[
    str | None,
    typer.Option(
        metavar="POLICY",
        help="off, or parts as in attempts=5,first=1s,factor=2,max=10m,kind=exponential,jitter=yes (the default).",
        show_default=False,
    ),
]


@with_broker
def declare_exchange(
    broker: Broker,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="direct, topic, fanout or headers", show_default=False)],
    unrouted: Annotated[
        Unrouted | None,
        typer.Option(
            metavar="POLICY",
            help="What happens to a message that no queue wants: hold (default), dead-letter, alternate, return, drop.",
            show_default=False,
        ),
    ] = None,
    alternate: Annotated[
        str | None, typer.Option(metavar="EXCHANGE", help="Who gets it then; implies --unrouted alternate.")
    ] = None,
    hold_for: Annotated[
        float | None,
        typer.Option(metavar="TIME", parser=parse_duration_s, help="Hold it so long at most: 30s, 2h, 7d."),
    ] = None,
    hold_max_length: Annotated[int | None, typer.Option(metavar="N", help="Hold at most so many messages.")] = None,
    hold_max_bytes: Annotated[int | None, typer.Option(metavar="BYTES", help="Hold at most so many bytes.")] = None,
    transient: Transient = False,
    auto_delete: AutoDelete = False,
    internal: Annotated[bool, typer.Option("--internal", help="Only other exchanges may publish to it.")] = False,
) -> None:
    """Declare an exchange, or check that it is there as described.

    Example:  posthouse declare exchange flights topic --unrouted drop
    """
    if alternate is not None and unrouted is None:
        unrouted = Unrouted.ALTERNATE
    if (unrouted is Unrouted.ALTERNATE) != (alternate is not None):
        raise typer.BadParameter(
            "--unrouted alternate and --alternate EXCHANGE need each other", param_hint="--unrouted"
        )
    options: dict[str, Any] = {} if unrouted is None else {"unrouted": unrouted.value}
    bounds = {"hold_for_s": hold_for, "hold_max_length": hold_max_length, "hold_max_bytes": hold_max_bytes}
    options |= {name: bound for name, bound in bounds.items() if bound is not None}
    broker.declare_exchange(
        name,
        kind.value,
        durable=not transient,
        auto_delete=auto_delete,
        internal=internal,
        alternate=alternate,
        **options,
    )
    say(f"declared {kind.value} exchange {name_of(name).text}")


@with_broker
def declare_queue(
    broker: Broker,
    name: Annotated[str, typer.Argument(metavar="NAME", help="'' lets the broker choose one.", show_default=False)],
    transient: Transient = False,
    auto_delete: AutoDelete = False,
    single_active_consumer: Annotated[
        bool, typer.Option("--single-active-consumer", help="Only the oldest consumer gets messages.")
    ] = False,
    retry: RetryPolicy = None,
    dead_letter: Annotated[
        DeadLetterPolicy | None,
        typer.Option(metavar="POLICY", help="store (default) or off: what dies is gone.", show_default=False),
    ] = None,
    dead_letter_exchange: Annotated[
        str | None,
        typer.Option(metavar="EXCHANGE", help="What dies goes to this exchange, '' being the default one."),
    ] = None,
    dead_letter_routing_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Under this routing key, not its own.")
    ] = None,
    ack_timeout: Annotated[
        float | None,
        typer.Option(metavar="S", parser=parse_duration_s, help="Take back what is held longer: 30s, 15m."),
    ] = None,
    ttl: Annotated[
        float | None, typer.Option(metavar="S", parser=parse_duration_s, help="Messages expire after: 30s, 2h.")
    ] = None,
    max_length: Annotated[int | None, typer.Option(metavar="N", help="Messages in the queue at most.")] = None,
    max_bytes: Annotated[int | None, typer.Option(metavar="N", help="Bytes of bodies in the queue at most.")] = None,
    overflow: Annotated[
        Overflow | None,
        typer.Option(metavar="POLICY", help="drop-head (default), reject-publish or dead-letter.", show_default=False),
    ] = None,
    priority: Annotated[bool, typer.Option("--priority", help="Heed priorities 0 to 9; higher leaves first.")] = False,
    expires: Annotated[
        float | None, typer.Option(metavar="S", parser=parse_duration_s, help="Delete it when unused for: 30m, 1d.")
    ] = None,
    breaker: Annotated[
        bool, typer.Option("--breaker", help="Pause when nearly everything fails, and try again with one message.")
    ] = False,
    breaker_policy: Annotated[
        str | None,
        typer.Option(metavar="POLICY", help="Parts as in window=20,share=0.8,probe=5s,max=1m; implies --breaker."),
    ] = None,
) -> None:
    """Declare a queue, or check that it is there as described.

    Example:  posthouse declare queue ewr
    """
    given: dict[str, Any] = {
        "retry": None if retry is None else parse_retry(retry),
        "dead_letter": None if dead_letter is None else dead_letter.value,
        "dead_letter_exchange": dead_letter_exchange,
        "dead_letter_routing_key": dead_letter_routing_key,
        "ack_timeout_s": ack_timeout,
        "ttl_s": ttl,
        "max_length": max_length,
        "max_bytes": max_bytes,
        "overflow": None if overflow is None else overflow.value,
        "priority": priority or None,
        "expires_s": expires,
        "breaker": parse_breaker(breaker_policy) if breaker_policy is not None else Breaker() if breaker else None,
    }
    policies = {policy: value for policy, value in given.items() if value is not None}
    info = broker.declare_queue(
        name, durable=not transient, auto_delete=auto_delete, single_active_consumer=single_active_consumer, **policies
    )
    say(f"declared queue {printable(info.name)}")


@with_broker
def delete_exchange(
    broker: Broker,
    name: Annotated[str, typer.Argument(metavar="EXCHANGE", show_default=False)],
    if_unused: Annotated[bool, typer.Option("--if-unused", help="Refuse while anything is bound to it.")] = False,
) -> None:
    """Delete an exchange and its bindings.

    Example:  posthouse delete exchange flights --if-unused
    """
    broker.delete_exchange(name, if_unused=if_unused)
    say(f"deleted exchange {printable(name)}")


@with_broker
def delete_queue(
    broker: Broker,
    name: Annotated[str, typer.Argument(metavar="QUEUE", show_default=False)],
    if_unused: Annotated[bool, typer.Option("--if-unused", help="Refuse while it has consumers.")] = False,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Refuse while it holds messages.")] = False,
) -> None:
    """Delete a queue, its bindings and its messages.

    Example:  posthouse delete queue newark --if-empty
    """
    gone = broker.delete_queue(name, if_unused=if_unused, if_empty=if_empty)
    say(f"deleted queue {printable(name)}{f' and {_messages(gone)}' if gone else ''}")


@with_broker
def bind(
    broker: Broker,
    exchange: Exchange,
    queue: Queue,
    key: Key = "",
    header: Headers = None,
    match: MatchMode = None,
) -> None:
    """Bind a queue to an exchange: what matches goes there from now on.

    \b
    Examples:
      posthouse bind flights newark '*.EWR.#'
      posthouse bind by-headers long -H carrier=UA -H cancelled:=true --match any
    """
    broker.bind(exchange, queue, key, arguments=_arguments(header, match))
    say(f"bound {_route(exchange, queue)}")


@with_broker
def unbind(
    broker: Broker,
    exchange: Exchange,
    queue: Queue,
    key: Key = "",
    header: Headers = None,
    match: MatchMode = None,
) -> None:
    """Remove a binding; key and headers must be those it was made with.

    Example:  posthouse unbind flights newark '*.EWR.#'
    """
    broker.unbind(exchange, queue, key, arguments=_arguments(header, match))
    say(f"unbound {_route(exchange, queue)}")


@with_broker
def bind_exchange(
    broker: Broker,
    source: Annotated[str, typer.Argument(metavar="SOURCE", show_default=False)],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", show_default=False)],
    key: Key = "",
    header: Headers = None,
    match: MatchMode = None,
) -> None:
    """Bind an exchange to an exchange: what matches at SOURCE is routed by DESTINATION too.

    Example:  posthouse bind-exchange all flights '#'
    """
    broker.bind_exchange(source, destination, key, arguments=_arguments(header, match))
    say(f"bound {_route(source, destination)}")


@with_broker
def unbind_exchange(
    broker: Broker,
    source: Annotated[str, typer.Argument(metavar="SOURCE", show_default=False)],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", show_default=False)],
    key: Key = "",
    header: Headers = None,
    match: MatchMode = None,
) -> None:
    """Remove a binding between exchanges; key and headers must be those it was made with.

    Example:  posthouse unbind-exchange all flights '#'
    """
    broker.unbind_exchange(source, destination, key, arguments=_arguments(header, match))
    say(f"unbound {_route(source, destination)}")


@with_broker
def purge(
    broker: Broker,
    queue: Queue,
    is_sure: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove every message of a queue that no consumer holds. They are gone for good.

    Example:  posthouse purge newark --yes
    """
    if not is_sure:
        if not sys.stdin.isatty():
            raise typer.BadParameter("nobody can be asked here; say --yes", param_hint="--yes")
        typer.confirm(f"Remove every ready message of {printable(queue)} for good?", abort=True)
    say(f"removed {_messages(broker.purge_queue(queue))} from {printable(queue)}")


@with_broker
def pause(broker: Broker, queue: Queue) -> None:
    """Deliver nothing from a queue until it is resumed, restarts included. Messages still come in.

    Example:  posthouse pause orders
    """
    broker.admin.pause_queue(queue)
    say(f"paused {printable(queue)}; let it go on with: posthouse resume {printable(queue)}")


@with_broker
def resume(broker: Broker, queue: Queue) -> None:
    """Let a paused queue deliver again.

    Example:  posthouse resume newark
    """
    broker.admin.resume_queue(queue)
    say(f"resumed {printable(queue)}")


def _arguments(header: list[str] | None, match: Match | None) -> dict[str, Any] | None:
    headers = parse_headers(header)
    if match is None:
        return headers
    if headers is not None and "x-match" in headers:
        raise typer.BadParameter("--match and --header x-match=… say the same thing twice", param_hint="--match")
    return {"x-match": match.value, **(headers or {})}


def _route(source: str, destination: str) -> str:
    return f"{name_of(source).text} → {name_of(destination).text}"


def _messages(number: int) -> str:
    return "1 message" if number == 1 else f"{count(number)} messages"

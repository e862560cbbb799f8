"""Definitions as a document: what of a broker's topology and schedules is written to JSON, and how it is read back.

Pure. The fields are those of the records on the wire, so a policy that is added there is in the document too; what
belongs to one broker or one connection (serial numbers, exclusive queues, names the broker gave) is left out. Reading
refuses what is misspelt, missing or of a wrong type with the path to it; what the values mean is the broker's to judge.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any, Final, NamedTuple

import msgspec

from posthouse.queue_policies import unrouted_unless_said
from posthouse.transport.descriptions import BindingSpec, BreakerSpec, ExchangeSpec, QueueSpec, RetrySpec
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_definitions import Definitions
from posthouse.transport.messages_recurring import RecurringInfo
from posthouse.transport.names import encode_headers

FORMAT: Final = "posthouse-definitions"
VERSION: Final = 1
RESERVED_PREFIX: Final = "posthouse."

_LEFT_OUT: Final = frozenset({"serial", "owner", "exclusive"})
_RULE: Final = ("every_ms", "cron", "zone", "start_ms", "until_ms", "max_count", "misfire", "is_paused")


class Content(NamedTuple):
    """What a document says: the topology, and the schedules with headers and bodies."""

    definitions: Definitions
    schedules: list[RecurringInfo]


def _mirror(struct: type[msgspec.Struct], nested: dict[str, Any]) -> type[msgspec.Struct]:
    """A record of the wire as an object of JSON that refuses what it does not know."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(struct):
        if field.name in _LEFT_OUT:
            continue
        kind = nested.get(field.name, field.type)
        if field.default is msgspec.NODEFAULT:
            fields.append((field.name, kind))
        elif field.name == "unrouted":
            fields.append((field.name, kind, None))
        elif field.name in nested and field.default is not None:
            fields.append((field.name, kind, msgspec.field(default_factory=kind)))
        else:
            fields.append((field.name, kind, field.default))
    return msgspec.defstruct(f"{struct.__name__}InJson", fields, kw_only=True, forbid_unknown_fields=True)


_Retry: Any = _mirror(RetrySpec, {})
_Breaker: Any = _mirror(BreakerSpec, {})
_Exchange: Any = _mirror(ExchangeSpec, {"unrouted": str | None})
_Queue: Any = _mirror(QueueSpec, {"retry": _Retry, "breaker": _Breaker | None})
_Binding: Any = _mirror(BindingSpec, {})
_Schedule: Any = msgspec.defstruct(
    "ScheduleInJson",
    [
        ("key", str),
        ("exchange", str),
        ("routing_key", str, ""),
        ("headers", dict[str, Any] | None, None),
        ("body", str | None, None),
        ("body_base64", str | None, None),
        ("every_ms", int | None, None),
        ("cron", str | None, None),
        ("zone", str | None, None),
        ("start_ms", int | None, None),
        ("until_ms", int | None, None),
        ("max_count", int | None, None),
        ("misfire", str, "once"),
        ("is_paused", bool, False),
    ],
    kw_only=True,
    forbid_unknown_fields=True,
)
_Document: Any = msgspec.defstruct(
    "DocumentInJson",
    [
        ("format", str),
        ("version", int),
        ("exchanges", list[_Exchange], msgspec.field(default_factory=list)),
        ("queues", list[_Queue], msgspec.field(default_factory=list)),
        ("bindings", list[_Binding], msgspec.field(default_factory=list)),
        ("schedules", list[_Schedule], msgspec.field(default_factory=list)),
    ],
    kw_only=True,
    forbid_unknown_fields=True,
)


# ---- writing ----


def document_of(definitions: Definitions, schedules: list[RecurringInfo]) -> dict[str, Any]:
    """The document, sorted, so that two exports of the same broker are equal."""
    queues = [queue for queue in definitions.queues if not _is_passing(queue)]
    passing = {queue.name for queue in definitions.queues if _is_passing(queue)}
    exchanges = [exchange for exchange in definitions.exchanges if not exchange.name.startswith(RESERVED_PREFIX)]
    bindings = [one for one in definitions.bindings if one.to_exchange or one.destination not in passing]
    return {
        "format": FORMAT,
        "version": VERSION,
        "exchanges": [_fields(one) for one in sorted(exchanges, key=lambda one: one.name)],
        "queues": [_fields(one) for one in sorted(queues, key=lambda one: one.name)],
        "bindings": sorted((_fields(one) for one in bindings), key=_order_of_binding),
        "schedules": [_schedule(one) for one in sorted(schedules, key=lambda one: one.key)],
    }


def _is_passing(queue: QueueSpec) -> bool:
    """It goes with a connection, or bears a name that only a broker gives."""
    return queue.exclusive or queue.name.startswith(RESERVED_PREFIX)


def _order_of_binding(binding: dict[str, Any]) -> tuple[str, str, bool, str, str]:
    arguments = msgspec.json.encode(binding.get("arguments"), order="deterministic").decode()
    return (binding["source"], binding["destination"], binding["to_exchange"], binding["key"], arguments)


def _fields(spec: msgspec.Struct) -> dict[str, Any]:
    """Every field that says something; what is nil is left out."""
    said: dict[str, Any] = {}
    for name in spec.__struct_fields__:
        value = getattr(spec, name)
        if value is None or name in _LEFT_OUT:
            continue
        said[name] = _fields(value) if isinstance(value, msgspec.Struct) else _to_json(value)
    return said


def _schedule(info: RecurringInfo) -> dict[str, Any]:
    said: dict[str, Any] = {"key": info.key, "exchange": info.exchange, "routing_key": info.routing_key}
    if info.headers:
        said["headers"] = _to_json(info.headers)
    body = info.body or b""
    try:
        said["body"] = body.decode()
    except UnicodeDecodeError:
        said["body_base64"] = base64.b64encode(body).decode()
    return said | {name: getattr(info, name) for name in _RULE if getattr(info, name) is not None}


def _to_json(value: Any) -> Any:
    """A value of headers in terms of JSON, to come back as what it was: `$` marks what JSON has no word for."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, list | tuple):
        return [_to_json(inner) for inner in value]
    if isinstance(value, dict):
        inner = {name: _to_json(item) for name, item in value.items()}
        return {"$map": inner} if len(value) == 1 and next(iter(value)).startswith("$") else inner
    return value


# ---- reading ----


def content_of(document: object) -> Content:
    """What a document says. Raises InvalidArgument with the path to whatever cannot be read."""
    try:
        said = msgspec.convert(document, _Document)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidArgument(f"the definitions cannot be read: {error}") from None
    if said.format != FORMAT:
        raise InvalidArgument(f"the document says that it is of the format {said.format!r}, not {FORMAT!r}")
    if said.version != VERSION:
        raise InvalidArgument(f"the definitions are of version {said.version}; this posthouse reads version {VERSION}")
    definitions = Definitions(
        exchanges=tuple(_exchange(one) for one in said.exchanges),
        queues=tuple(_queue(one) for one in said.queues),
        bindings=tuple(_binding(one, place) for place, one in enumerate(said.bindings)),
    )
    return Content(definitions, [_info(one, place) for place, one in enumerate(said.schedules)])


def _own(said: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(said, name) for name in said.__struct_fields__}


def _exchange(said: Any) -> ExchangeSpec:
    """Where the policy for what no queue wants is left out, it is the one a client would ask for."""
    fields = _own(said)
    if fields["unrouted"] is None:
        fields["unrouted"] = unrouted_unless_said(said.alternate, auto_delete=said.auto_delete)
    return ExchangeSpec(**fields)


def _queue(said: Any) -> QueueSpec:
    fields = _own(said)
    fields["retry"] = RetrySpec(**_own(said.retry))
    fields["breaker"] = None if said.breaker is None else BreakerSpec(**_own(said.breaker))
    return QueueSpec(**fields)


def _binding(said: Any, place: int) -> BindingSpec:
    fields = _own(said)
    fields["arguments"] = _map_from_json(said.arguments, f"$.bindings[{place}].arguments")
    return BindingSpec(**fields)


def _info(said: Any, place: int) -> RecurringInfo:
    where = f"$.schedules[{place}]"
    if (said.body is None) == (said.body_base64 is None):
        raise InvalidArgument(f"the definitions cannot be read: say body or body_base64, one of them - at `{where}`")
    body = said.body.encode() if said.body is not None else _bytes(said.body_base64, where)
    headers = _map_from_json(said.headers, f"{where}.headers")
    encode_headers(headers)
    fields = {name: getattr(said, name) for name in ("key", "exchange", "routing_key", *_RULE)}
    return RecurringInfo(schedule_id=0, size=len(body), headers=headers or None, body=body, **fields)


def _map_from_json(value: dict[str, Any] | None, where: str) -> dict[str, Any] | None:
    return None if value is None else {name: _from_json(item, where) for name, item in value.items()}


def _from_json(value: Any, where: str) -> Any:
    if isinstance(value, list):
        return [_from_json(inner, where) for inner in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, inner),) = value.items()
        if name == "$map" and isinstance(inner, dict):
            return _map_from_json(inner, where)
        if name == "$bytes" and isinstance(inner, str):
            return _bytes(inner, where)
        if name == "$float" and inner in ("inf", "-inf", "nan"):
            return float(inner)
        if name.startswith("$"):
            raise InvalidArgument(f"the definitions cannot be read: {name!r} marks no value of ours - at `{where}`")
    return _map_from_json(value, where)


def _bytes(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument(f"the definitions cannot be read: a value is no base64 - at `{where}`") from None

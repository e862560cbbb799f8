"""Names, routing keys and headers: what may stand on the address of a message, and how it is checked.

Every value a user chose passes through here once, in the client before it is sent and in the broker before it
is used. What passes is encodable, bounded and printable where people will read it; what does not is refused
with InvalidArgument, which says what was wrong with which value and what is allowed. Nothing here knows which
names exist.
"""

from __future__ import annotations

import re
import reprlib
from typing import Any, Final

import msgspec

from posthouse.transport.errors import InvalidArgument
from posthouse.transport.limits import HEADERS_BYTES_MAX, HEADERS_DEPTH_MAX, NAME_BYTES_MAX
from posthouse.transport.messages import NIL

REGISTRY: Final = "registry"
"""The actor that knows what was declared."""

DEAD_LETTER: Final = "dead-letter"
"""The actor that keeps dead letters."""

MONITOR: Final = "monitor"
"""The actor that watches the others."""

WEB: Final = "web"
"""The child that answers HTTP."""

EVENTS: Final = "posthouse.events"
"""The exchange to which the broker publishes what happens in it."""

INTEGER_MIN: Final = -(1 << 63)
INTEGER_MAX: Final = (1 << 63) - 1

SHOWN_CHARACTERS_MAX: Final = 80
"""A value is quoted in a message no longer than this."""

_control_character = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_encode = msgspec.msgpack.Encoder().encode
_decode_headers = msgspec.msgpack.Decoder(dict[str, Any]).decode

_shortener = reprlib.Repr()
_shortener.maxstring = _shortener.maxother = SHOWN_CHARACTERS_MAX
_shortener.maxlong = 40
_shortener.maxlevel = 3


def shown(value: object) -> str:
    """The value as a person may read it in an error: its repr, shortened."""
    try:
        text = _shortener.repr(value)
    except ValueError:  # Python refuses to write out an integer of more than 4,300 digits
        return f"a value of type {_type_of(value)} too long to show"
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[: SHOWN_CHARACTERS_MAX - 1]}…"


def check_name(kind: str, name: object, *, may_be_empty: bool = False) -> str:
    """The name, if it may be one: 1 to 255 bytes of UTF-8 without control characters.

    `kind` is the word for the refusal ("queue", "exchange"). Control characters are refused because names are
    printed in logs and tables, where they could forge a line or move the cursor.
    """
    if type(name) is not str:
        raise InvalidArgument(f"a name of {_a(kind)} must be a string, not {shown(name)} ({_type_of(name)})")
    if not name:
        if may_be_empty:
            return name
        raise InvalidArgument(f"a name of {_a(kind)} must not be empty; 1 to {NAME_BYTES_MAX} bytes are allowed")
    _check_size(f"the {kind} name", name)
    found = _control_character.search(name)
    if found is not None:
        raise InvalidArgument(
            f"the {kind} name {shown(name)} has a control character (U+{ord(found[0]):04X} at position "
            f"{found.start()}); every other character is allowed"
        )
    return name


def check_routing_key(key: object) -> str:
    """The routing or binding key, if it may be one: 0 to 255 bytes of UTF-8, any characters, as in AMQP."""
    if type(key) is not str:
        raise InvalidArgument(f"a routing key must be a string, not {shown(key)} ({_type_of(key)})")
    _check_size("the routing key", key)
    return key


def check_headers(headers: object) -> dict[str, Any] | None:
    """The headers, if they may be headers: None, or a dict that `encode_headers` accepts."""
    encode_headers(headers)
    return headers  # type: ignore[return-value]  # encode_headers has just established the type


def encode_headers(headers: object) -> msgspec.Raw:
    """The headers as they travel: a MessagePack map, or nil for None.

    Names are strings of at most 255 bytes. Values are None, bool, int (64 bits, signed), float (infinities
    and NaN too), str, bytes, and lists and dicts of these, nested at most 8 deep; all together at most 64 KiB
    encoded. Subclasses are refused: they would come out at the other end as something else.
    """
    if headers is None:
        return NIL
    if type(headers) is not dict:
        raise InvalidArgument(f"headers must be a dict or None, not {shown(headers)} ({_type_of(headers)})")
    room = HEADERS_BYTES_MAX
    for name, value in headers.items():
        _check_header_name(name)
        room = _check_value(name, value, 0, room - 1)
    try:
        encoded = _encode(headers)
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"a header holds text that is not valid Unicode: {shown(error.object)}") from None
    if len(encoded) > HEADERS_BYTES_MAX:
        raise InvalidArgument(f"the headers have {len(encoded)} bytes, the limit is {HEADERS_BYTES_MAX}")
    return msgspec.Raw(encoded)


def decode_headers(raw: msgspec.Raw) -> dict[str, Any] | None:
    """Headers that came from a peer, checked as strictly as those of a caller.

    Raises InvalidArgument for bytes that are no map of strings to values too, so that one bad message is
    refused and its publisher goes on. Never recurses or allocates beyond what the size of `raw` allows.
    """
    if raw == NIL:
        return None
    if len(memoryview(raw)) > HEADERS_BYTES_MAX:
        raise InvalidArgument(f"the headers have {len(memoryview(raw))} bytes, the limit is {HEADERS_BYTES_MAX}")
    try:
        headers = _decode_headers(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"the headers are not a MessagePack map of strings to values: {error}") from None
    return check_headers(headers)


DELAY: Final = "delay"
"""The actor that is the delay scheduler."""


def actor_of_queue(name: str) -> str:
    """The actor that is this queue."""
    return f"queue:{name}"


def actor_of_exchange(name: str) -> str:
    """The actor that is this exchange."""
    return f"exchange:{name}"


def name_of_actor(actor_id: str) -> str:
    """The name of the queue or the exchange that is this actor; "" for other actors, and for the default exchange."""
    kind, _, name = actor_id.partition(":")
    return name if kind in ("queue", "exchange") else ""


def _check_header_name(name: object) -> None:
    if type(name) is not str:
        raise InvalidArgument(f"a header name must be a string, not {shown(name)} ({_type_of(name)})")
    _check_size("the header name", name)


def _check_value(header: str, value: object, depth: int, room: int) -> int:
    """What is left of `room`, the number of values allowed; a value takes a byte at least once it is encoded.

    Without that count a list that holds one list many times over, which is small in memory, could be walked
    for ever.
    """
    kind = type(value)
    if kind is str or kind is bool or kind is float or kind is bytes or value is None:
        return room
    if type(value) is int:
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise InvalidArgument(f"header {shown(header)} is {shown(value)}, which does not fit in 64 bits, signed")
        return room
    if type(value) is list:
        inner: list[object] = value
    elif type(value) is dict:
        for name in value:
            _check_header_name(name)
        inner = list(value.values())
    else:
        raise InvalidArgument(
            f"header {shown(header)} is {shown(value)} ({_type_of(value)}); allowed are None, bool, int, "
            "float, str, bytes, and lists and dicts of these"
        )
    if depth == HEADERS_DEPTH_MAX:
        raise InvalidArgument(f"header {shown(header)} is nested more than {HEADERS_DEPTH_MAX} deep")
    room -= len(inner)
    if room < 0:
        raise InvalidArgument(f"the headers are over the limit of {HEADERS_BYTES_MAX} bytes")
    for item in inner:
        room = _check_value(header, item, depth + 1, room)
    return room


def _check_size(what: str, text: str) -> None:
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise InvalidArgument(f"{what} {shown(text)} is not valid Unicode: it has a lone surrogate") from None
    if size > NAME_BYTES_MAX:
        raise InvalidArgument(f"{what} {shown(text)} has {size} bytes, the limit is {NAME_BYTES_MAX}")


def _a(kind: str) -> str:
    return f"an {kind}" if kind[:1] in "aeiou" else f"a {kind}"


def _type_of(value: object) -> str:
    return type(value).__name__

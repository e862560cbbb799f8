"""The protocol's page says what the code does: every number, field, default, code and limit in it is compared."""

from __future__ import annotations

import enum
import re
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pytest

from posthouse.transport import errors, limits, links, wire
from posthouse.transport.descriptions import (
    BindingSpec,
    BreakerSpec,
    ConsumerInfo,
    ExchangeInfo,
    ExchangeSpec,
    Options,
    QueueInfo,
    QueueSpec,
    RetrySpec,
)
from posthouse.transport.errors import PosthouseError, Refused, Unavailable
from posthouse.transport.limits import Limits
from posthouse.transport.messages import Message
from posthouse.transport.messages_alerts import Alert, AlertList, AlertRule, AlertTarget, AlertTested, Silence
from posthouse.transport.messages_calls import ReplyCounts
from posthouse.transport.messages_dead import (
    Attempt,
    Cause,
    DeadLetterFilter,
    DeadLetterInfo,
    DeadLetterStoreInfo,
    Death,
    RedriveInfo,
)
from posthouse.transport.messages_definitions import Defined, Definitions
from posthouse.transport.messages_delay import DelayedInfo, DelayInfo
from posthouse.transport.messages_hold import HeldInfo, HoldInfo
from posthouse.transport.messages_looking import LookedAt
from posthouse.transport.messages_monitor import ActorReading, BrokerEvent, Machine, Overview, Point
from posthouse.transport.messages_recurring import RecurringInfo
from posthouse.transport.messages_sessions import ConnectionInfo, SessionInfo

PAGE: Final = (Path(__file__).parent.parent.parent / "docs" / "protocol.md").read_text()
ROWS: Final = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")
]
VALUES: Final = (
    Options, ExchangeSpec, QueueSpec, RetrySpec, BreakerSpec, BindingSpec, QueueInfo, ConsumerInfo, Attempt,
    Death, DeadLetterFilter, DeadLetterInfo, Cause, DeadLetterStoreInfo, RedriveInfo, DelayedInfo, DelayInfo,
    RecurringInfo, ReplyCounts, HeldInfo, HoldInfo, ExchangeInfo,
    ActorReading, Machine, BrokerEvent, Point, Overview, Definitions, Defined, SessionInfo, ConnectionInfo,
    Alert, Silence, AlertTarget, AlertRule, AlertTested, AlertList,
    LookedAt,
)  # fmt: skip


def described(fields: str) -> list[tuple[str, str]]:
    """Names and defaults as the page gives them."""
    return re.findall(r"`(\w+): [^`=]+?(?: = ([^`]+))?`", fields)


def declared(struct: type[msgspec.Struct]) -> list[tuple[str, str]]:
    """Names and defaults as the code has them."""
    return [
        (field.name, shown(field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()))
        for field in msgspec.structs.fields(struct)
    ]


def shown(default: Any) -> str:
    if default is msgspec.NODEFAULT:
        return ""
    if isinstance(default, enum.IntEnum):
        return str(int(default))
    if default is None or default == ():
        return "nil" if default is None else "[]"
    return msgspec.json.encode(default).decode()


@pytest.mark.parametrize("message", get_args(Message), ids=lambda message: message.__name__)
def test_every_message_has_a_row_with_its_number_fields_and_defaults(message: type[msgspec.Struct]) -> None:
    (row,) = [row for row in ROWS if row[0].isdecimal() and row[1] == f"`{message.__name__}`"]
    assert row[0] == str(message.__struct_config__.tag)
    assert described(row[3]) == declared(message)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_every_value_has_a_row_with_its_fields_and_defaults(value: type[msgspec.Struct]) -> None:
    (row,) = [row for row in ROWS if row[0] == f"`{value.__name__}`"]
    assert described(row[1]) == declared(value)


def test_every_code_that_travels_is_explained() -> None:
    section = PAGE.partition("## 11. Errors")[2].partition("## 12.")[0]
    listed = set(re.findall(r"`([a-z_]+)`", "".join(row for row in section.splitlines() if row.startswith("| `"))))
    travelling = {
        error.code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, PosthouseError) and issubclass(error, Refused | Unavailable)
    }
    assert travelling | {"protocol_violation", wire.UNKNOWN_SESSION} <= listed


def test_the_limits_are_the_numbers_of_the_code() -> None:
    numbers = {row[0]: row[1].replace(",", "") for row in ROWS if len(row) == 4}
    for name, value in msgspec.structs.asdict(Limits()).items():
        assert numbers[f"`{name}`"] == str(value)
    assert numbers["messages in a frame"] == str(wire.PIECES_MAX)
    assert numbers["messages in a batch"] == str(limits.BATCH_MESSAGES_MAX)
    assert numbers["body of a HELLO"] == str(wire.HELLO_BYTES_MAX)
    assert numbers["`client_name`"] == str(wire.CLIENT_NAME_BYTES_MAX)
    assert numbers["body of a RESET"] == str(wire.RESET_BYTES_MAX)
    assert numbers["ranges in an ACK or BYE"] == str(wire.RANGES_MAX)
    assert numbers["sessions served by one actor"] == str(links.SERVED_MAX)
    assert numbers["names, routing keys"] == str(limits.NAME_BYTES_MAX)
    assert numbers["headers of a batch"] == str(limits.HEADERS_BYTES_MAX)
    assert numbers["prefetch"] == str(limits.PREFETCH_MAX)


def test_the_kinds_and_flags_are_the_numbers_of_the_code() -> None:
    (row,) = [row for row in ROWS if row[0] == "`kind`"]
    assert row[2] == ", ".join(f"{kind.value} {kind.name}" for kind in wire.Kind)
    assert f"| {wire.FLAG_PONG} PONG |" in PAGE
    assert f"| {wire.FLAG_GAP} GAP |" in PAGE


def test_every_heading_is_in_the_list_of_contents() -> None:
    headings = re.findall(r"(?m)^## (\d+)\. (.+)$", PAGE)
    contents = re.findall(r"(?m)^(\d+)\. \[(.+)\]\(#(.+)\)$", PAGE)
    assert [(number, text) for number, text, _ in contents] == headings
    for number, text, anchor in contents:
        assert anchor == f"{number}-{re.sub(r'[^a-z0-9 -]', '', text.lower()).replace(' ', '-')}"

"""The vocabulary of definitions: a whole topology read, or laid down, in one step.

A part of `messages.py`, under the same rules: arrays that start with their number, fields are only ever appended.
"""

from __future__ import annotations

from typing import final

import msgspec

from posthouse.transport.descriptions import BindingSpec, ExchangeSpec, QueueSpec


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


class _Value(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A record inside a message; it has no number of its own."""


@final
class Definitions(_Value, frozen=True):
    """What is declared. The default exchange, which is always there, is not among it."""

    exchanges: tuple[ExchangeSpec, ...] = ()
    queues: tuple[QueueSpec, ...] = ()
    bindings: tuple[BindingSpec, ...] = ()


@final
class Defined(_Value, frozen=True):
    """What became of one definition. `place` counts from 0 within its `what`: exchange, queue or binding.

    `state`: created, existing, or refused with the `code` and `text` of the error.
    """

    what: str
    place: int
    state: str
    code: str = ""
    text: str = ""


@final
class DescribeTopology(_Message, frozen=True, tag=46):
    """The answer is a `Definitions`: every exchange, queue and binding as declared."""

    request: int


@final
class Define(_Message, frozen=True, tag=47):
    """Make all of these that are not there yet, or none when one is refused. `is_dry_run`: only say what would be.

    The answer is a list of `Defined`, one for each.
    """

    request: int
    definitions: Definitions
    is_dry_run: bool = False


DefinitionMessage = DescribeTopology | Define

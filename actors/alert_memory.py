"""What survives the monitor: alerts that fire, silences, and notices not delivered yet, as one small file.

Pure: bytes in, bytes out. JSON, so that a person can read it; `version` changes with its meaning. What cannot be read
is said, and alerts begin anew.
"""

from __future__ import annotations

from typing import Final, final

import msgspec

from posthouse.actors.alert_outbox import Notice
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_alerts import Alert, Silence

VERSION: Final = 1


@final
class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """`boot` is the life of the broker it is from; `restarts` how often each actor had been started again in it."""

    version: int = VERSION
    boot: str = ""
    last_notice: int = 0
    last_silence: int = 0
    firing: list[Alert] = []
    resolved: list[Alert] = []
    untold: list[Alert] = []
    silences: list[Silence] = []
    waiting: dict[str, list[Notice]] = {}
    restarts: dict[str, int] = {}


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Memory)


def encode(memory: Memory) -> bytes:
    """The file's content."""
    return _encoder.encode(memory)


def decode(data: bytes) -> Memory:
    """Raises InvalidArgument, which says why it cannot be read."""
    try:
        memory = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"the alerts' file is damaged: {error}") from error
    if memory.version != VERSION:
        raise InvalidArgument(f"the alerts' file has version {memory.version}; this is {VERSION}")
    return memory

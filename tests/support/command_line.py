"""Running a command in this process, with standard output as a pipe or as a terminal 80 columns wide.

The terminal only claims to be one: it draws nothing and knows no size but COLUMNS.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from typing import final

import pytest

from posthouse import client
from posthouse.cli import main
from tests.support.recording_broker import RecordingBroker


@final
@dataclass(frozen=True)
class Ran:
    """What a command did. `out` is decoded, `raw` is not."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()


@final
class _Stream(io.TextIOWrapper):
    def __init__(self, data: bytes = b"", *, is_terminal: bool = False) -> None:
        self.kept = io.BytesIO(data)
        super().__init__(self.kept, encoding="utf-8")
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def value(self) -> bytes:
        self.flush()
        return self.kept.getvalue()


@final
class CommandLine:
    """A shell of a kind. `connected` are the arguments of each connection that a command asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, broker: RecordingBroker) -> None:
        self.broker = broker
        self.connected: list[dict[str, object]] = []
        self._monkeypatch = monkeypatch
        for name in ("POSTHOUSE_DATA", "POSTHOUSE_ADDRESS", "POSTHOUSE_DEBUG", "NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setattr(client, "connect", self._connect)

    def _connect(self, address: str | None = None, **options: object) -> RecordingBroker:
        self.connected.append({"address": address, **options})
        return self.broker

    def __call__(
        self,
        *arguments: str,
        stdin: bytes = b"",
        is_terminal: bool = False,
        has_keyboard: bool = False,
    ) -> Ran:
        out, err = _Stream(is_terminal=is_terminal), _Stream()
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", _Stream(stdin, is_terminal=has_keyboard))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = main(arguments)
        return Ran(code, out.value, err.value.decode())

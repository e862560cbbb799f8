"""What a person filled in, read from a query or a form: numbers, moments, headers. Pure.

Raises InvalidArgument with a sentence that names the field and says what it takes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, final
from urllib.parse import parse_qsl

from posthouse.transport.errors import InvalidArgument
from posthouse.transport.names import shown

FIELD_CHARACTERS_MAX: Final = 1_000
FIELDS_MAX: Final = 100


@final
class Fields:
    """Texts by name; what is missing is empty. Of several of one name the last counts."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    @classmethod
    def of_form(cls, body: bytes) -> Fields:
        """A form as a browser sends it."""
        try:
            found = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
        except ValueError as error:
            raise InvalidArgument(f"the form cannot be read: {error}") from error
        return cls(dict(found))

    def raw(self, name: str) -> str:
        """As it was sent, however long: bodies."""
        return self._values.get(name, "")

    def text(self, name: str, default: str = "") -> str:
        """A short text."""
        value = self._values.get(name, default)
        if len(value) > FIELD_CHARACTERS_MAX:
            raise InvalidArgument(f"{name} has {len(value)} characters; at most {FIELD_CHARACTERS_MAX} are taken")
        return value

    def line(self, name: str) -> str | None:
        """A short text without what stands around it; None when nothing was said."""
        return self.text(name).strip() or None

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of `choices`; the first when nothing was said."""
        value = self.text(name) or choices[0]
        if value not in choices:
            raise InvalidArgument(f"{name} is {shown(value)}; it is one of {', '.join(filter(None, choices))}")
        return value

    def whole(self, name: str, default: int, lowest: int, highest: int) -> int:
        """A whole number."""
        text = self.text(name).strip()
        if not text:
            return default
        digits = text[1:] if text.startswith("-") else text
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and lowest <= int(text) <= highest):
            raise InvalidArgument(f"{name} is {shown(text)}; it is a whole number from {lowest} to {highest}")
        return int(text)

    def number(self, name: str) -> float | None:
        """A number, None when nothing was said."""
        text = self.text(name).strip()
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InvalidArgument(f"{name} is {shown(text)}; it is a number")
        return value

    def moment(self, name: str) -> datetime:
        """A moment as `datetime-local` sends it, in UTC."""
        text = self.text(name).strip()
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise InvalidArgument(f"{name} is {shown(text)}; it has the form 2026-01-04T09:30, in UTC") from None
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)

    def headers(self, name: str) -> dict[str, Any] | None:
        """Headers as JSON, or one `name=value` a line (`name:=value` for numbers and true)."""
        text = self.raw(name).strip()
        if not text:
            return None
        if not text.startswith("{"):
            return dict(_header(line.strip()) for line in text.splitlines() if line.strip())
        found = _of_json(name, text)
        assert isinstance(found, dict)
        return found


def _header(line: str) -> tuple[str, Any]:
    """The first `=` decides, as on the command line."""
    name, equals, value = line.partition("=")
    is_json = name.endswith(":")
    name = name.removesuffix(":").strip()
    if not equals or not name:
        raise InvalidArgument(
            f"{shown(line)} is no header; write name=text (carrier=UA) or name:=JSON (cancelled:=true)"
        )
    return name, _of_json(f"the value of {name}", value) if is_json else value.strip()


def _of_json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{name} is no JSON: {error}") from None

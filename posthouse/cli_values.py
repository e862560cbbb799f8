"""What people type on the command line, turned into values: headers, durations and moments.

Pure. What cannot be understood is refused as wrong usage, with an example of what can.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Final

import typer

from posthouse.breaker import Breaker
from posthouse.retry import Retry
from posthouse.transport.errors import InvalidArgument

HEADER_HELP: Final = "NAME=TEXT, or NAME:=JSON for a number, true, false, null, a list or a map. May be repeated."

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_duration = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h|d)?")


def parse_headers(items: list[str] | None) -> dict[str, Any] | None:
    """The headers of `NAME=TEXT` and `NAME:=JSON` items; None when there are none, so that none are sent."""
    if not items:
        return None
    headers: dict[str, Any] = {}
    for item in items:
        name, value = _parse_header(item)
        if name in headers:
            raise typer.BadParameter(f"the header {name!r} is given twice", param_hint="--header")
        headers[name] = value
    return headers


def _parse_header(item: str) -> tuple[str, Any]:
    # The first "=" decides, so that a name may hold ":" (but not end with it) and a value may hold anything.
    name, equals, value = item.partition("=")
    is_json = name.endswith(":")
    name = name[:-1] if is_json else name
    if not equals or not name:
        raise typer.BadParameter(
            f"{item!r} is no header; write NAME=TEXT (carrier=UA) or NAME:=JSON (cancelled:=true, hour:=7)",
            param_hint="--header",
        )
    if not is_json:
        return name, value
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(
            f"the value of {name!r} is not JSON ({error}); write {name}={value} if it is meant as text",
            param_hint="--header",
        ) from None


def parse_retry(text: str) -> Retry:
    """A retry policy of "off", or of parts as in "attempts=5,first=1s,factor=2,max=10m,kind=fixed,jitter=no"."""
    if text.strip() == "off":
        return Retry(kind="off")
    given: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name == "attempts" and value.isdecimal():
            given["max_attempts"] = int(value)
        elif name in ("first", "max") and value:
            given[f"{name}_delay_s"] = parse_duration_s(value)
        elif name == "factor" and re.fullmatch(r"\d+(\.\d*)?", value):
            given["factor"] = float(value)
        elif name == "jitter" and value in ("yes", "no"):
            given["jitter"] = value == "yes"
        elif name == "kind" and value:
            given["kind"] = value
        else:
            raise typer.BadParameter(
                f"{part.strip()!r} is no part of a retry policy; write off, or parts as in "
                "attempts=5,first=1s,factor=2,max=10m,kind=exponential,jitter=yes",
                param_hint="--retry",
            )
    try:
        return Retry(**given)
    except InvalidArgument as error:
        raise typer.BadParameter(str(error), param_hint="--retry") from None


def parse_breaker(text: str) -> Breaker:
    """An outage breaker of parts as in "window=20,share=0.8,probe=5s,max=1m"."""
    given: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name == "window" and value.isdecimal():
            given["window"] = int(value)
        elif name == "share" and re.fullmatch(r"\d*\.?\d+", value):
            given["failure_share"] = float(value)
        elif name in ("probe", "max") and value:
            given["probe_after_s" if name == "probe" else "max_probe_after_s"] = parse_duration_s(value)
        else:
            raise typer.BadParameter(
                f"{part.strip()!r} is no part of a breaker; write parts as in window=20,share=0.8,probe=5s,max=1m",
                param_hint="--breaker-policy",
            )
    try:
        return Breaker(**given)
    except InvalidArgument as error:
        raise typer.BadParameter(str(error), param_hint="--breaker-policy") from None


def parse_duration_s(text: str | float) -> float:
    """Seconds of "5", "1.5", "200ms", "5s", "2m", "1h" or "1d"."""
    found = _duration.fullmatch(str(text).strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no duration; write seconds (5, 0.5) or a unit: 200ms, 5s, 2m, 1h, 1d")
    return float(found[1]) * _UNITS_S[found[2] or "s"]


def parse_moment(text: str | datetime) -> datetime:
    """A moment in ISO 8601 with a zone: "2027-01-31T09:00:00Z", "2027-01-31 09:00+01:00"."""
    try:
        moment = datetime.fromisoformat(str(text).strip())
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise typer.BadParameter(f"{text!r} is no moment with a zone; write 2027-01-31T09:00:00Z or …T09:00:00+01:00")
    return moment

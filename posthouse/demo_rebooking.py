"""The handler of the demo that fails: it rebooks passengers, and its author thought that flights leave.

Pure. `rebook` stumbles over what a cancelled flight does not have; `rebook_repaired` is the same once that is known.
Which error a flight causes is said a second time in `error_of`, for the audit, from the flight and not from its row.
"""

from __future__ import annotations

from typing import Final, final

from posthouse.demo_flights import ABSENT, Flight

# Places in a body: the number, then the row of the file.
DEP_TIME: Final = 4
SCHED_DEP_TIME: Final = 5
TAIL: Final = 12
FLIGHT: Final = 11


@final
class NoAircraft(Exception):
    """No aircraft was assigned to that flight."""


def rebook(body: bytes) -> int:
    """From which minute of the day on seats are needed. Raises NoAircraft, and ValueError for a flight without a time
    of departure.
    """
    row = body.decode("ascii").split(",")
    if row[TAIL] == ABSENT:
        raise NoAircraft(f"flight {row[FLIGHT]} has no aircraft")
    return _minute(row[DEP_TIME])


def rebook_repaired(body: bytes) -> int:
    """The same for every flight: one that never left needs seats from the time it should have."""
    row = body.decode("ascii").split(",")
    return _minute(row[SCHED_DEP_TIME] if row[DEP_TIME] == ABSENT else row[DEP_TIME])


def error_of(flight: Flight) -> str | None:
    """The type of the error that `rebook` ends with, as the history of a dead letter names it; None for none."""
    if not flight.tail:
        return f"{NoAircraft.__module__}.{NoAircraft.__qualname__}"
    return ValueError.__name__ if flight.is_cancelled else None


def _minute(time_of_day: str) -> int:
    hours, minutes = divmod(int(time_of_day), 100)
    return hours * 60 + minutes

"""The fingerprint: equal causes share it, different ones do not."""

from __future__ import annotations

import pytest

from posthouse.actors.fingerprint import DIGITS, fingerprint, frames_of, normalised

TRACE = """Traceback (most recent call last):
  File "/srv/app/{v}/handlers.py", line {n}, in handle
    total = order["amount"]
  File "C:\\\\app\\\\orders.py", line 9, in __getitem__
KeyError: 'amount'
"""


def test_the_same_place_in_the_code_is_the_same_cause_whatever_the_line_and_the_values() -> None:
    one = fingerprint("KeyError", "'amount'", TRACE.format(v="v1", n=12))
    other = fingerprint("KeyError", "'price'", TRACE.format(v="v2", n=15))
    assert one == other
    assert len(one) == DIGITS
    assert frames_of(TRACE) == "orders.py:__getitem__" or "handlers.py:handle" in frames_of(TRACE.format(v=1, n=1))


def test_another_kind_of_error_or_another_place_is_another_cause() -> None:
    trace = TRACE.format(v="v1", n=12)
    assert fingerprint("ValueError", "", trace) != fingerprint("KeyError", "", trace)
    assert fingerprint("KeyError", "", trace) != fingerprint("KeyError", "", trace.replace("handle", "refund"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order 17 not found", "order 99 not found"),
        ("no flight 'UA1' today", "no flight 'LH400' today"),
        ("object at 0x7f00dead gone", "object at 0x7f11beef gone"),
        ("id 6f9619ff-8b86-d011-b42d-00c04fc964ff", "id 00112233-4455-6677-8899-aabbccddeeff"),
        ("waited  3.5\n s", "waited 9.25 s"),
    ],
)
def test_without_a_traceback_the_message_counts_but_for_what_differs(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert fingerprint("Error", one) == fingerprint("Error", other)
    assert fingerprint("Error", one) != fingerprint("Error", "something else")


def test_nothing_a_client_sends_makes_it_fail() -> None:
    assert len(fingerprint("\ud800", "\x00" * 10, 'File "')) == DIGITS

"""The error tree: stable codes, the way over the wire, and a docstring that draws what is there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pytest

from posthouse.transport import errors
from posthouse.transport.errors import (
    DiskFault,
    InvalidArgument,
    JournalCorrupt,
    PosthouseError,
    PublishError,
    Refused,
    Unavailable,
    UnknownQueue,
    from_wire,
)

TREE = [error for _, error in inspect.getmembers(errors, inspect.isclass) if issubclass(error, PosthouseError)]
TRAVELLERS = [error for error in TREE if issubclass(error, Refused | Unavailable)]


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def drawn() -> Iterator[tuple[str, str]]:
    """The pairs of child and parent that the module's docstring draws, by how far each name is indented."""
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^[ │├└─]*?(?=[A-Z])(?P<name>[A-Z]\w+)(?:\s|$)", line)
        if match is None or not line.startswith("    "):
            continue
        at, name = match.start("name"), match["name"]
        while above and above[-1][0] >= at:
            above.pop()
        if above:
            yield name, above[-1][1]
        above.append((at, name))


@pytest.mark.parametrize("error", TREE)
def test_every_error_has_a_code_of_its_own_that_is_its_name(error: type[PosthouseError]) -> None:
    assert error.code == snake_case(error.__name__)
    assert [other for other in TREE if other.code == error.code] == [error]
    assert error.__doc__


@pytest.mark.parametrize("error", TRAVELLERS)
def test_what_the_broker_sends_comes_back_as_the_same_class(error: type[Refused | Unavailable]) -> None:
    rebuilt = from_wire(error.code, "what, which, what to do")
    assert type(rebuilt) is error
    assert str(rebuilt) == "what, which, what to do"


def test_a_code_of_a_newer_broker_is_a_refusal_that_names_it() -> None:
    error = from_wire("too_modern", "text")
    assert type(error) is Refused
    assert str(error) == "too_modern: text"


@pytest.mark.parametrize("code", ["disk_fault", "protocol_violation", "publish_error", "posthouse_error"])
def test_errors_that_do_not_travel_are_not_rebuilt(code: str) -> None:
    assert type(from_wire(code, "text")) is Refused


def test_the_drawing_is_the_tree() -> None:
    classes = {(error.__name__, error.__mro__[1].__name__) for error in TREE if error is not PosthouseError}
    assert set(drawn()) == classes


def test_an_invalid_argument_is_a_value_error_too() -> None:
    assert issubclass(InvalidArgument, ValueError)


def test_a_publish_error_counts_what_was_refused_and_what_is_unknown() -> None:
    first = UnknownQueue("there is no queue 'x'")
    error = PublishError([(3, first), (5, first)], [7])
    assert (error.refused, error.unknown) == ([(3, first), (5, first)], [7])
    assert str(error) == (
        "2 messages were refused and the fate of 1 message is unknown; the first: there is no queue 'x'"
    )
    assert str(PublishError([], [7, 8])) == "the fate of 2 messages is unknown"
    assert str(PublishError([(1, first)], [])) == "1 message was refused; the first: there is no queue 'x'"


def test_a_corrupt_journal_lists_what_is_missing() -> None:
    error = JournalCorrupt("segment 3 is damaged", ((10, 20),))
    assert (str(error), error.missing) == ("segment 3 is damaged", ((10, 20),))
    assert JournalCorrupt("text").missing == ()
    assert isinstance(error, DiskFault)

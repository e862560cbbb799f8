"""Several requests in a row, written once for both clients: a generator that yields requests and is sent their answers.

The clients drive it, each in its way of waiting; an error that an answer brings is raised where the request was
yielded. Nothing here waits by itself.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from posthouse.requests import Ask, AskAsync, Request
from posthouse.transport.errors import PosthouseError

Result = TypeVar("Result")
Steps = Generator[Request[Any], Any, Result]


def walk(steps: Steps[Result], ask: Ask) -> Result:
    """Ask one after the other; returns what the generator returns."""
    try:
        request = next(steps)
        while True:
            try:
                answer = ask(request)
            except PosthouseError as error:
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as end:
        result: Result = end.value
        return result


async def walk_async(steps: Steps[Result], ask: AskAsync) -> Result:
    """The same; answers are awaited."""
    try:
        request = next(steps)
        while True:
            try:
                answer = await ask(request)
            except PosthouseError as error:
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as end:
        result: Result = end.value
        return result

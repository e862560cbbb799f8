"""What probes are told."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.transport.errors import BrokerNotRunning, OutcomeUnknown
from tests.support.web_client import OneAnswer, app_of, ask


def node(actor: str, state: str = "up", last_exit: str = "") -> dict[str, Any]:
    return {"id": actor, "state": state, "last_exit": last_exit}


def test_a_process_that_answers_is_alive_whatever_the_broker_does() -> None:
    client = OneAnswer(BrokerNotRunning("none"))
    answer = ask(app_of(client), "GET", "/health/live")
    assert (answer.status_code, answer.json()["live"]) == (200, True)
    assert client.asked == []


def test_a_broker_is_ready_when_every_actor_is_up() -> None:
    answer = ask(app_of(OneAnswer([node("registry"), node("queue:a")])), "GET", "/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": [], "actors": 2})


def test_an_actor_that_is_not_up_is_named_with_the_reason() -> None:
    tree = [node("registry"), node("queue:<b>", "quarantined", "exit code 20"), node("door", "starting")]
    answer = ask(app_of(OneAnswer(tree)), "GET", "/health/ready")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json() == {
        "ready": False,
        "reasons": [
            {"actor": "queue:<b>", "state": "quarantined", "reason": "exit code 20"},
            {"actor": "door", "state": "starting", "reason": "it is not up yet"},
        ],
    }


@pytest.mark.parametrize("error", [BrokerNotRunning("no broker"), OutcomeUnknown("no answer")])
def test_a_broker_that_does_not_answer_is_not_ready(error: Exception) -> None:
    answer = ask(app_of(OneAnswer(error)), "GET", "/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"][0]["state"] == "unreachable"
    assert str(error) in answer.json()["reasons"][0]["reason"]

"""The policies of a queue as a program writes them."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse import Breaker, requests
from posthouse.actors.declaration import check_queue
from posthouse.errors import InvalidArgument
from posthouse.queue_policies import queue_policies
from posthouse.retry import Retry
from posthouse.transport.descriptions import BreakerSpec
from posthouse.transport.messages import QueueSpec


def test_a_queue_without_policies_has_none_of_these() -> None:
    spec = QueueSpec(name="q", **queue_policies({}))
    assert (spec.priority, spec.expires_ms, spec.breaker) == (False, None, None)


def test_policies_travel_as_fields_of_the_queue() -> None:
    fields = queue_policies({"priority": True, "expires_s": 1.5, "breaker": Breaker(window=7)})
    spec = QueueSpec(name="q", **fields)
    assert (spec.priority, spec.expires_ms, spec.breaker) == (True, 1_500, BreakerSpec(window=7))
    check_queue(spec)


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": 1}, {"priority": None}, {"priority": 9}, {"priority": "yes"},
        {"expires_s": 0}, {"expires_s": -1}, {"expires_s": float("nan")}, {"expires_s": float("inf")},
        {"expires_s": 1e12}, {"expires_s": "30m"}, {"expires_s": True},
        {"breaker": True}, {"breaker": {"window": 5}}, {"breaker": BreakerSpec()},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_policy_is_refused_where_both_clients_make_the_request(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        requests.declare_queue(
            "q", wrong, durable=True, exclusive=False, auto_delete=False, single_active_consumer=False
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0}, {"max_attempts": -1}, {"max_attempts": 1.5}, {"max_attempts": True},
        {"first_delay_s": float("nan")}, {"first_delay_s": -1}, {"first_delay_s": 601.0}, {"max_delay_s": 1e30},
        {"factor": 0}, {"factor": float("inf")}, {"factor": float("nan")}, {"jitter": "x"}, {"kind": "random"},
    ],
    ids=str,
)  # fmt: skip
def test_a_retry_policy_that_is_none_is_refused_by_its_name(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(InvalidArgument, match=name):
        Retry(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"expires_ms": 0}, {"expires_ms": -1}, {"expires_ms": 1 << 60}, {"breaker": BreakerSpec(window=0)}],
    ids=str,
)
def test_the_broker_refuses_them_too_whoever_sends_them(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        check_queue(QueueSpec(name="q", **wrong))

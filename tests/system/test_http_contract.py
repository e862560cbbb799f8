"""The API keeps what its OpenAPI document says, whatever is sent to it: schemathesis, against a broker of its own.

Bounded by examples for each operation. Streams are left to `test_http.py`: they do not end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from posthouse.testing.broker import BrokerProcess
from posthouse.web.api import OPERATIONS, ROOT
from posthouse.web.openapi import document

EXAMPLES: Final = 5 if settings().max_examples <= 100 else 50

schema = schemathesis.openapi.from_dict(document([one for one in OPERATIONS if not one.is_response], ROOT))


@pytest.fixture(scope="module")
def http() -> Iterator[str]:
    """The URL of a broker that only this module talks to."""
    with tempfile.TemporaryDirectory(prefix="ph-") as path, BrokerProcess(Path(path), http="127.0.0.1:0") as process:
        yield process.http
        assert "Traceback" not in process.log


@schema.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
def test_every_answer_is_one_that_the_document_promises(case: schemathesis.Case[Any], http: str) -> None:
    answer = case.call(base_url=http + ROOT, timeout=90)
    assert answer.status_code < 500, answer.text
    case.validate_response(
        answer,
        checks=[
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
            negative_data_rejection,
        ],
    )

"""The API without a broker: how paths, queries and bodies are read, and what errors and answers look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, cast, final

import msgspec
import pytest

from posthouse.definitions import Imported, ImportRefused, ImportReport
from posthouse.transport import errors
from posthouse.transport.descriptions import ConsumerInfo, QueueInfo
from posthouse.transport.errors import PosthouseError, Refused, Unavailable
from posthouse.transport.messages_monitor import Overview
from posthouse.transport.messages_sessions import ConnectionInfo
from posthouse.web.api import OPERATIONS, ROOT
from posthouse.web.faults import status_of
from tests.support.web_client import SETTINGS, OneAnswer, app_of, ask, error_of

QUEUE: Final = QueueInfo(name="a/b", ready=3)


def asked(method: str, path: str, answer: Any = None, **more: Any) -> tuple[Any, OneAnswer]:
    client = OneAnswer(answer)
    return ask(app_of(client), method, f"{ROOT}{path}", **more), client


# ---- paths ----


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/queues/plain", "plain"),
        ("/queues/a%2Fb", "a/b"),
        ("/queues/a%20b%3Fc%23d%25", "a b?c#d%"),
        ("/queues/%E2%82%AC", "€"),
        ("/queues/%3Cscript%3E", "<script>"),
        ("/queues/messages", "messages"),
        ("/queues/%7Bqueue%7D", "{queue}"),
    ],
)
def test_a_name_in_a_path_may_hold_anything(path: str, name: str) -> None:
    answer, client = asked("GET", path, QUEUE)
    assert (answer.status_code, client.asked) == (200, [("queue_info", (name,), {})])


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", "/queues/%ff", (400, "invalid_argument")),
        ("GET", "/nowhere", (404, "not_found")),
        ("GET", "/queues/", (404, "not_found")),
        ("GET", "/queues/a/b", (404, "not_found")),
        ("GET", "/queues/a/messages/", (404, "not_found")),
        ("GET", "", (404, "not_found")),
        ("POST", "/queues", (405, "method_not_allowed")),
        ("PATCH", "/queues/q", (405, "method_not_allowed")),
        ("DELETE", "/delayed/status", (405, "method_not_allowed")),
        ("POST", "/openapi.json", (405, "method_not_allowed")),
    ],
)
def test_what_is_not_there_is_told_in_the_same_shape(method: str, path: str, error: tuple[int, str]) -> None:
    answer, client = asked(method, path)
    assert error_of(answer) == error
    assert client.asked == []
    if answer.status_code == 405:
        assert answer.headers["allow"]


def test_a_head_is_a_get_without_its_body() -> None:
    answer, _ = asked("HEAD", "/queues/q", QUEUE)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


# ---- queries and bodies ----


@pytest.mark.parametrize(
    "query",
    [
        "limit=x", "limit=", "limit=0", "limit=1001", "limit=1.5", "limit=1&limit=2", "offset=-1", "nonsense=1",
        "limit=99999999999999999999999999999999", "offset=99999999999999999999", "limit=NaN", "%00=1",
    ],
)  # fmt: skip
def test_an_absurd_query_is_refused(query: str) -> None:
    assert error_of(asked("GET", f"/queues?{query}", [QUEUE])[0]) == (400, "invalid_argument")


def test_a_query_where_there_is_none_is_refused() -> None:
    assert error_of(asked("GET", "/queues/q?x=1", QUEUE)[0]) == (400, "invalid_argument")


@pytest.mark.parametrize(
    ("content", "kind", "error"),
    [
        (b"{", "application/json", (400, "invalid_argument")),
        (b"[]", "application/json", (400, "invalid_argument")),
        (b'{"kind":"queer"}', "application/json", (400, "invalid_argument")),
        (b'{"durable":1}', "application/json", (400, "invalid_argument")),
        (b'{"nonsense":1}', "application/json", (400, "invalid_argument")),
        (b"\xff", "application/json", (400, "invalid_argument")),
        (b'{"kind":"\xff"}', "application/json", (400, "invalid_argument")),
        (b"[" * 100_000, "application/json", (400, "invalid_argument")),
        (b'{"hold_max_length":' + b"9" * 5_000 + b"}", "application/json", (400, "invalid_argument")),
        (b"{}", "application/xml", (415, "unsupported_media_type")),
        (b"{}", None, (415, "unsupported_media_type")),
    ],
)
def test_an_absurd_body_is_refused(content: bytes, kind: str | None, error: tuple[int, str]) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer, client = asked("PUT", "/exchanges/e", content=content, headers=headers)
    assert error_of(answer) == error
    assert client.asked == []


def test_a_body_where_there_is_none_is_refused() -> None:
    assert error_of(asked("POST", "/queues/q/purge", 0, json={"x": 1})[0]) == (400, "invalid_argument")
    assert asked("POST", "/queues/q/purge", 0, json={})[0].json() == {"removed": 0}


def test_a_listing_is_given_in_parts() -> None:
    found = [ConnectionInfo(client_id=number, client=f"c{number}", via="ipc") for number in range(250)]
    assert len(asked("GET", "/connections", found)[0].json()["items"]) == 100
    part = asked("GET", "/connections?limit=3&offset=248", found)[0].json()
    assert ([one["client"] for one in part["items"]], part["total"]) == (["c248", "c249"], 250)
    named = asked("GET", "/connections?client=C24", found)[0].json()
    assert named["total"] == 11


@final
class ManyQueues:
    """A broker of 250 queues that notes which of them are asked; every tenth is quarantined."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @property
    def admin(self) -> ManyQueues:
        return self

    async def broker(self) -> ManyQueues:
        return self

    async def queue_names(self) -> list[str]:
        return [f"q{number:03}" for number in range(250)]

    async def queues(self, names: list[str]) -> list[QueueInfo]:
        self.asked += names
        return [QueueInfo(name=name, state="quarantined" if name.endswith("0") else "up") for name in names]

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("query", "names", "total", "asked_count"),
    [
        ("limit=2", ["q000", "q001"], 250, 2),
        ("limit=3&offset=248", ["q248", "q249"], 250, 2),
        ("name=Q24&limit=1", ["q240"], 10, 1),
        ("name=nothing", [], 0, 0),
        ("state=quarantined&limit=2", ["q000", "q010"], 25, 250),
    ],
)
def test_of_many_queues_only_those_that_are_shown_are_asked(
    query: str, names: list[str], total: int, asked_count: int
) -> None:
    broker = ManyQueues()
    found = ask(app_of(cast("OneAnswer", broker)), "GET", f"/api/v1/queues?{query}").json()
    assert ([one["name"] for one in found["items"]], found["total"], len(broker.asked)) == (names, total, asked_count)


def test_a_listing_may_be_narrowed() -> None:
    found = [
        ConsumerInfo(queue=queue, consumer=1, client=client, prefetch=1, unacked=0, auto_ack=False, is_active=True)
        for queue, client in (("a", "shop"), ("a", "bill"))
    ]
    answer, client_asked = asked("GET", "/consumers?queue=a&client=SHO", found)
    assert [(one["queue"], one["client"]) for one in answer.json()["items"]] == [("a", "shop")]
    assert client_asked.asked == [("consumers", ("a",), {})]


# ---- errors ----

EVERY_ERROR = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Refused | Unavailable)
]


@pytest.mark.parametrize("kind", EVERY_ERROR, ids=lambda kind: kind.__name__)
def test_every_error_of_the_broker_has_a_status_a_code_and_a_text(kind: type[PosthouseError]) -> None:
    answer, _ = asked("GET", "/queues/q", kind("<b>no</b>"))
    told = answer.json()["error"]
    assert (told["code"], answer.headers["content-type"]) == (kind.code, "application/json")
    assert told["text"].startswith("<b>no</b>")
    assert 400 <= answer.status_code < 500 if issubclass(kind, Refused) else answer.status_code == 503


def test_what_is_unknown_is_never_told_as_no() -> None:
    told = asked("POST", "/queues/q/purge", errors.OutcomeUnknown("no answer within 10 s"))[0].json()["error"]
    assert told["outcome"] == "unknown"
    assert "look before you repeat it" in told["text"]
    answer, _ = asked("POST", "/queues/q/purge", errors.ActorDown("it restarts"))
    assert answer.json()["error"]["outcome"] == "not_done"
    assert answer.headers["retry-after"] == "1"
    assert "outcome" not in asked("POST", "/queues/q/purge", errors.UnknownQueue("none"))[0].json()["error"]


def test_a_bug_is_told_without_its_insides() -> None:
    answer, _ = asked("GET", "/queues/q", RuntimeError("secret"))
    assert error_of(answer) == (500, "bug")
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_answer_of_another_shape_is_a_bug_and_not_sent() -> None:
    assert error_of(asked("GET", "/queues/q", {"name": 7})[0]) == (500, "bug")


def test_the_status_of_what_no_table_names_is_that_of_its_kind() -> None:
    assert status_of(errors.DiskFull("full")) == 500


# ---- the document ----


def document() -> dict[str, Any]:
    found: dict[str, Any] = asked("GET", "/openapi.json")[0].json()
    return found


def test_the_document_has_every_operation_once() -> None:
    said = [
        (path, method, one["operationId"]) for path, ways in document()["paths"].items() for method, one in ways.items()
    ]
    assert sorted(said) == sorted((one.path, one.method.lower(), one.name) for one in OPERATIONS)
    assert len({name for _, _, name in said}) == len(OPERATIONS)


def test_every_reference_in_the_document_leads_somewhere() -> None:
    whole = document()
    text = msgspec.json.encode(whole).decode()
    names = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(whole["components"]["schemas"])
    assert names


def test_every_operation_says_what_it_is_for() -> None:
    for one in OPERATIONS:
        assert one.summary.endswith("."), one.name
        assert "\n" not in one.summary, one.name


# ---- what others built, as the API shows it ----


def test_an_import_that_is_refused_says_what_stands_in_the_way() -> None:
    stands = Imported(
        what="queue", name="q", state="refused", code="precondition_failed", text="max_length is 1, not 2"
    )
    error = ImportRefused(ImportReport(is_dry_run=False, definitions=[stands]))
    answer, client = asked("POST", "/definitions", error, json={"posthouse": "definitions"})
    assert error_of(answer) == (409, "import_refused")
    assert [one["name"] for one in answer.json()["error"]["fields"]["refused"]] == ["q"]
    assert client.asked == [("load", ({"posthouse": "definitions"},), {"dry_run": False})]


def test_figures_are_exposed_for_prometheus() -> None:
    answer = ask(app_of(OneAnswer(Overview(at_ms=1_000, version="1.2.3"))), "GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "1.2.3" in answer.text
    assert error_of(ask(app_of(OneAnswer(errors.ActorDown("it restarts"))), "GET", "/metrics")) == (503, "actor_down")


@pytest.mark.parametrize("number", ["x", "-1", "9" * 30, "1.0"])
def test_a_silence_has_a_number(number: str) -> None:
    assert error_of(asked("DELETE", f"/alerts/silences/{number}")[0]) == (400, "invalid_argument")


def test_a_message_that_left_no_trace_has_no_biography(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    settings = msgspec.structs.replace(SETTINGS, data=str(tmp_path))
    answer = ask(app_of(OneAnswer(None), settings), "GET", f"{ROOT}/messages/a%2Fb/why")
    assert error_of(answer) == (404, "unknown_message")

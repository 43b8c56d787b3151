"""The OpenAPI document and what the server really answers are the same."""

import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from audit.clock import database_now
from customers import enrolment, signing
from imports import checking, intake, retention
from imports.api.codes import CODES
from imports.models import ImportBatch, ImportJob
from tests.imports.api.contract import Contract
from tests.imports.api.wire import JSON, Answer, Signer, send
from tests.imports.mappings import field, mapping, publish
from tests.imports.mishaps import retry_all
from tests.imports.pipeline import (
    METADATA,
    Caller,
    acting_as_command,
    bad_record,
    body_of,
    enrol,
    record,
    work,
)
from tests.imports.undos import undo_all
from tests.live import LiveServer, granian_server

pytestmark = pytest.mark.django_db(transaction=True)

NDJSON = "application/vnd.bigcorp.v1+ndjson"
CSV_TARGET = "?source=crm&version=1.0.0&timestamp=2024-03-15T00:00:00Z&type=order"
NOBODY = "/api/v1/imports/00000000-0000-4000-8000-000000000000"
EXPORT, ERASE = "/api/v1/records/export", "/api/v1/records/erase"
BULK, VALIDATE, LOOKUP = "/api/v1/imports/bulk", "/api/v1/imports/validate", "/api/v1/records/lookup"


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[LiveServer]:
    """The whole application, as callers meet it."""
    with granian_server() as server:
        yield server


@pytest.fixture(scope="module")
def document(server: LiveServer) -> dict[str, Any]:
    answer = send(server, "GET", "/api/schema")
    assert answer.status == 200
    return dict(yaml.safe_load(answer.body))


@pytest.fixture(scope="module")
def contract(document: dict[str, Any]) -> Contract:
    return Contract(document)


class Program:
    """A caller's program: each answer it gets is held against the contract."""

    def __init__(self, server: LiveServer, caller: Caller, contract: Contract) -> None:
        self.signer = Signer(server, caller.key.key_id, caller.key.secret)
        self.contract = contract

    def get(self, target: str, **headers: str) -> Answer:
        return self.call("GET", target, b"", None, **headers)

    def post(self, target: str, body: bytes = b"", content_type: str | None = None, **headers: str) -> Answer:
        return self.call("POST", target, body, content_type, **headers)

    def call(
        self, method: str, target: str, body: bytes = b"", content_type: str | None = None, **headers: str
    ) -> Answer:
        spelled = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.signer.call(method, target, body, content_type, spelled)
        assert answer.headers["x-request-id"]
        return self.contract.check(answer, method, target)

    def push(self, sent: list[Any], **headers: str) -> str:
        answer = self.post(BULK, body_of(sent), **headers)
        assert answer.status == 202, answer.body
        return str(answer.json["links"]["status"])


@pytest.fixture
def owner() -> Caller:
    return enrol("Owner")


@pytest.fixture
def program(server: LiveServer, owner: Caller, contract: Contract) -> Program:
    return Program(server, owner, contract)


@pytest.fixture
def stranger(server: LiveServer, contract: Contract) -> Program:
    return Program(server, enrol("Stranger"), contract)


@pytest.fixture(scope="module", autouse=True)
def every_success_was_seen(request: pytest.FixtureRequest, contract: Contract) -> Iterator[None]:
    yield
    ran = {item.name for item in request.session.items if item.path == request.path}
    if {name for name in dir(request.module) if name.startswith("test_")} <= {name.partition("[")[0] for name in ran}:
        assert contract.unseen() == set(), "no test above got these answers"


def test_the_document_is_valid_openapi_3_1_without_a_warning(
    document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn")
    assert "openapi: 3.1" in capsys.readouterr().out
    assert document["openapi"].startswith("3.1")


def test_every_operation_names_its_refusals_and_its_signature(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            if not path.startswith("/api/v1/auth/"):
                assert {"401", "403", "429", "503"} <= set(operation["responses"]), path
                assert operation["security"], path


def test_the_document_s_pages_need_no_signature() -> None:
    client = Client()
    for target in ("/api/docs", "/api/docs/reference", "/api/schema", "/api/docs/errors"):
        assert client.get(target, headers={"Accept": "*/*"}).status_code == 200


def test_a_pushed_job_is_accepted_and_followed_to_its_end(program: Program) -> None:
    answer = program.post(BULK, body_of([record("A"), bad_record("B")]))
    assert answer.status == 202
    assert answer.headers["location"] == answer.json["links"]["status"]
    assert answer.json["progress"] == {"total": 2, "processed": 0, "failed": 0}
    assert program.get(answer.headers["location"]).json["status"] == "pending"
    work()
    status = program.get(answer.headers["location"]).json
    assert (status["status"], status["progress"]) == ("completed", {"total": 2, "processed": 2, "failed": 1})
    assert [(error["record"], error["error"]) for error in status["errors"]] == [
        ("B", checking.CODES["custom_field_not_a_string"])
    ]


def test_every_body_that_the_contract_names_is_taken(program: Program) -> None:
    whole = body_of([record("A")])
    lines = b'{"metadata":' + json.dumps(METADATA).encode() + b'}\n{"id":"A","type":"order","attributes":{}}\n'
    for target, body, content_type, headers in (
        (BULK, whole, JSON, {}),
        (BULK, whole, f"{JSON}; charset=utf-8", {}),
        (BULK, gzip.compress(whole), JSON, {"Content_Encoding": "gzip"}),
        (BULK, lines, NDJSON, {}),
        (BULK + CSV_TARGET, b"id,name\nA,Li\n", "text/csv", {}),
    ):
        assert program.post(target, body, content_type, **headers).status == 202
        work()
    assert {job.failed for job in ImportJob.objects.all()} == {0}


def test_a_repeated_push_gives_the_same_job(program: Program) -> None:
    first = program.push([record("A")], Idempotency_Key='"k"')
    assert program.push([record("A")], Idempotency_Key="k") == first
    refused = program.post(BULK, body_of([record("B")]), Idempotency_Key="k")
    assert (refused.status, refused.code) == (422, "idempotency_key_reused")


def test_imports_are_listed_in_pages(program: Program, stranger: Program) -> None:
    program.push([record("A")])
    second = program.push([record("A")])
    page = program.get("/api/v1/imports?limit=1")
    assert [item["links"]["status"] for item in page.json["imports"]] == [second]
    following = program.get(f"/api/v1/imports?limit=1&after={page.json['next']}")
    assert (len(following.json["imports"]), following.json["next"]) == (1, None)
    assert stranger.get("/api/v1/imports").json == {"imports": [], "next": None}


def test_a_list_s_parameters_are_checked(program: Program) -> None:
    for query in ("limit=0", "limit=51", "limit=00500", "limit=-1", "limit=x", "limit=", "status=done", "after=x"):
        refused = program.get(f"/api/v1/imports?{query}")
        assert (refused.status, refused.code) == (422, "invalid_parameter"), query


def test_an_import_can_be_stopped_once(program: Program, stranger: Program) -> None:
    target = program.push([record("A")])
    assert stranger.post(f"{target}/cancel").status == 404
    answer = program.post(f"{target}/cancel")
    assert (answer.status, answer.json["status"], answer.json["statusReason"]) == (202, "failed", "cancelled")
    refused = program.post(f"{target}/cancel")
    assert (refused.status, refused.code) == (409, "wrong_state")


def test_an_import_comes_in_parts(program: Program, stranger: Program) -> None:
    opened = program.post("/api/v1/imports", json.dumps({"metadata": METADATA}).encode())
    assert (opened.status, opened.json["statusReason"]) == (201, "open")
    target = opened.json["links"]["status"]
    part = json.dumps({"records": [record("A")]}).encode()
    assert [program.call("PUT", f"{target}/parts/1", part).status for _ in range(2)] == [201, 200]
    assert stranger.call("PUT", f"{target}/parts/1", part).status == 404
    assert program.call("PUT", f"{target}/parts/1", part + b" ").code == "part_conflict"
    assert [line["part"] for line in program.get(f"{target}/parts").json["parts"]] == [1]
    assert program.post(f"{target}/close", b'{"parts":2}').code == "import_incomplete"
    for beyond in (b'{"parts":1000000000}', b'{"records":' + b"9" * 30 + b"}"):
        assert program.post(f"{target}/close", beyond).code == "invalid_body"
    assert program.post(f"{target}/close").status == 202
    assert program.call("PUT", f"{target}/parts/2", part).code == "wrong_state"


def test_failed_records_are_mended_and_tried_again(program: Program, stranger: Program) -> None:
    job = program.push([bad_record("A"), bad_record("B"), bad_record("C")])
    work()
    page = program.get("/api/v1/failed-records?limit=2").json
    assert program.get(f"/api/v1/failed-records?after={page['next']}").json["next"] is None
    first, second = (line["links"] for line in page["failedRecords"])
    assert program.get(first["self"]).json["data"] == bad_record("C")
    edit = json.dumps({"record": record("C"), "attempt": 1}).encode()
    assert program.post(first["edit"], edit).status == 202
    assert program.post(first["edit"], edit).code == "attempt_passed"
    assert program.post(second["discard"], b'{"reason":"test"}').status == 200
    assert program.post(second["retry"]).status == 202
    assert program.post(second["retry"]).code == "wrong_state"
    assert program.post("/api/v1/redrives", b'{"filter":{"code":"\\u0000"}}').code == "invalid_body"
    preview = program.post("/api/v1/redrives", b'{"preview":true}')
    assert (preview.status, preview.json["count"]) == (200, 1)
    steered = program.post("/api/v1/redrives", b'{"perSecond":5}').json["links"]
    for move in ("pause", "resume", "cancel"):
        assert program.post(steered[move]).status == 200
    assert program.post(steered["cancel"]).code == "wrong_state"
    assert program.get(steered["self"]).json["state"] == "cancelled"
    assert program.post(f"{job}/retry").status == 202
    for target in (first["self"], steered["self"]):
        assert stranger.get(target).status == 404
    retry_all()
    assert program.get(job).json["outcomes"]["created"] == 1


def test_an_import_is_undone(program: Program, stranger: Program) -> None:
    job = program.push([record("A"), record("B"), record("C"), bad_record("D")])
    assert program.post(f"{job}/undo").code == "wrong_state"
    work()
    later = program.push([record("B", attributes={}), record("C")])
    work()
    assert program.get(f"{job}/undo").code == "not_found"
    assert program.get(f"{job}/undo/kept").code == "not_found"
    because = {"changed": 1, "confirmed": 1}
    plan = program.post(f"{job}/undo", b'{"preview":true}')
    assert (plan.status, plan.json) == (
        200,
        {"remove": 1, "restore": 0, "keep": 2, "gone": 0, "discard": 1, "keptBecause": because},
    )
    assert program.post(f"{job}/undo", b'{"dryRun":true}').code == "invalid_body"
    for target in (f"{job}/undo", f"{job}/undo/kept"):
        assert stranger.get(target).code == "not_found"
    assert stranger.post(f"{job}/undo").code == "not_found"
    answer = program.post(f"{job}/undo")
    assert (answer.status, answer.json["state"], answer.headers["location"]) == (202, "running", f"{job}/undo")
    assert program.get(job).json["undone"] is False
    undo_all()
    state = program.get(f"{job}/undo").json
    assert program.post(f"{job}/undo").json == state
    assert state["counts"] == {
        "total": 4, "done": 4, "removed": 1, "restored": 0, "kept": 2, "gone": 0, "discarded": 1,
    }  # fmt: skip
    assert state["keptBecause"] == because
    lines = [json.loads(line) for line in program.get(f"{job}/undo/kept").body.splitlines()]
    later_id = later.rpartition("/")[2]
    assert lines == [
        {"index": 1, "record": "B", "type": "customer", "reason": "changed", "jobId": later_id},
        {"index": 2, "record": "C", "type": "customer", "reason": "confirmed", "jobId": later_id},
    ]
    assert program.get(job).json["undone"] is True
    assert [item["undone"] for item in program.get("/api/v1/imports").json["imports"]] == [False, True]
    (failed,) = program.get("/api/v1/failed-records").json["failedRecords"]
    assert (failed["state"], failed["discardReason"]) == ("discarded", "undone")
    for move in ("retry", "edit", "discard"):
        body = {"edit": json.dumps({"record": record("D"), "attempt": 1}).encode(), "discard": b'{"reason":"test"}'}
        assert program.post(failed["links"][move], body.get(move, b"")).code == "wrong_state"
    assert program.post(f"{job}/retry").code == "wrong_state"
    assert program.post("/api/v1/redrives", b'{"filter":{"state":"discarded"},"preview":true}').json["count"] == 0


def test_what_a_retention_has_removed_cannot_be_undone(program: Program) -> None:
    job = program.push([record("A")])
    work()
    assert program.post(f"{job}/undo").status == 202
    undo_all()
    ImportBatch.objects.update(payload=None)
    refused = program.get(f"{job}/undo/kept")
    assert (refused.status, refused.code) == (410, "results_expired")
    other = program.push([record("A")])
    work()
    ImportBatch.objects.update(payload=None)
    for body in (b"", b'{"preview":true}'):
        refused = program.post(f"{other}/undo", body)
        assert (refused.status, refused.code) == (410, "results_expired")


def test_results_are_lines_or_rows(program: Program, stranger: Program) -> None:
    target = program.push([record("A"), bad_record("B"), b"null", record("A")])
    assert program.get(f"{target}/results/unprocessed").code == "wrong_state"
    work()
    for selection, count in (("succeeded", 2), ("failed", 2), ("unprocessed", 0)):
        lines = program.get(f"{target}/results/{selection}")
        assert len(lines.body.splitlines()) == count
        rows = program.get(f"{target}/results/{selection}", Accept="text/csv")
        assert len(rows.body.splitlines()) == 1 + count
        assert rows.headers["content-type"] == "text/csv; charset=utf-8"
        assert stranger.get(f"{target}/results/{selection}").status == 404


def test_the_quality_of_what_came_is_told(program: Program, stranger: Program, owner: Caller) -> None:
    publish(owner, mapping(field("attributes.name"), field("attributes.city"), unmapped="drop"))
    target = program.push([record("A"), bad_record("B"), record("B", "order"), b"null"])
    assert program.get(f"{target}/quality").code == "wrong_state"
    assert program.get("/api/v1/quality").json == {"type": None, "score": None, "trend": None, "jobs": [], "fields": []}
    work()
    found = program.get(program.get(target).json["links"]["quality"]).json
    assert (found["received"], found["dimensions"]["keyCompleteness"], found["score"]) == (4, 0.75, 0.25)
    assert set(found["byType"]) == {"customer", "order", "unknown"}
    assert [line["completeness"] for line in found["fields"]] == [1.0, 0.0]
    assert stranger.get(f"{target}/quality").status == 404
    history = program.get("/api/v1/quality?type=customer&limit=1").json
    assert [line["target"] for line in history["fields"]] == ["attributes.name", "attributes.city"]
    assert stranger.get("/api/v1/quality").json["jobs"] == []
    for query in ("type=thing", "type=", "type=unknown", "limit=0", "limit=51", "limit=x"):
        refused = program.get(f"/api/v1/quality?{query}")
        assert (refused.status, refused.code) == (422, "invalid_parameter"), query
    dry_run = program.post(VALIDATE, body_of([record("A"), bad_record("B")])).json
    assert dry_run["quality"]["dimensions"]["typeValidity"] == 0.5


def test_a_body_is_validated_at_once_or_by_a_dry_run(program: Program) -> None:
    verdict = program.post(VALIDATE, body_of([record("A"), bad_record("B")]))
    assert (verdict.status, verdict.json["valid"], verdict.json["failed"]) == (200, False, 1)
    many = b",".join([b"0"] * 20_001)
    answer = program.post(VALIDATE, body_of([many]))
    assert answer.status == 202
    work()
    status = program.get(answer.headers["location"]).json
    assert (status["kind"], status["would"]) == ("dryRun", {"create": 0, "update": 0, "unchanged": 0})
    assert status["errorsTruncated"]


def test_a_verdict_tells_values_that_would_change(
    program: Program, server: LiveServer, owner: Caller, contract: Contract
) -> None:
    program.push([record("A", attributes={"a": 1.50, "b": None, "c": [1]})])
    work()
    sent = body_of([record("A", attributes={"a": 1.5, "c": {"d": True}}), record("B"), bad_record("C")])
    told = program.post(f"{VALIDATE}?changes=true", sent)
    assert [line["outcome"] for line in told.json["changes"]] == ["updated", "created"]
    assert program.post(f"{VALIDATE}?changes=yes", sent).code == "invalid_parameter"
    assert "changes" not in program.post(f"{VALIDATE}?changes=false", sent).json
    with acting_as_command():
        writer = Caller(owner.customer, enrolment.issue_key(owner.customer, scopes=["imports:write", "imports:read"]))
    blind = Program(server, writer, contract)
    assert blind.post(VALIDATE, sent).status == 200
    assert blind.post(f"{VALIDATE}?changes=true", sent).code == "scope_missing"


def dry_run(program: Program, sent: list[Any]) -> Answer:
    """The status of a finished dry run, opened for parts."""
    opening = json.dumps({"metadata": METADATA, "dryRun": True}).encode()
    target = program.post("/api/v1/imports", opening).json["links"]["status"]
    assert program.call("PUT", f"{target}/parts/1", json.dumps({"records": sent}).encode()).status == 201
    assert program.post(f"{target}/close").status == 202
    work()
    return program.get(target)


def test_a_dry_run_is_looked_at_and_committed(program: Program, stranger: Program) -> None:
    program.push([record("A", attributes={"n": 1})])
    work()
    checked = dry_run(program, [record("A", attributes={"n": 2}), record("B"), bad_record("C")]).json
    changes, commit = checked["links"]["changes"], checked["links"]["commit"]
    lines = [json.loads(line) for line in program.get(changes).body.splitlines()]
    assert [line["changes"][0]["pointer"] for line in lines] == ["/attributes/n", ""]
    rows = program.get(changes, Accept="text/csv")
    assert len(rows.body.splitlines()) == 3
    assert rows.headers["content-type"] == "text/csv; charset=utf-8"
    digest = json.dumps({"digest": checked["digest"]}).encode()
    for method, target in (("GET", changes), ("POST", commit)):
        assert stranger.call(method, target, digest if method == "POST" else b"").status == 404
    assert program.post(commit, json.dumps({"digest": "A" * 43}).encode()).code == "digest_differs"
    for malformed in (b"{}", b'{"digest":"x"}', b'{"digest":"' + b"A" * 43 + b'\\n"}', b'{"digest":1}'):
        assert program.post(commit, malformed).code == "invalid_body"
    answer = program.post(commit, digest)
    assert (answer.status, answer.headers["location"]) == (202, answer.json["links"]["status"])
    assert answer.headers["ratelimit-policy"].startswith('"bulk"')
    work()
    assert program.post(commit, digest).json == answer.json
    job = program.get(answer.headers["location"]).json
    assert (job["dryRun"], job["outcomes"]["updated"], job["outcomes"]["created"]) == (checked["jobId"], 1, 1)
    assert program.get(checked["links"]["status"]).json["committedAs"] == answer.json["jobId"]
    assert program.get(changes).body == b""
    for target in (job["links"]["status"] + "/commit", job["links"]["status"] + "/results/changes"):
        refused = program.post(target, digest) if target.endswith("commit") else program.get(target)
        assert (refused.status, refused.code) == (409, "wrong_state")


def test_a_secret_is_taken_for_no_request_id(program: Program) -> None:
    verdict = program.post(VALIDATE, body_of([record("A")]), X_Request_ID="lsk_" + "A" * 43)
    assert verdict.status == 200
    assert not verdict.headers["x-request-id"].startswith("lsk_")
    own = program.post(VALIDATE, body_of([record("A")]), X_Request_ID="my-own-id.1")
    assert own.headers["x-request-id"] == "my-own-id.1"


def test_a_record_is_found_by_its_id(program: Program, stranger: Program) -> None:
    program.push([record("A", customFields={"tier": "gold"}), bad_record("B")])
    work()
    body = json.dumps({"type": "customer", "id": "A"}).encode()
    assert program.post(LOOKUP, body).json["record"] == record("A", customFields={"tier": "gold"})
    assert stranger.post(LOOKUP, body).status == 404
    refused = program.post(LOOKUP, json.dumps({"type": "customer", "id": "B"}).encode()).json
    assert (refused["record"], refused["story"][0]["outcome"]) == (None, "failed")


def test_a_lookup_without_an_id_is_explained(program: Program) -> None:
    refused = program.post(LOOKUP, b'{"type":"customer"}')
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/id")
    assert program.post(LOOKUP, b"{").status == 400


def test_one_person_s_data_is_handed_out_and_erased(
    server: LiveServer, owner: Caller, program: Program, contract: Contract, stranger: Program
) -> None:
    order = record("O-1", "order", attributes={"customerId": "A"})
    program.push([record("A"), order, record("B")])
    program.push([bad_record("A")])
    work()
    person = json.dumps({"id": "A", "types": ["customer"], "related": ["attributes.customerId"]}).encode()
    found = program.post(EXPORT, person)
    assert found.headers["cache-control"] == "no-store"
    assert found.json["counts"] == {"records": 2, "earlierVersions": 0, "failedRecords": 1, "sent": 3}
    assert stranger.post(EXPORT, person).json["counts"] == {
        "records": 0,
        "earlierVersions": 0,
        "failedRecords": 0,
        "sent": 0,
    }
    assert program.post(ERASE, person).code == "scope_missing"
    with acting_as_command():
        eraser = Caller(owner.customer, enrolment.issue_key(owner.customer, scopes=["records:erase"]))
    erasing = Program(server, eraser, contract)
    assert erasing.post(EXPORT, person).code == "scope_missing"
    assert erasing.post(ERASE, person).json["counts"] == {
        "records": 2,
        "earlierVersions": 0,
        "failedRecords": 1,
        "sent": 3,
    }
    assert erasing.post(ERASE, person).json["counts"] == {
        "records": 0,
        "earlierVersions": 0,
        "failedRecords": 0,
        "sent": 0,
    }
    assert program.post(LOOKUP, b'{"type":"customer","id":"A"}').status == 404
    assert program.post(LOOKUP, b'{"type":"customer","id":"B"}').status == 200


@pytest.mark.parametrize("target", ["/api/v1/records/export", "/api/v1/records/erase"])
def test_a_person_must_be_named_exactly(server: LiveServer, owner: Caller, contract: Contract, target: str) -> None:
    with acting_as_command():
        key = enrolment.issue_key(owner.customer, scopes=["records:read", "records:erase"])
    program = Program(server, Caller(owner.customer, key), contract)
    for body, pointer in (
        (b'{"id":"A"}', "/types"),
        (b'{"id":"A","types":[]}', "/types"),
        (b'{"id":"A","types":["lead"]}', "/types/0"),
        (b'{"id":"A","types":["customer"],"related":["customerId"]}', "/related/0"),
        (b'{"id":"","types":["customer"]}', "/id"),
    ):
        refused = program.post(target, body)
        assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, pointer)
    assert program.post(target, b"{").status == 400


def test_what_has_expired_is_gone_for_callers(program: Program, owner: Caller) -> None:
    status = program.push([record("A"), bad_record("B")])
    work()
    with acting_as_command():
        assert sum(retention.purge(database_now() + timedelta(days=31))) == 2
    assert program.get(status).json["progress"] == {"total": 2, "processed": 2, "failed": 1}
    refused = program.get(f"{status}/results/failed")
    assert (refused.status, refused.code) == (410, "results_expired")
    (failed,) = program.get("/api/v1/failed-records?state=expired").json["failedRecords"]
    assert (failed["record"], failed["code"]) == (None, "custom_field_not_a_string")
    assert program.get(failed["links"]["self"]).json["data"] is None
    assert program.post(failed["links"]["retry"]).code == "content_removed"
    edit = json.dumps({"record": record("B"), "attempt": 1}).encode()
    assert program.post(failed["links"]["edit"], edit).code == "content_removed"
    assert program.post(failed["links"]["discard"], b'{"reason":"test"}').code == "content_removed"


def test_a_ticket_for_the_live_socket_is_issued(program: Program, stranger: Program) -> None:
    target = program.push([record("A")])
    assert program.post(f"{target}/socket-ticket").status == 201
    assert stranger.post(f"{target}/socket-ticket").status == 404


def test_a_signature_is_explained_good_or_bad(program: Program) -> None:
    assert program.post("/api/v1/auth/verify", b"{}").json["valid"]
    bad = program.signer.call("POST", "/api/v1/auth/verify", b"{}", body_sha256="A" * 43)
    assert program.contract.check(bad, "POST", "/api/v1/auth/verify").json["valid"] is False


def test_the_limits_are_told(program: Program) -> None:
    program.push([record("A")])
    assert program.get("/api/v1/limits").json["imports"]["running"] == 1


def test_a_key_is_rotated(program: Program) -> None:
    assert program.post("/api/v1/keys/rotate").status == 201
    assert program.post("/api/v1/keys/rotate", b'{"overlapHours":-1}').status == 422


@pytest.mark.parametrize("target", [BULK, VALIDATE])
def test_a_body_that_cannot_be_taken_is_a_problem(program: Program, target: str) -> None:
    for body, content_type, status, code in (
        (b"{", JSON, 400, "malformed_json"),
        (b"\xff", "text/csv", 400, "malformed_body"),
        (b"{}", JSON, 422, "invalid_envelope"),
        (b"{}", "application/json", 415, "unsupported_media_type"),
        (b"{}", f"{JSON}; charset=utf-7", 415, "unsupported_media_type"),
    ):
        refused = program.post(target + CSV_TARGET, body, content_type)
        assert (refused.status, refused.code) == (status, code)
        assert refused.headers["content-type"] == "application/problem+json"


def test_a_sixth_running_import_is_told_when_to_come_again(program: Program) -> None:
    for number in range(5):
        program.push([record(f"A-{number}")])
    refused = program.post(BULK, body_of([record("A")]))
    assert (refused.status, refused.code) == (429, "too_many_running_imports")
    assert refused.headers["retry-after"] == str(intake.RETRY_AFTER_SECONDS)


def test_a_key_without_the_scope_is_refused(server: LiveServer, owner: Caller, contract: Contract) -> None:
    with acting_as_command():
        reader = Caller(owner.customer, enrolment.issue_key(owner.customer, scopes=["imports:read"]))
    program = Program(server, reader, contract)
    assert program.get("/api/v1/imports").status == 200
    assert program.post(f"{NOBODY}/undo").code == "scope_missing"
    assert program.post(BULK, body_of([record("A")])).code == "scope_missing"
    assert program.get(f"{NOBODY}/results/changes").code == "scope_missing"
    assert program.post(f"{NOBODY}/commit", b"{}").code == "scope_missing"
    assert program.post(LOOKUP, b'{"type":"order","id":"A"}').code == "scope_missing"


def test_a_wrong_signature_is_refused_everywhere(program: Program, document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        if path.startswith("/api/v1/auth/"):
            continue
        for method in operations:
            target = path.replace("{job_id}", "00000000-0000-4000-8000-000000000000").replace("{selection}", "failed")
            answer = program.signer.call(method.upper(), target, body_sha256=signing.body_digest(b"another"))
            program.contract.check(answer, method.upper(), target)
            assert (answer.status, answer.json["step"]) == (401, "digest")


def test_nobody_s_job_is_not_found(program: Program) -> None:
    for method, target in (
        ("GET", NOBODY),
        ("POST", f"{NOBODY}/cancel"),
        ("POST", f"{NOBODY}/undo"),
        ("GET", f"{NOBODY}/undo"),
        ("GET", f"{NOBODY}/undo/kept"),
        ("GET", f"{NOBODY}/results/failed"),
        ("GET", f"{NOBODY}/results/changes"),
        ("POST", f"{NOBODY}/commit"),
        ("POST", f"{NOBODY}/socket-ticket"),
    ):
        assert program.call(method, target).code == "not_found"


def test_every_code_of_a_refusal_is_in_the_table(document: dict[str, Any]) -> None:
    assert set(document["components"]["schemas"]["CodeEnum"]["enum"]) == set(CODES)

"""Retries, failed records and redrives over the wire: what the owner gets, and that a stranger gets 404."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from audit.context import Actor, acting_as
from customers import enrolment
from customers.enrolment import IssuedKey
from customers.models import Customer
from imports.models import FailedRecord, ImportJob
from tests.imports.api.wire import Answer, Signer
from tests.imports.mishaps import failed_import, large, retry_all
from tests.imports.pipeline import Caller, account_of, bad_record, record
from tests.live import LiveServer, granian_server

Owner = tuple[Customer, IssuedKey]
API = "/api/v1"


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[LiveServer]:
    with granian_server() as running:
        yield running


@pytest.fixture
def program(server: LiveServer, owner: Owner) -> Signer:
    return Signer(server, owner[1].key_id, owner[1].secret)


@pytest.fixture
def strange_program(server: LiveServer, stranger: Owner) -> Signer:
    return Signer(server, stranger[1].key_id, stranger[1].secret)


@pytest.fixture
def job(owner: Owner) -> ImportJob:
    """Two records that would pass now, one that would not, and a good one."""
    return failed_import(Caller(*owner), [large("A"), large("B"), bad_record("C"), record("D")])


def post(program: Signer, target: str, body: Any = None) -> Answer:
    return program.call("POST", f"{API}{target}", json.dumps(body).encode() if body is not None else b"")


def get(program: Signer, target: str) -> Answer:
    return program.call(target=f"{API}{target}")


def test_retry_of_an_import_is_a_redrive_to_watch(program: Signer, job: ImportJob) -> None:
    answer = post(program, f"/imports/{job.uuid}/retry")
    assert answer.status == 202
    assert answer.headers["location"] == answer.json["links"]["self"]
    assert answer.json["counts"] == {"total": 3, "done": 0, "succeeded": 0, "failedAgain": 0, "left": 3}
    assert answer.json["filter"] == {"job": str(job.uuid), "code": None, "type": None, "state": "open"}
    assert post(program, f"/imports/{job.uuid}/retry").json["redriveId"] == answer.json["redriveId"]
    retry_all()
    done = get(program, f"/redrives/{answer.json['redriveId']}").json
    assert done["state"] == "done"
    assert done["counts"] == {"total": 3, "done": 3, "succeeded": 2, "failedAgain": 1, "left": 0}
    status = get(program, f"/imports/{job.uuid}").json
    assert status["progress"] == {"total": 4, "processed": 4, "failed": 1}
    assert status["outcomes"]["created"] == 3
    assert status["links"]["retry"] == f"{API}/imports/{job.uuid}/retry"
    account_of(job)


def test_failed_records_come_page_by_page_and_without_what_was_sent(program: Signer, job: ImportJob) -> None:
    first = get(program, f"/failed-records?job={job.uuid}&limit=2").json
    second = get(program, f"/failed-records?job={job.uuid}&limit=2&after={first['next']}").json
    lines = first["failedRecords"] + second["failedRecords"]
    assert [line["record"] for line in lines] == ["C", "B", "A"]
    assert second["next"] is None
    assert not {"data", "edited"} & lines[0].keys()
    assert (lines[0]["code"], lines[0]["state"], lines[0]["attempt"]) == ("custom_field_not_a_string", "open", 1)
    only = get(program, "/failed-records?code=record_too_large&state=open").json["failedRecords"]
    assert [line["record"] for line in only] == ["B", "A"]


@pytest.mark.parametrize("query", ["state=lost", "state=", "after=nonsense", "limit=0", "limit=51", "job=nonsense"])
def test_a_list_with_an_unknown_value_is_refused(program: Signer, query: str) -> None:
    answer = get(program, f"/failed-records?{query}")
    assert (answer.status, answer.code) == (422, "invalid_parameter")


def test_a_failed_record_is_read_edited_and_stored(program: Signer, job: ImportJob) -> None:
    here = f"/failed-records/{job.uuid}-2"
    shown = get(program, here).json
    assert shown["data"] == bad_record("C")
    body = {"record": record("C", attributes={"price": 1}), "attempt": shown["attempt"]}
    edited = post(program, f"{here}/edit", body)
    assert (edited.status, edited.json["state"], edited.json["isEdited"]) == (202, "retrying", True)
    late = post(program, f"{here}/edit", body)
    assert (late.status, late.code) == (409, "attempt_passed")
    retry_all()
    after = get(program, here).json
    assert (after["state"], after["data"], after["edited"]) == ("resolved", bad_record("C"), body["record"])
    assert after["resolvedBy"] is not None
    assert account_of(job).created == 2


def test_an_edit_is_refused_where_it_would_fail_again(program: Signer, job: ImportJob) -> None:
    answer = post(program, f"/failed-records/{job.uuid}-2/edit", {"record": bad_record("C"), "attempt": 1})
    assert (answer.status, answer.code) == (422, "invalid_body")
    assert answer.json["errors"][0]["pointer"] == "/record/customFields/tier"
    assert b"C" not in answer.body.replace(b'"code"', b"").split(b'"errors"')[1]


def test_one_record_is_retried_and_one_discarded(program: Signer, job: ImportJob) -> None:
    retried = post(program, f"/failed-records/{job.uuid}-0/retry")
    assert (retried.status, retried.json["state"]) == (202, "retrying")
    assert post(program, f"/failed-records/{job.uuid}-0/retry").code == "wrong_state"
    gone = post(program, f"/failed-records/{job.uuid}-1/discard", {"reason": "obsolete"})
    assert (gone.status, gone.json["state"], gone.json["discardReason"]) == (200, "discarded", "obsolete")
    for body in ({}, {"reason": ""}, {"reason": "because Ada said so"}):
        assert post(program, f"/failed-records/{job.uuid}-2/discard", body).status == 422
    retry_all()
    assert account_of(job).created == 2


def test_a_redrive_is_previewed_sampled_paused_and_cancelled(program: Signer, job: ImportJob) -> None:
    wanted = {"filter": {"job": str(job.uuid), "code": "record_too_large"}}
    preview = post(program, "/redrives", {**wanted, "preview": True})
    assert (preview.status, preview.json["count"]) == (200, 2)
    assert preview.json["reasons"] == [{"code": "record_too_large", "pointer": "", "count": 2}]
    started = post(program, "/redrives", {**wanted, "sample": 1, "perSecond": 50})
    assert (started.status, started.json["sample"], started.json["perSecond"]) == (202, 1, 50)
    here = f"/redrives/{started.json['redriveId']}"
    assert post(program, f"{here}/pause").json["state"] == "paused"
    assert post(program, f"{here}/pause").code == "wrong_state"
    assert post(program, f"{here}/resume").json["state"] == "running"
    assert post(program, f"{here}/cancel").json["state"] == "cancelled"
    assert post(program, f"{here}/resume").code == "wrong_state"
    assert set(FailedRecord.objects.values_list("state", flat=True)) == {"open"}


@pytest.mark.parametrize(
    "body",
    [
        {"filter": {"state": "resolved"}},
        {"filter": {"type": "pear"}},
        {"sample": 0},
        {"perSecond": 0},
        {"perSecond": 1001},
        {"surprise": 1},
        {"filter": {"job": "nonsense"}},
    ],
)
def test_a_redrive_with_an_unknown_value_is_refused(program: Signer, body: Any) -> None:
    answer = post(program, "/redrives", body)
    assert (answer.status, answer.code) == (422, "invalid_body")


def test_a_stranger_finds_nothing(program: Signer, strange_program: Signer, job: ImportJob) -> None:
    redrive = post(program, "/redrives", {"filter": {"job": str(job.uuid)}}).json["redriveId"]
    record_ = f"/failed-records/{job.uuid}-2"
    answers = [
        get(strange_program, record_),
        get(strange_program, f"/failed-records?job={job.uuid}"),
        get(strange_program, f"/redrives/{redrive}"),
        post(strange_program, f"/imports/{job.uuid}/retry"),
        post(strange_program, f"{record_}/retry"),
        post(strange_program, f"{record_}/edit", {"record": record("C"), "attempt": 1}),
        post(strange_program, f"{record_}/discard", {"reason": "test"}),
        post(strange_program, "/redrives", {"filter": {"job": str(job.uuid)}}),
        *(post(strange_program, f"/redrives/{redrive}/{move}") for move in ("pause", "resume", "cancel")),
    ]
    assert [answer.status for answer in answers] == [404] * len(answers)
    assert get(strange_program, "/failed-records").json["failedRecords"] == []
    assert post(strange_program, "/redrives", {"preview": True}).json["count"] == 0


def test_a_key_without_the_scope_is_refused(server: LiveServer, owner: Owner, job: ImportJob) -> None:
    with acting_as(Actor("command", "tests")):
        issued = enrolment.issue_key(owner[0], label="reads", scopes=["imports:read"])
    reader = Signer(server, issued.key_id, issued.secret)
    assert get(reader, "/failed-records").status == 200
    refused = [
        get(reader, f"/failed-records/{job.uuid}-2"),
        post(reader, f"/imports/{job.uuid}/retry"),
        post(reader, f"/failed-records/{job.uuid}-2/discard", {"reason": "test"}),
        post(reader, "/redrives", {}),
    ]
    assert [answer.status for answer in refused] == [403] * len(refused)


@pytest.mark.parametrize("place", ["", "-", "-x", "--1", "-99999999999999999999"])
def test_a_place_that_is_none_is_not_found(program: Signer, job: ImportJob, place: str) -> None:
    assert get(program, f"/failed-records/{job.uuid}{place}").status == 404

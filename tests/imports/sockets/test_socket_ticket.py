"""POST /imports/{id}/socket-ticket, behind the gate."""

from dataclasses import replace
from uuid import UUID, uuid4

import orjson
import pytest
from django.http import HttpResponse
from django.utils.dateparse import parse_datetime
from pytest_django import Settings
from rest_framework.test import APIRequestFactory

from audit.models import AuditEvent
from customers.scopes import ALL_SCOPES, IMPORTS_READ
from imports import tickets
from imports.api.call import SCOPE_KEY, SignedCall
from imports.api.socket_ticket import SocketTicketView
from imports.models import ImportJob


@pytest.fixture
def owner(watched_job: ImportJob) -> SignedCall:
    return SignedCall(
        customer_id=watched_job.customer_id,
        key_pk=1,
        key_id="key_of_the_owner",
        scopes=frozenset({IMPORTS_READ}),
        content_type="",
        body=b"",
        body_sha256="",
        size_on_wire=0,
        request_id="r" * 32,
        source_ip="127.0.0.1",
    )


def ask(call: SignedCall, job: UUID, *, secure: bool = False) -> HttpResponse:
    request = APIRequestFactory().post(
        f"/api/v1/imports/{job}/socket-ticket", secure=secure, HTTP_HOST="localhost:8000"
    )
    setattr(request, "scope", {SCOPE_KEY: call})  # noqa: B010 - as Django's ASGI request has it
    answer: HttpResponse = SocketTicketView.as_view()(request, job_id=job)
    return answer


def json_of(answer: HttpResponse) -> dict[str, str]:
    found: dict[str, str] = orjson.loads(answer.content)
    return found


def test_the_owner_gets_a_ticket_and_the_address_that_takes_it(watched_job: ImportJob, owner: SignedCall) -> None:
    events = AuditEvent.objects.count()
    answer = ask(owner, watched_job.uuid)
    given = json_of(answer)
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    assert given.keys() == {"ticket", "url", "expiresAt"}
    assert given["url"] == f"ws://localhost:8000/ws/imports/{watched_job.uuid}?ticket={given['ticket']}"
    assert parse_datetime(given["expiresAt"]) is not None
    assert tickets.redeem(given["ticket"]) == tickets.Admission(watched_job.uuid, watched_job.customer_id)
    assert AuditEvent.objects.count() == events


def test_over_tls_the_socket_is_too(watched_job: ImportJob, owner: SignedCall) -> None:
    assert json_of(ask(owner, watched_job.uuid, secure=True))["url"].startswith("wss://localhost:8000/ws/imports/")


def test_a_stranger_hears_that_there_is_no_such_job(watched_job: ImportJob, owner: SignedCall) -> None:
    stranger = replace(owner, customer_id=owner.customer_id + 1, scopes=frozenset(ALL_SCOPES))
    answer, unknown = ask(stranger, watched_job.uuid), ask(owner, uuid4())
    assert (answer.status_code, unknown.status_code) == (404, 404)
    assert json_of(answer)["code"] == json_of(unknown)["code"] == "not_found"


def test_a_key_without_the_scope_is_refused(watched_job: ImportJob, owner: SignedCall) -> None:
    answer = ask(replace(owner, scopes=frozenset(ALL_SCOPES) - {IMPORTS_READ}), watched_job.uuid)
    assert (answer.status_code, json_of(answer)["code"]) == (403, "scope_missing")


def test_without_valkey_the_caller_is_told_to_ask_for_the_status(
    watched_job: ImportJob, owner: SignedCall, settings: Settings
) -> None:
    settings.REDIS_URL = "unix:///nowhere/valkey.sock?db=0"
    answer = ask(owner, watched_job.uuid)
    assert (answer.status_code, json_of(answer)["code"]) == (503, "unavailable")
    assert int(answer["Retry-After"]) > 0
    assert "status" in json_of(answer)["detail"]

"""A host whose clock is minutes off: PostgreSQL's clock decides what is due, begun, ended and forgotten."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import models
from django.utils import timezone

from audit.clock import database_now
from audit.context import Actor, acting_as
from audit.models import AuditEvent
from customers import directory, enrolment, nonces, signing
from customers.models import HmacKey, SeenNonce
from customers.windows import Window
from imports import closing, ending, failures, feed, mending, opening, parts, redriving, sweeper
from imports.models import FailedRecord, ImportJob
from imports.redrive_plan import Wanted
from tests.imports.mishaps import failed_import, large, retry_all
from tests.imports.pipeline import (
    METADATA,
    Caller,
    acting_as_command,
    bad_record,
    calling,
    enrol,
    push,
    record,
    run,
    submission,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_queue")]

SKEWS = [47, -47]


@contextmanager
def clock_off_by(minutes: float) -> Iterator[None]:
    """This process's wall clock, as Django, the libraries and our own code read it."""
    real_time, real_now = time.time, timezone.now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: real_time() + minutes * 60)
        patch.setattr(timezone, "now", lambda: real_now() + timedelta(minutes=minutes))
        yield


def journey(caller: Caller) -> None:
    """Whatever writes a time: imports whole, in parts, cancelled; records failed, edited, discarded, tried again."""
    job = failed_import(caller, [record("A"), large("B"), large("C"), bad_record("D"), bad_record("E")])
    with calling(caller):
        redriving.start(Wanted(caller.customer.pk, job=job, code="record_too_large"))
    retry_all()
    left = list(FailedRecord.objects.filter(job=job, state="open").order_by("index"))
    with calling(caller):
        mending.edit(left[0], json.dumps(record("D")).encode(), attempt=left[0].attempts)
        mending.discard(left[1], reason="test")
        ending.cancel(push(caller, [record("F")]).pk)
        opened = opening.open_job(submission(caller, json.dumps({"metadata": METADATA}).encode()))
        body = json.dumps({"records": [record("G")]}).encode()
        parts.receive(submission(caller, body), job=opened, number=1, wire_bytes=len(body))
        closing.close(opened)
        opening.open_job(submission(caller, json.dumps({"metadata": METADATA}).encode()))
    retry_all()
    enrolment.rotate_key(caller.key.key)
    assert nonces.remember(caller.key.key_id, signing.new_nonce(), True)
    with acting_as(Actor("system", "sweeper")):
        sweeper.tidy()


def times() -> set[tuple[str, int]]:
    """Every time in the database: its column, and how many tens of minutes it is away from the database's now."""
    now = database_now()
    found = set()
    for model in apps.get_models():
        if model._meta.app_label not in ("imports", "customers", "audit"):
            continue
        for field in model._meta.concrete_fields:
            if not isinstance(field, models.DateTimeField) or getattr(field, "auto_now_add", False):
                continue
            for value in model._default_manager.values_list(field.name, flat=True):
                if value is not None:
                    found.add((f"{model._meta.label}.{field.name}", round((value - now).total_seconds() / 600)))
    return found


@pytest.mark.parametrize("minutes", SKEWS)
def test_every_time_that_is_stored_is_the_databases(minutes: int) -> None:
    """The same journey twice, the second time on a host whose clock is off: its rows look the same."""
    with acting_as_command():
        journey(enrol("Right"))
        expected = times()
        with clock_off_by(minutes):
            journey(enrol("Off"))
        assert times() == expected
    assert {column for column, _ in expected} > {
        "imports.ImportJob.created_at",
        "imports.FailedRecord.created_at",
        "imports.ImportBatch.ended_at",
        "customers.HmacKey.not_before",
        "audit.AuditEvent.at",
    }


@pytest.mark.parametrize("minutes", SKEWS)
def test_a_passing_failure_is_due_when_the_database_says_so(
    owner: Caller, minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "RETRYABLE", frozenset({"record_too_large"}))
    with clock_off_by(minutes):
        failed_import(owner, [large("A")])
    due = FailedRecord.objects.get().next_attempt_at
    assert due is not None
    assert abs(due - database_now()) < timedelta(seconds=60)


@pytest.mark.parametrize("minutes", SKEWS)
def test_a_key_begins_and_ends_by_the_databases_clock(owner: Caller, minutes: int) -> None:
    token = signing.parse_authorization(
        signing.sign_request(owner.key.key_id, owner.key.secret, method="GET", host="h", target="/")
    )
    string = signing.string_to_sign(token, "GET", "h", "/")
    with clock_off_by(minutes):
        directory.forget()
        assert directory.verify(token, string) is not None
        now = database_now()
        HmacKey.objects.update(not_before=now - timedelta(minutes=2), expires_at=now - timedelta(minutes=1))
        directory.forget()
        assert directory.verify(token, string) is None


def test_a_nonce_is_kept_until_the_database_says_so(owner: Caller) -> None:
    nonce = signing.new_nonce()
    with clock_off_by(-30):
        assert nonces.remember(owner.key.key_id, nonce, True)
    with clock_off_by(30), acting_as(Actor("system", "sweeper")):
        sweeper.tidy()
    assert SeenNonce.objects.filter(nonce=nonce).exists()


def test_a_sweeper_a_day_ahead_ends_no_open_import(owner: Caller) -> None:
    with calling(owner):
        job = opening.open_job(submission(owner, json.dumps({"metadata": METADATA}).encode()))
    with clock_off_by(25 * 60), acting_as(Actor("system", "sweeper")):
        sweeper.tidy()
    assert ImportJob.objects.get(pk=job.pk).open_until is not None


def test_a_host_that_is_ahead_lets_no_second_quota_through() -> None:
    window = Window("clocks", count=3, seconds=60)
    window.clear("x")
    assert [window.hit("x").is_within for _ in range(4)] == [True, True, True, False]
    for minutes in (5, -5):
        with clock_off_by(minutes):
            use = window.hit("x")
            assert (use.is_within, use.remaining) == (False, 0)
            assert 55 <= use.reset_seconds <= 60
    window.clear("x")


@pytest.mark.parametrize("minutes", SKEWS)
def test_the_rate_is_told_by_the_clock_that_began_the_job(owner: Caller, minutes: int) -> None:
    run(owner, [record("A"), record("B")])
    began = database_now() - timedelta(seconds=10)
    ImportJob.objects.update(status="processing", finished_at=None, total=20, started_at=began)
    with clock_off_by(minutes):
        job = feed._find(ImportJob.objects.get().uuid)
        assert job is not None
        told = feed._frame(job).data
    assert told["eta"] is not None
    assert 0.05 < told["rate"] <= 0.2


def test_the_trail_of_hosts_with_other_clocks_is_in_order(owner: Caller) -> None:
    for minutes in (0, 30, -30, 5):
        with clock_off_by(minutes):
            push(owner, [record(f"A {minutes}")])
    at = list(AuditEvent.objects.order_by("sequence").values_list("at", flat=True))
    assert at == sorted(at)

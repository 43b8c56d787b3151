"""The pages of this app's models: what they show, what they hide, what they cost and what nobody can do there."""

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.context import Actor, acting_as
from audit.trail import audited
from customers.enrolment import create_customer
from customers.models import Customer
from imports.admin.reading import COUNTED, CappedPaginator
from imports.claiming import claim
from imports.envelope import JSON
from imports.intake import Submission, accept
from imports.models import BatchAttempt, FailedRecord, ImportBatch, ImportJob, ImportPart, Record, Redrive
from imports.processing import process

pytestmark = pytest.mark.django_db

MODELS = (ImportJob, ImportBatch, BatchAttempt, Record, FailedRecord, Redrive)
SECRETS = ("Ada Lovelace", "ada@example.org", "C-4711", "Analytical Engine")
JOB_PAGE_QUERIES = 6
QueryLimit = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def customer() -> Customer:
    with acting_as(Actor("command", "test")):
        return create_customer("BigCorp")[0]


@pytest.fixture
def job(customer: Customer) -> ImportJob:
    return done_import(customer, good=3, bad=2)


@pytest.fixture
def superuser() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create(username="root", is_staff=True, is_superuser=True))
    return client


def done_import(customer: Customer, *, good: int, bad: int) -> ImportJob:
    name, email, external_id, machine = SECRETS
    records = [
        {"id": f"{external_id}-{n}", "type": "customer", "attributes": {"name": name, "email": email}}
        for n in range(good)
    ] + [{"id": f"{external_id}-x{n}", "type": "machine", "attributes": {"name": machine}} for n in range(bad)]
    metadata = {"source": "crm", "version": "1.0.0", "timestamp": "2026-01-01T00:00:00Z"}
    body = json.dumps({"metadata": metadata, "records": records}).encode()
    submission = Submission(
        customer_id=customer.pk,
        media_type=JSON,
        body=body,
        body_digest=hashlib.sha256(body).digest(),
        request_id="req-1",
    )
    with acting_as(Actor("system", "test")):
        made = accept(submission)
        with audited():
            batch = claim()
            assert batch is not None
            process(batch)
    now = timezone.now()
    BatchAttempt.objects.create(
        batch_id=batch.pk, customer_id=customer.pk, worker="worker-1", started_at=now, ended_at=now, end="done"
    )
    Redrive.objects.create(
        customer=customer, wanted_job=made, wanted_state="open", total=bad, actor_kind="key", actor_id="bk_1"
    )
    made.refresh_from_db()
    return made


def list_address(model: type[models.Model], query: str = "") -> str:
    return reverse(f"admin:imports_{model._meta.model_name}_changelist") + query


def page_address(obj: models.Model) -> str:
    return reverse(f"admin:imports_{obj._meta.model_name}_change", args=[obj.pk])


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_list_and_a_page_that_hide_what_records_say(
    model: type[models.Model], job: ImportJob, superuser: Client
) -> None:
    for address in (list_address(model), page_address(model._default_manager.order_by("pk")[0])):
        page = superuser.get(address)
        assert page.status_code == 200
        text = page.content.decode()
        for secret in SECRETS:
            assert secret not in text


@pytest.mark.parametrize("model", MODELS)
def test_nobody_adds_changes_or_deletes(model: type[models.Model], job: ImportJob, superuser: Client) -> None:
    first = model._default_manager.order_by("pk")[0]
    count = model._default_manager.count()
    name = model._meta.model_name
    assert superuser.post(reverse(f"admin:imports_{name}_add"), {}).status_code == 403
    assert superuser.post(page_address(first), {"status": "failed"}).status_code == 403
    assert superuser.post(reverse(f"admin:imports_{name}_delete", args=[first.pk]), {"post": "yes"}).status_code == 403
    superuser.post(
        list_address(model), {"action": "delete_selected", "_selected_action": [str(first.pk)], "post": "yes"}
    )
    assert model._default_manager.count() == count


@pytest.mark.parametrize("model", MODELS)
def test_staff_without_the_permission_see_nothing(model: type[models.Model], job: ImportJob) -> None:
    stranger = Client()
    stranger.force_login(get_user_model().objects.create(username="reader", is_staff=True))
    assert stranger.get(list_address(model)).status_code == 403
    assert stranger.get(page_address(model._default_manager.order_by("pk")[0])).status_code == 403


@pytest.mark.parametrize(
    ("model", "queries"),
    [(ImportJob, 4), (ImportBatch, 4), (BatchAttempt, 4), (Record, 4), (FailedRecord, 4), (Redrive, 4)],
)
def test_a_list_costs_the_same_however_long_it_is(
    model: type[models.Model],
    queries: int,
    customer: Customer,
    superuser: Client,
    django_assert_num_queries: QueryLimit,
) -> None:
    for _ in range(2):
        done_import(customer, good=4, bad=4)
        with django_assert_num_queries(queries):
            superuser.get(list_address(model))


@pytest.mark.parametrize("model", MODELS)
def test_ciphertext_is_not_even_fetched_for_a_list(
    model: type[models.Model], job: ImportJob, superuser: Client
) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        superuser.get(list_address(model))
    for query in queries.captured_queries:
        for column in ("payload", "metadata", "outcomes", "fingerprint"):
            assert f'"{column}"' not in query["sql"]


def test_a_job_page_says_why_records_failed_and_leads_on(job: ImportJob, superuser: Client) -> None:
    page = superuser.get(page_address(job)).content.decode()
    assert "2 &times; <code>unknown_type</code> /type" in page
    for address in (
        list_address(ImportBatch, f"?job__id__exact={job.pk}"),
        list_address(FailedRecord, f"?job__id__exact={job.pk}"),
    ):
        assert address in page
        assert superuser.get(address).status_code == 200


def test_a_job_page_says_what_came_of_a_job_in_parts(
    customer: Customer, superuser: Client, django_assert_num_queries: QueryLimit
) -> None:
    job = opened_import(customer)
    assert "none yet" in page_of(superuser, job)
    for number in (1, 4):
        add_part(job, number, wire_bytes=1_500_000)
    with django_assert_num_queries(JOB_PAGE_QUERIES):
        page = page_of(superuser, job)
    assert "2 came, the last is number 4, 2.9\xa0MB in all" in page
    assert "2030-11-23 12:30:00" in page
    assert "Pending (takes parts)" in superuser.get(list_address(ImportJob)).content.decode()
    add_part(job, 5, wire_bytes=1)
    with django_assert_num_queries(JOB_PAGE_QUERIES):
        assert "3 came" in page_of(superuser, job)


def test_a_job_page_of_one_piece_speaks_of_no_parts(job: ImportJob, superuser: Client) -> None:
    page = page_of(superuser, job)
    assert " came, the last" not in page
    assert "none yet" not in page


def test_a_job_page_leads_to_the_other_end_of_a_commit(customer: Customer, job: ImportJob, superuser: Client) -> None:
    dry_run = opened_import(customer)
    ImportJob.objects.filter(pk=dry_run.pk).update(kind="dry_run")
    assert "not yet" in page_of(superuser, dry_run)
    ImportJob.objects.filter(pk=job.pk).update(dry_run=dry_run)
    for one, other, says in ((dry_run, job, "as"), (job, dry_run, "of")):
        address = f"{list_address(ImportJob)}?q={other.uuid}"
        assert f'<a href="{address}">{says} {other.uuid}</a>' in page_of(superuser, ImportJob.objects.get(pk=one.pk))
        assert superuser.get(address).status_code == 200


def opened_import(customer: Customer) -> ImportJob:
    """A job that takes parts until half past noon of a day to come."""
    now = timezone.now()
    return ImportJob.objects.create(
        customer=customer,
        request_id="req-2",
        metadata=b"",
        body_digest=b"",
        total=0,
        batch_count=0,
        created_at=now,
        expires_at=now,
        open_until=datetime(2030, 11, 23, 12, 30, tzinfo=UTC),
    )


def add_part(job: ImportJob, number: int, *, wire_bytes: int) -> None:
    ImportPart.objects.create(
        job=job,
        customer_id=job.customer_id,
        number=number,
        body_digest=b"",
        form=JSON,
        wire_bytes=wire_bytes,
        record_count=1,
        created_at=timezone.now(),
    )


def page_of(superuser: Client, job: ImportJob) -> str:
    return superuser.get(page_address(job)).content.decode()


@pytest.mark.parametrize("text", ["req-1", "bigcorp"])
def test_jobs_are_found_by_request_and_customer(text: str, job: ImportJob, superuser: Client) -> None:
    assert list(superuser.get(list_address(ImportJob, f"?q={text}")).context["cl"].result_list) == [job]


def test_a_job_is_found_by_its_whole_id(customer: Customer, job: ImportJob, superuser: Client) -> None:
    done_import(customer, good=1, bad=0)
    found = superuser.get(list_address(ImportJob, f"?q={job.uuid}"))
    assert list(found.context["cl"].result_list) == [job]
    assert list(superuser.get(list_address(FailedRecord, f"?q={job.uuid}")).context["cl"].result_list)


def test_large_tables_are_not_counted_to_their_end(job: ImportJob) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert CappedPaginator(Record.objects.order_by("-id"), 50).count == 3
    assert f"LIMIT {COUNTED}" in queries.captured_queries[0]["sql"]


def test_every_model_of_the_app_is_registered() -> None:
    assert {model for model in admin.site._registry if model._meta.app_label == "imports"} == set(MODELS)

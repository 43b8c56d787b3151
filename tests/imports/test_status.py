from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from imports import checking
from imports.models import ImportJob
from imports.progress import snapshot, wire_time
from imports.status import describe, summarise
from tests.imports.pipeline import Caller, bad_record, push, record, records, run, work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]


def test_progress_has_exactly_the_members_of_the_specification(owner: Caller) -> None:
    job = run(owner, [record("A"), bad_record("B")])
    described = describe(job, timezone.now())
    assert described["status"] == "completed"
    assert described["progress"] == {"total": 2, "processed": 2, "failed": 1}
    assert described["outcomes"] == {"created": 1, "updated": 0, "unchanged": 0, "superseded": 0, "unprocessed": 0}
    assert described["kind"] == "import"
    assert described["would"] is None


def test_an_error_names_the_record_by_its_id_or_its_place(owner: Caller) -> None:
    job = run(owner, [bad_record("B"), record(7), b"null", b'{"id":"C","type":"pear","attributes":{}}'])
    errors = describe(job, timezone.now())["errors"]
    assert [error["record"] for error in errors] == ["B", "#1", "#2", "C"]
    assert errors[0] == {
        "record": "B",
        "error": checking.CODES["custom_field_not_a_string"],
        "index": 0,
        "code": "custom_field_not_a_string",
        "pointer": "/customFields/tier",
    }


def test_a_hundred_errors_are_inline_and_all_are_counted(owner: Caller) -> None:
    job = run(owner, [*(bad_record(f"B-{number}") for number in range(101)), record(7)])
    described = describe(job, timezone.now())
    assert [error["index"] for error in described["errors"]] == list(range(100))
    assert described["errorsTruncated"]
    assert described["errorSummary"] == [
        {"code": "custom_field_not_a_string", "pointer": "/customFields/*", "count": 101},
        {"code": "id_not_a_string", "pointer": "/id", "count": 1},
    ]


def test_records_are_counted_by_type(owner: Caller) -> None:
    job = run(owner, [*records(12), record("O", "order"), bad_record("B"), record("A-1"), record("X", "pear"), b"[]"])
    assert describe(job, timezone.now())["byType"] == {
        "customer": {"processed": 14, "failed": 1},
        "order": {"processed": 1, "failed": 0},
        "unknown": {"processed": 2, "failed": 2},
    }


def test_a_dry_run_says_what_would_be(owner: Caller) -> None:
    run(owner, [record("A"), record("B")])
    job = run(owner, [record("A"), record("B", attributes={}), record("C"), bad_record()], kind="dry_run")
    described = describe(job, timezone.now())
    assert (described["kind"], described["would"]) == ("dryRun", {"create": 1, "update": 1, "unchanged": 1})
    assert [error["record"] for error in described["errors"]] == ["bad"]


def test_rate_and_time_left_follow_the_clock_that_is_passed_in(owner: Caller) -> None:
    job = push(owner, records(30))
    assert (snapshot(job, job.created_at)["rate"], snapshot(job, job.created_at)["eta"]) == (0.0, None)
    work(batches=1)
    job.refresh_from_db()
    assert job.started_at is not None
    assert (snapshot(job, job.started_at)["rate"], snapshot(job, job.started_at)["eta"]) == (0.0, None)
    later = job.started_at + timedelta(seconds=4)
    assert (snapshot(job, later)["rate"], snapshot(job, later)["eta"]) == (2.5, 8.0)
    assert snapshot(job, job.started_at - timedelta(seconds=1))["rate"] == 0.0
    work()
    job.refresh_from_db()
    assert snapshot(job, later)["eta"] is None
    assert snapshot(job, later) == snapshot(job, later + timedelta(days=1))


def test_times_are_utc_to_the_millisecond(owner: Caller) -> None:
    job = run(owner, records(1))
    assert job.finished_at is not None
    shown = snapshot(job, timezone.now())
    assert shown["createdAt"] == wire_time(job.created_at)
    assert shown["finishedAt"] == job.finished_at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def test_a_summary_needs_no_query(owner: Caller, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    job = ImportJob.objects.select_related("undo").get(pk=run(owner, [bad_record()]).pk)
    with django_assert_num_queries(0):
        summary = summarise(job, timezone.now())
    assert summary["links"]["cancel"] == f"/api/v1/imports/{job.uuid}/cancel"


@pytest.mark.django_db(transaction=True)  # a key ring is kept once its keys are committed
def test_a_status_takes_as_many_queries_for_many_errors_as_for_few(
    owner: Caller, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for count in (1, 60):
        job = run(owner, [bad_record(f"B-{number}") for number in range(count)])
        with django_assert_num_queries(3):
            describe(job, timezone.now())

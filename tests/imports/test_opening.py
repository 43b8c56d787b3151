"""Jobs that take parts: how they are opened, how many, and how they end without a close."""

from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from audit.context import Actor, acting_as
from imports import opening, sweeper
from imports.claiming import claim
from imports.ending import cancel
from imports.models import ImportBatch, ImportJob
from imports.opening import MAX_OPEN_JOBS
from imports.refusal import Refusal
from imports.status import describe
from tests.imports.in_parts import actions_on, begin, finish, indexes_of, put, refusal_of
from tests.imports.pipeline import (
    Caller,
    account_of,
    bad_record,
    calling,
    in_threads,
    push,
    record,
    records,
    work,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches")]


def test_nothing_is_processed_before_the_close(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, records(3))
    assert claim_any() is None
    assert work() == 0
    assert sweeper.sweep() == 0
    described = describe(ImportJob.objects.get(pk=job.pk), timezone.now())
    assert (described["status"], described["statusReason"]) == ("pending", "open")
    assert described["progress"] == {"total": 3, "processed": 0, "failed": 0}
    assert {"parts", "close"} <= set(described["links"])


def claim_any() -> ImportBatch | None:
    with transaction.atomic():
        return claim()


def test_open_jobs_do_not_count_among_the_running(owner: Caller) -> None:
    for _ in range(6):
        begin(owner)
    for number in range(5):
        push(owner, records(1, prefix=f"R{number}"))
    refusal_of("too_many_running_imports", lambda: push(owner, records(1)))


def test_exactly_twenty_of_forty_parallel_openings_succeed(owner: Caller) -> None:
    outcomes = in_threads(*[partial(begin, owner)] * 40)
    assert sum(isinstance(outcome, ImportJob) for outcome in outcomes) == MAX_OPEN_JOBS
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)} == {"too_many_open_imports"}
    assert ImportJob.objects.open().count() == MAX_OPEN_JOBS
    opened = ImportJob.objects.open().first()
    assert opened is not None
    with calling(owner):
        cancel(opened.pk)
    begin(owner)


def test_an_idempotency_key_opens_one_job(owner: Caller) -> None:
    jobs = in_threads(*[partial(begin, owner, key="night-1")] * 6)
    assert len({job.pk for job in jobs}) == 1
    refusal_of("idempotency_key_reused", lambda: begin(owner, key="night-1", expectedRecords=3))
    put(owner, jobs[0], 1, records(1))
    finish(owner, jobs[0])
    assert begin(owner, key="night-1").open_until is None


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"expectedRecords": 500_001}, "/expectedRecords"),
        ({"expectedRecords": 0}, "/expectedRecords"),
        ({"expectedRecords": "7"}, "/expectedRecords"),
        ({"dryRun": 1}, "/dryRun"),
        ({"dryRun": "true"}, "/dryRun"),
        ({"dryRun": None}, "/dryRun"),
        ({"records": []}, "/*"),
        ({"metadata": {"source": "crm"}}, "/metadata/version"),
    ],
)
def test_an_opening_of_another_form_is_refused(owner: Caller, members: dict[str, Any], pointer: str) -> None:
    refused = refusal_of("invalid_envelope", lambda: begin(owner, **members))
    assert refused.errors[0][0] == pointer


def test_a_cancelled_open_job_gives_its_records_back_in_order(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 2, [record("C"), record("D")])
    put(owner, job, 1, [record("A"), bad_record("B")])
    with calling(owner):
        cancel(job.pk)
    job = account_of(job)
    assert (job.status, job.status_reason, job.unprocessed, job.total) == ("failed", "cancelled", 4, 4)
    assert indexes_of(job, "unprocessed") == [(0, "A"), (1, "B"), (2, "C"), (3, "D")]
    assert actions_on(job) == ["import.opened", "import.cancelled", "import.failed"]
    refusal_of("wrong_state", lambda: put(owner, job, 3, records(1)))
    refusal_of("wrong_state", lambda: finish(owner, job))


def test_an_open_job_without_parts_can_be_cancelled(owner: Caller) -> None:
    job = begin(owner)
    with calling(owner):
        cancel(job.pk)
    assert account_of(job).total == 0


def test_an_open_job_expires_a_day_after_its_last_part(owner: Caller) -> None:
    job, empty = begin(owner), begin(owner)
    put(owner, job, 1, records(12))
    last = ImportJob.objects.get(pk=job.pk).open_until
    assert last is not None
    assert empty.open_until is not None
    with acting_as(Actor("system", "sweeper")):
        assert opening.expire(empty.open_until) == 1
        assert (account_of(empty).status_reason, account_of(empty).status) == ("expired", "failed")
        assert opening.expire(last) == 1
        assert opening.expire(last) == 0
    job = account_of(job)
    assert (job.status, job.status_reason, job.unprocessed) == ("failed", "expired", 12)
    assert actions_on(job) == ["import.opened", "import.expired", "import.failed"]


def test_the_sweeper_leaves_fresh_open_jobs_alone(owner: Caller) -> None:
    job = begin(owner)
    with acting_as(Actor("system", "sweeper")):
        sweeper.tidy()
    assert ImportJob.objects.get(pk=job.pk).open_until is not None

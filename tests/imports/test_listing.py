import base64
import struct
from typing import Any

import pytest

from imports.ending import cancel
from imports.listing import PAGE_SIZE, list_jobs
from imports.models import ImportJob
from imports.refusal import Refusal
from tests.imports.pipeline import Caller, calling, push, records, run

pytestmark = pytest.mark.django_db


def listed(caller: Caller, **parameters: Any) -> list[int]:
    return [job.pk for job in list_jobs(customer_id=caller.customer.pk, **parameters).jobs]


def test_the_newest_job_comes_first(owner: Caller) -> None:
    jobs = [push(owner, records(1)).pk for _ in range(3)]
    assert listed(owner) == jobs[::-1]


def test_a_stranger_sees_nothing_and_a_colleague_all(owner: Caller, colleague: Caller, stranger: Caller) -> None:
    job = push(owner, records(1))
    assert listed(stranger) == []
    assert listed(colleague) == [job.pk]


def test_pages_stay_right_while_new_jobs_come_in(owner: Caller, stranger: Caller) -> None:
    older = [push(owner, records(1), kind="dry_run").pk for _ in range(7)]
    seen: list[int] = []
    after = None
    for size in (3, 3, 1):
        page = list_jobs(customer_id=owner.customer.pk, after=after, limit=3)
        assert len(page.jobs) == size
        seen += [job.pk for job in page.jobs]
        after = page.next
        push(owner, records(1), kind="dry_run")
        push(stranger, records(1))
    assert seen == older[::-1]
    assert after is None


def test_a_page_that_is_just_full_is_the_last(owner: Caller) -> None:
    for _ in range(3):
        push(owner, records(1))
    assert list_jobs(customer_id=owner.customer.pk, limit=3).next is None


@pytest.mark.parametrize("status", ImportJob.Status.values)
def test_jobs_are_found_by_their_status(owner: Caller, status: str) -> None:
    completed = run(owner, records(1))
    pending, processing, cancelled = (push(owner, records(1)) for _ in range(3))
    ImportJob.objects.filter(pk=processing.pk).update(status="processing")
    with calling(owner):
        cancel(cancelled.pk)
    expected = {"pending": pending, "processing": processing, "completed": completed, "failed": cancelled}
    assert listed(owner, status=status) == [expected[status].pk]


@pytest.mark.parametrize("after", ["x", "é", "AAAA", "AAAAAAAAAAAA", "=", "../../../..", "\0" * 11, "A" * 10_000])
def test_a_cursor_that_is_none_is_refused(owner: Caller, after: str) -> None:
    with pytest.raises(Refusal) as caught:
        listed(owner, after=after)
    assert (caught.value.code, caught.value.errors[0][0]) == ("invalid_parameter", "/after")


@pytest.mark.parametrize("number", [-(2**63), -1, 0, 2**63 - 1])
def test_a_cursor_of_any_number_gives_a_page(owner: Caller, number: int) -> None:
    job = push(owner, records(1))
    after = base64.urlsafe_b64encode(struct.pack(">q", number)).decode().rstrip("=")
    assert listed(owner, after=after) == ([job.pk] if number > job.pk else [])


@pytest.mark.parametrize("status", ["done", ""])
def test_an_unknown_status_is_refused(owner: Caller, status: str) -> None:
    with pytest.raises(Refusal) as caught:
        listed(owner, status=status)
    assert (caught.value.code, caught.value.errors[0][0]) == ("invalid_parameter", "/status")


def test_a_page_has_fifty_jobs_at_most(owner: Caller) -> None:
    job = push(owner, records(1), kind="dry_run")
    ImportJob.objects.bulk_create(
        ImportJob(
            customer=owner.customer, metadata=b"", request_id="r", body_digest=b"", total=1, batch_count=1,
            created_at=job.created_at, expires_at=job.expires_at,
        )
        for _ in range(PAGE_SIZE)
    )  # fmt: skip
    assert len(listed(owner)) == PAGE_SIZE

"""Failed records that would pass now, and the way from asking for another try to its end."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from django.db.models.functions import Now

from audit.context import Actor, acting_as
from customers.keyring import keyring
from imports import checking
from imports.failures import failure_row
from imports.models import FailedRecord, ImportJob
from imports.redriving import release_next
from imports.retrying import retry_next
from tests.imports.pipeline import Caller, account_of, record, run

LOW_LIMIT = 200


def large(external_id: str, **members: Any) -> dict[str, Any]:
    """A good record that breaks the low limit."""
    return record(external_id, attributes={"text": "x" * LOW_LIMIT, **members})


@contextmanager
def low_limit() -> Iterator[None]:
    """A server that takes only small records: what it refuses passes when tried again afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checking, "MAX_RECORD_BYTES", LOW_LIMIT)
        yield


def failed_import(caller: Caller, sent: Sequence[Any]) -> ImportJob:
    """The finished job, whose large records failed."""
    with low_limit():
        return run(caller, sent)


def fail_for_a_passing_reason(job: ImportJob) -> None:
    """As if the reason of all the job's failures had lain with the server; due from now on."""
    FailedRecord.objects.filter(job=job, state="open").update(
        code="lock_timeout", pointer="", category="retryable", next_attempt_at=Now()
    )


def retry_all(*, rounds: int = 200) -> int:
    """Works on redrives and due failures until there are none left; how many turns it took."""
    done = 0
    with acting_as(Actor("system", "worker-1")):
        while any((release_next(), retry_next())):
            done += 1
            assert done < rounds, "it does not come to an end"
    return done


def states_of(job: ImportJob) -> list[str]:
    return list(FailedRecord.objects.filter(job=account_of(job)).order_by("index").values_list("state", flat=True))


def as_sent(row: FailedRecord, column: str = "payload") -> Any:
    """What a failed record's column holds, opened."""
    job = ImportJob.objects.get(pk=row.job_id)
    opener = keyring(row.customer_id).opener("imports_failedrecord", column)
    return json.loads(opener.open(bytes(getattr(row, column)), failure_row(job.uuid, row.index)))

"""A caller that sends a job in parts."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from audit.models import AuditEvent
from imports import results
from imports.closing import close
from imports.models import ImportJob
from imports.opening import open_job
from imports.parts import Receipt, receive
from imports.refusal import Refusal
from tests.imports.pipeline import (
    METADATA,
    Caller,
    calling,
    submission,
)


def begin(caller: Caller, *, key: str = "", **members: Any) -> ImportJob:
    body = json.dumps({"metadata": METADATA, **members}).encode()
    with calling(caller):
        return open_job(submission(caller, body, idempotency_key=key))


def part_of(sent: Sequence[Any]) -> bytes:
    return json.dumps({"records": sent}).encode()


def put(caller: Caller, job: ImportJob, number: int, sent: Sequence[Any] | bytes, **others: Any) -> Receipt:
    body = sent if isinstance(sent, bytes) else part_of(sent)
    with calling(caller):
        current = ImportJob.objects.get(pk=job.pk)
        return receive(submission(caller, body, **others), job=current, number=number, wire_bytes=len(body))


def finish(caller: Caller, job: ImportJob, **expected: int) -> ImportJob:
    with calling(caller):
        return close(job, **expected)


def refusal_of(code: str, act: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        act()
    assert refused.value.code == code
    return refused.value


def actions_on(job: ImportJob) -> list[str]:
    return list(
        AuditEvent.objects.filter(target=f"import:{job.uuid}").order_by("sequence").values_list("action", flat=True)
    )


def indexes_of(job: ImportJob, selection: results.Selection) -> list[tuple[int, str | None]]:
    found = [line for batch in results.batches_of(job, selection) for line in results.lines(job, batch, selection)]
    return [(line["index"], line["record"]) for line in found]

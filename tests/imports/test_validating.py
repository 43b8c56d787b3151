from typing import Any

import pytest
from django.db import connection

from imports import validating
from imports.models import ImportJob
from imports.status import describe
from imports.validating import Verdict, validate
from tests.imports.pipeline import (
    Caller,
    account_of,
    bad_record,
    calling,
    push,
    record,
    records,
    run,
    submission,
    work,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]

MIXED: list[Any] = [
    *records(8),
    record("A-1", attributes={}),
    bad_record("B"),
    record("C", "pear"),
    record(7),
    b'{"id":"D","type":"order","attributes":{"a":"\\ud83d"}}',
    record("A-0"),
    *(bad_record(f"E-{number}") for number in range(105)),
    *records(8, "F", attributes={"a": 1}),
]


def verdict(caller: Caller, sent: Any) -> dict[str, Any]:
    with calling(caller):
        result = validate(submission(caller, sent))
    assert isinstance(result, Verdict)
    return result.body


def counts_of_everything() -> dict[str, Any]:
    """Each table's rows and the last number each has given out, but for the trail's: a validation is audited."""
    with connection.cursor() as cursor:
        counts: dict[str, Any] = {}
        for table in set(connection.introspection.table_names(cursor)) - {"audit_auditevent"}:
            cursor.execute(f'SELECT count(*) FROM "{table}"')
            counts[table] = cursor.fetchone()
        cursor.execute("SELECT schemaname, sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'")
        return counts | {"sequences": sorted(cursor.fetchall())}


def test_a_verdict_is_what_an_import_then_does(owner: Caller) -> None:
    run(owner, [*records(4), *records(3, "F"), record("F-3", attributes={"a": 1})])
    told = verdict(owner, MIXED)
    job = run(owner, MIXED)
    done = describe(job, job.created_at)
    assert (told["valid"], told["total"], told["failed"]) == (False, job.total, job.failed)
    assert told["superseded"] == job.superseded
    assert told["would"] == {"create": job.created, "update": job.updated, "unchanged": job.unchanged}
    assert all(told["would"].values())
    for name in ("errors", "errorsTruncated", "errorSummary"):
        assert told[name] == done[name]


def test_a_dry_run_job_finds_what_a_verdict_says(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    run(owner, records(4))
    told = verdict(owner, MIXED)
    monkeypatch.setattr(validating, "AT_ONCE", len(MIXED) - 1)
    with calling(owner):
        job = validate(submission(owner, MIXED))
    assert isinstance(job, ImportJob)
    assert job.kind == ImportJob.Kind.DRY_RUN
    work()
    done = describe(account_of(job), job.created_at)
    assert done["would"] == told["would"]
    for name in ("errors", "errorsTruncated", "errorSummary"):
        assert told[name] == done[name]


def test_a_verdict_writes_nothing(owner: Caller) -> None:
    run(owner, records(4))
    before = counts_of_everything()
    assert not verdict(owner, MIXED)["valid"]
    assert verdict(owner, records(30))["valid"]
    assert counts_of_everything() == before


def test_a_verdict_compares_with_the_customer_s_own_records(owner: Caller, stranger: Caller) -> None:
    run(owner, records(3))
    assert verdict(owner, records(3))["would"] == {"create": 0, "update": 0, "unchanged": 3}
    assert verdict(stranger, records(3))["would"] == {"create": 3, "update": 0, "unchanged": 0}


def test_a_verdict_needs_no_room_among_the_running_imports(owner: Caller) -> None:
    for _ in range(5):
        push(owner, records(1))
    assert verdict(owner, records(1))["valid"]

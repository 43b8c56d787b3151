import json
from collections import Counter
from typing import Any

import pytest
from django.db import connection

from imports import validating
from imports.models import ImportJob
from imports.status import describe
from imports.validating import Verdict, validate
from tests.imports.dry_runs import changes_of
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


def verdict(caller: Caller, sent: Any, *, with_changes: bool = False) -> dict[str, Any]:
    with calling(caller):
        result = validate(submission(caller, sent), with_changes=with_changes)
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


def changed(caller: Caller, sent: Any) -> tuple[list[dict[str, Any]], bool]:
    told = verdict(caller, sent, with_changes=True)
    return [json.loads(bytes(line)) for line in told["changes"]], told["changesTruncated"]


def test_a_verdict_tells_changes_where_asked(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    run(owner, [*records(4), *records(3, "F"), record("F-3", attributes={"a": 1})])
    assert "changes" not in verdict(owner, MIXED)
    changed(owner, MIXED)  # its temporary table is of the session
    before = counts_of_everything()
    lines, is_truncated = changed(owner, MIXED)
    assert counts_of_everything() == before
    told = verdict(owner, MIXED)["would"]
    assert Counter(line["outcome"] for line in lines) == {"created": told["create"], "updated": told["update"]}
    assert not is_truncated
    monkeypatch.setattr(validating, "AT_ONCE", 0)
    with calling(owner):
        job = validate(submission(owner, MIXED))
    assert isinstance(job, ImportJob)
    work()
    assert changes_of(job) == lines


def test_changes_of_a_verdict_are_bounded(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validating, "MAX_CHANGED", 12)
    lines, is_truncated = changed(owner, records(30))
    assert ([line["index"] for line in lines], is_truncated) == (list(range(12)), True)
    assert changed(owner, records(12))[1] is False
    monkeypatch.setattr(validating, "MAX_CHANGED_BYTES", 1_000)
    lines, is_truncated = changed(owner, records(12))
    assert (0 < len(lines) < 12, is_truncated) == (True, True)
    told = verdict(owner, records(30), with_changes=True)
    assert told["would"] == {"create": 30, "update": 0, "unchanged": 0}

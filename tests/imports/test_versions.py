"""What a change replaces is kept, by the transaction that makes the change and whatever others do meanwhile."""

import json
from typing import Any

import pytest

from customers.keyring import keyring
from imports import storing, versions
from imports.models import BatchAttempt, ImportJob, Record, RecordVersion
from tests.imports.pipeline import Caller, another_session, in_threads, outcomes_of, push, record, run, work

pytestmark = pytest.mark.django_db(transaction=True)


def opened(version: RecordVersion | Record) -> Any:
    opener = keyring(version.customer_id).opener("imports_record", "payload")
    return json.loads(opener.open(bytes(version.payload), storing.record_row(version.type, bytes(version.key))))


def test_an_update_keeps_all_that_the_record_was(owner: Caller) -> None:
    run(owner, [record("A")])
    before = Record.objects.values(*versions.CONTENT).get()
    same = run(owner, [record("B"), record("A")])
    changed = run(owner, [record("C"), record("A", attributes={"name": "other"})])
    version = RecordVersion.objects.get()
    assert opened(version) == record("A")
    assert RecordVersion.objects.values(*versions.CONTENT).get() == {
        **before,
        "origin_job_id": same.pk,
        "origin_index": 1,
        "confirmed_count": 1,
    }
    assert (version.job_id, version.index) == (changed.pk, 1)
    stored = Record.objects.get(key=version.key)
    assert (stored.updated_at, stored.confirmed_count) == (version.replaced_at, 0)


def test_nothing_is_kept_of_what_is_created_unchanged_or_superseded(owner: Caller) -> None:
    older = push(owner, [record("A", attributes={"name": "older"})])
    push(owner, [record("A")])
    ImportJob.objects.filter(pk=older.pk).update(status="completed", finished_at="2026-01-01T00:00Z", unprocessed=1)
    work()
    ImportJob.objects.filter(pk=older.pk).update(status="pending", finished_at=None, unprocessed=0)
    run(owner, [record("A")])
    assert outcomes_of(older) == ["superseded"]
    assert not RecordVersion.objects.exists()
    assert Record.objects.get().has_superseded


def test_each_change_keeps_one_version(owner: Caller) -> None:
    names = ["first", "second", "third", "first"]
    for name in names:
        run(owner, [record("A", attributes={"name": name})])
    kept = RecordVersion.objects.order_by("job_id")
    assert [opened(version)["attributes"]["name"] for version in kept] == names[:-1]


def test_a_record_created_meanwhile_makes_the_batch_run_again(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two imports of the same new record: the second has looked when the first commits."""
    keep = versions.keep
    seen = []

    def look_then_let_the_first_commit(cursor: Any, **of: int) -> versions.Kept:
        kept = keep(cursor, **of)
        seen.append(kept.indexes)
        if len(seen) == 1:
            with another_session() as session:
                session.execute(copy_of_first)
        return kept

    run(owner, [record("known"), record("A")])
    first = Record.objects.get(origin_index=1)
    row = {str(field.column): getattr(first, field.attname) for field in Record._meta.fields if field.column != "id"}
    first.delete()
    with another_session() as session:
        session.execute("CREATE TABLE test_first (LIKE imports_record)")
        names = ", ".join(row)
        session.execute(
            f"INSERT INTO test_first (id, {names}) VALUES (1000000, {', '.join(['%s'] * len(row))})",
            [bytes(value) if isinstance(value, memoryview) else value for value in row.values()],
        )
        copy_of_first = "INSERT INTO imports_record SELECT * FROM test_first"
        monkeypatch.setattr(versions, "keep", look_then_let_the_first_commit)
        try:
            second = run(owner, [record("known"), record("A", attributes={"name": "second"})])
        finally:
            session.execute("DROP TABLE test_first")
    assert seen == [[], [1]]
    assert outcomes_of(second) == ["unchanged", "updated"]
    assert opened(RecordVersion.objects.get()) == record("A")
    assert list(BatchAttempt.objects.order_by("pk").values_list("end", flat=True))[-2:] == ["again", "done"]


def test_workers_that_change_the_same_records_at_once_keep_every_version(owner: Caller) -> None:
    run(owner, [record(f"A-{number}", attributes={"turn": -1}) for number in range(200)])
    jobs = [
        push(owner, [record(f"A-{number}", attributes={"turn": turn}) for number in order])
        for turn, order in enumerate([range(200), range(199, -1, -1), range(100, 200), range(0, 200, 3)])
    ]
    in_threads(*[work] * 4)
    updated = sum(ImportJob.objects.get(pk=job.pk).updated for job in jobs)
    assert RecordVersion.objects.count() == updated >= 200
    assert not BatchAttempt.objects.filter(end="").exists()
    for row in Record.objects.all():
        turns = [
            opened(version)["attributes"]["turn"]
            for version in RecordVersion.objects.filter(key=row.key).order_by("job_id")
        ]
        assert [*turns, opened(row)["attributes"]["turn"]] == sorted({*turns, opened(row)["attributes"]["turn"]})

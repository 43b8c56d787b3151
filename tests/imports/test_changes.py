import csv
import io
import json
from typing import Any

import pytest
from django.db import connection

from customers.keyring import forget
from imports import changes, checking
from imports.envelope import NDJSON
from imports.models import ImportBatch, ImportJob
from imports.refusal import Refusal
from tests.imports.dry_runs import changes_of, commit_of, dry_run
from tests.imports.pipeline import Caller, bad_record, push, record, records, run, work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]


def test_created_and_updated_records_are_told_value_by_value(owner: Caller) -> None:
    run(owner, [record("A", attributes={"name": "Ada", "n": 1, "old": None}), *records(12, "same")])
    job = dry_run(
        owner,
        [
            *records(12, "same"),
            record("A", attributes={"name": "Ida", "n": 1, "new": [1]}, customFields={"tier": "gold"}),
            bad_record("bad"),
            record("B", attributes={"n": 2}),
        ],
    )
    assert changes_of(job) == [
        {
            "index": 12,
            "record": "A",
            "type": "customer",
            "outcome": "updated",
            "changes": [
                {"pointer": "/attributes/name", "before": "Ada", "after": "Ida"},
                {"pointer": "/attributes/new", "after": [1]},
                {"pointer": "/attributes/old", "before": None},
                {"pointer": "/customFields", "after": {"tier": "gold"}},
            ],
        },
        {
            "index": 14,
            "record": "B",
            "type": "customer",
            "outcome": "created",
            "changes": [{"pointer": "", "after": record("B", attributes={"n": 2})}],
        },
    ]


def test_numbers_keep_their_digits(owner: Caller) -> None:
    before = b'{"id":"A","type":"order","attributes":{"a":1.50,"b":1,"c":123456789012345678901234567890}}'
    after = b'{"id":"A","type":"order","attributes":{"a":1.5,"b":1.0,"c":123456789012345678901234567891}}'
    run(owner, [before])
    job = dry_run(owner, [after])
    (line,) = lines_of(job)
    assert line.endswith(
        b'"changes":[{"pointer":"/attributes/a","before":1.50,"after":1.5},'
        b'{"pointer":"/attributes/b","before":1,"after":1.0},'
        b'{"pointer":"/attributes/c","before":123456789012345678901234567890,"after":123456789012345678901234567891}]}'
    )


def lines_of(job: ImportJob) -> list[bytes]:
    pieces = (piece for batch in changes.batches_of(job) for piece in changes.pieces_of(job, batch))
    return b"".join(changes.as_ndjson(piece) for piece in pieces).splitlines()


def test_only_the_last_of_a_doubled_record_counts(owner: Caller) -> None:
    job = dry_run(owner, [record("A", attributes={"n": 1}), *records(10), record("A", attributes={"n": 2})])
    lines = changes_of(job)
    assert [line["index"] for line in lines] == list(range(1, 12))
    assert lines[-1]["changes"][0]["after"]["attributes"] == {"n": 2}


def test_it_is_measured_against_what_is_stored_when_it_is_asked(owner: Caller) -> None:
    job = dry_run(owner, [record("A", attributes={"n": 2}), record("B")])
    assert [line["outcome"] for line in changes_of(job)] == ["created", "created"]
    run(owner, [record("A", attributes={"n": 1}), record("B")])
    (line,) = changes_of(job)
    assert line["changes"] == [{"pointer": "/attributes/n", "before": 1, "after": 2}]
    commit_of(owner, job)
    work()
    assert changes_of(job) == []


def test_another_customer_s_records_are_not_compared_with(owner: Caller, stranger: Caller) -> None:
    run(stranger, [record("A", attributes={"secret": "theirs"})])
    (line,) = changes_of(dry_run(owner, [record("A")]))
    assert line["outcome"] == "created"
    assert "theirs" not in json.dumps(line)


def test_what_is_stored_comes_in_pieces_that_fit_into_memory(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "PIECE_BYTES", 10_000)
    run(owner, [record(f"A-{number}", attributes={"text": "x" * 4_000}) for number in range(9)])
    job = dry_run(owner, records(9))
    (batch,) = changes.batches_of(job)
    assert [len(piece) for piece in changes.pieces_of(job, batch)] == [3, 3, 3]
    assert [line["index"] for line in changes_of(job)] == list(range(9))


def test_a_batch_costs_two_look_ups_however_many_records_it_has(owner: Caller) -> None:
    run(owner, records(9, attributes={"n": 1}))
    job = dry_run(owner, records(9))
    (batch,) = changes.batches_of(job)
    statements = Statements()
    with connection.execute_wrapper(statements):
        list(changes.pieces_of(job, batch))
    assert sum("imports_record" in statement for statement in statements) == 2


class Statements(list[str]):
    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.append(sql)
        return execute(sql, params, many, context)


def test_what_failed_in_the_dry_run_is_not_read_again(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been what ended its worker."""
    job = dry_run(owner, [record("A"), bad_record("poison"), record("B")])
    plain = checking.read

    def dying(raw: bytes | memoryview) -> Any:
        assert b"poison" not in bytes(raw)
        return plain(raw)

    monkeypatch.setattr(checking, "read", dying)
    assert [line["record"] for line in changes_of(job)] == ["A", "B"]


def test_csv_has_a_row_a_change_with_values_as_json(owner: Caller) -> None:
    run(owner, [record("=A", attributes={"a": 1, "b": "-2+3", "c": None})])
    job = dry_run(owner, [record("=A", attributes={"a": -1, "b": "=cmd", "d": ""})])
    (batch,) = changes.batches_of(job)
    text = changes.csv_header() + b"".join(changes.as_csv(piece) for piece in changes.pieces_of(job, batch))
    rows = list(csv.reader(io.StringIO(text.decode(), newline="")))
    assert rows[0] == ["index", "record", "type", "outcome", "pointer", "before", "after"]
    assert [row[:4] for row in rows[1:]] == [["0", "'=A", "customer", "updated"]] * 4
    assert [row[4:] for row in rows[1:]] == [
        ["/attributes/a", "1", "-1"],
        ["/attributes/b", '"-2+3"', '"=cmd"'],
        ["/attributes/c", "null", ""],
        ["/attributes/d", "", '""'],
    ]


def test_a_dry_run_in_another_form_is_told_the_same_way(owner: Caller) -> None:
    body = (
        b'{"metadata":{"source":"crm","version":"1","timestamp":"2024-03-15T00:00:00Z"}}\n'
        + json.dumps(record("A")).encode()
    )
    assert [line["record"] for line in changes_of(dry_run(owner, body, media_type=NDJSON))] == ["A"]


def test_only_a_dry_run_that_has_ended_has_changes(owner: Caller) -> None:
    for job in (run(owner, records(1)), push(owner, records(1), kind=ImportJob.Kind.DRY_RUN)):
        with pytest.raises(Refusal) as refused:
            changes.batches_of(job)
        assert refused.value.code == "wrong_state"


def test_changes_expire_with_what_was_sent(owner: Caller) -> None:
    job = dry_run(owner, records(1))
    ImportBatch.objects.filter(job=job).update(payload=None)
    with pytest.raises(Refusal) as refused:
        changes.batches_of(job)
    assert refused.value.code == "results_expired"


def test_no_plain_value_reaches_a_table(owner: Caller) -> None:
    """The look-ups go by blind index and fingerprint alone."""
    run(owner, [record("A", attributes={"n": 1})])
    job = dry_run(owner, [record("A", attributes={"card": "4111-secret"})])
    forget()
    changes_of(job)
    with connection.cursor() as cursor:
        cursor.execute("SELECT column_name FROM information_schema.columns WHERE table_name = 'wanted_record'")
        assert sorted(name for (name,) in cursor.fetchall()) == ["fingerprint", "index", "key", "type"]

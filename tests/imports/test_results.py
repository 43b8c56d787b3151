import csv
import io
import json
from typing import Any

import pytest

from imports import results
from imports.ending import cancel
from imports.models import ImportBatch, ImportJob
from imports.refusal import Refusal
from imports.results import Selection
from tests.imports.pipeline import Caller, bad_record, calling, push, record, records, run, work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]

# Each is refused, and each must come back letter by letter.
REFUSED = [
    b'{ "id" : "A",  "type":"order", "attributes":{"n":1.50e+2,"m":123456789012345678901},"x":"\\u00e9\xc3\xa9" }',
    b"null",
    b"-1",
    b'"=1+1"',
    b'[{"id":"A"},\t1]',
    b'{"id":"A","id":"B"}',
]


def ndjson(job: ImportJob, selection: Selection) -> bytes:
    batches = results.batches_of(job, selection)
    return b"".join(results.as_ndjson(results.lines(job, batch, selection)) for batch in batches)


def lines_of(job: ImportJob, selection: Selection) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ndjson(job, selection).splitlines()]


def rows_of(job: ImportJob, selection: Selection) -> list[dict[str, str]]:
    batches = results.batches_of(job, selection)
    parts = [results.csv_header(), *(results.as_csv(results.lines(job, batch, selection)) for batch in batches)]
    return list(csv.DictReader(io.StringIO(b"".join(parts).decode(), newline=""), strict=True))


def test_each_record_stands_in_one_selection_and_in_input_order(owner: Caller) -> None:
    run(owner, [record("A"), record("B")])
    job = push(owner, [record("A"), record("B", extra=1), record("B", attributes={}), record("A"), *records(12, "C"),
                       bad_record(), *records(20, "D")])  # fmt: skip
    work(batches=2)
    with calling(owner):
        cancel(job.pk)
    job.refresh_from_db()
    succeeded, failed, unprocessed = (lines_of(job, selection) for selection in results.SELECTIONS)
    assert [line["index"] for line in succeeded] == [*range(16), 17, 18, 19]
    outcomes = [line["outcome"] for line in succeeded]
    assert outcomes == ["superseded", "superseded", "updated", "unchanged", *["created"] * 15]
    assert [line["index"] for line in failed] == [16]
    assert [line["index"] for line in unprocessed] == list(range(20, 37))
    assert {(line["outcome"], line["type"]) for line in unprocessed} == {("unprocessed", "customer")}


def test_a_line_of_a_stored_record_names_it_and_quotes_nothing(owner: Caller) -> None:
    job = run(owner, [record("A")])
    assert lines_of(job, "succeeded") == [
        {
            "index": 0, "record": "A", "type": "customer", "outcome": "created",
            "code": None, "pointer": None, "message": None,
        }
    ]  # fmt: skip


def test_a_line_of_a_failed_record_says_why_and_carries_it(owner: Caller) -> None:
    sent = bad_record("A")
    (line,) = lines_of(run(owner, [sent]), "failed")
    assert line == {
        "index": 0,
        "record": "A",
        "type": "customer",
        "outcome": "failed",
        "code": "custom_field_not_a_string",
        "pointer": "/customFields/tier",
        "message": "A custom field's value must be a string.",
        "data": sent,
    }


def test_a_failed_record_comes_back_to_the_byte(owner: Caller) -> None:
    lines = ndjson(run(owner, REFUSED), "failed").splitlines()
    assert len(lines) == len(REFUSED)
    for line, sent in zip(lines, REFUSED, strict=True):
        assert line.endswith(b',"data":' + sent + b"}")


def test_a_record_on_several_lines_comes_back_on_one(owner: Caller) -> None:
    sent = b'{"id":"A",\r\n "type":\n"pear"}'
    (line,) = ndjson(run(owner, [sent]), "failed").splitlines()
    assert line.endswith(b'"data":{"id":"A",   "type": "pear"}}')


@pytest.mark.parametrize(
    ("sent", "data"),
    [
        (b"{broken", "{broken"),
        (b'{"id":"\xff"}', '{"id":"\ufffd"}'),
        (b'{"id":"A","a":"\\ud83d"}', '{"id":"A","a":"\\ud83d"}'),
        (b"\x00=1", "\x00=1"),
    ],
)
def test_a_record_that_no_reader_takes_comes_back_as_text(owner: Caller, sent: bytes, data: str) -> None:
    head = b'{"metadata":{"source":"s","version":"1","timestamp":"2024-03-15"}}\n'
    job = run(owner, head + sent, media_type="application/vnd.bigcorp.v1+ndjson")
    assert [line["data"] for line in lines_of(job, "failed")] == [data]


def test_failed_records_mended_can_be_pushed_again(owner: Caller) -> None:
    job = run(owner, [record("A"), bad_record("B")])
    (line,) = lines_of(job, "failed")
    mended = line["data"] | {"customFields": {"tier": "7"}}
    assert run(owner, [mended]).created == 1


def test_csv_holds_the_same_lines(owner: Caller) -> None:
    job = run(owner, [record("A"), bad_record('B,"\n'), bad_record("C")])
    first, second = rows_of(job, "failed")
    assert (first["index"], first["record"], first["outcome"]) == ("1", 'B,"\n', "failed")
    assert json.loads(first["data"]) == bad_record('B,"\n')
    assert (second["code"], second["pointer"]) == ("custom_field_not_a_string", "/customFields/tier")
    (stored,) = rows_of(job, "succeeded")
    assert (stored["record"], stored["code"], stored["data"]) == ("A", "", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_can_run_as_a_formula(owner: Caller, start: str) -> None:
    job = run(owner, [record(f"{start}cmd|' /C calc'!A0"), bad_record(f"{start}HYPERLINK"), b"-1"])
    for selection in results.SELECTIONS[:2]:
        for row in rows_of(job, selection):
            assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in row.values())
    assert rows_of(job, "succeeded")[0]["record"] == f"'{start}cmd|' /C calc'!A0"


def test_what_is_unprocessed_is_known_at_the_end_only(owner: Caller) -> None:
    job = push(owner, records(15))
    work(batches=1)
    job.refresh_from_db()
    with pytest.raises(Refusal) as caught:
        results.batches_of(job, "unprocessed")
    assert caught.value.code == "wrong_state"
    assert [line["index"] for line in lines_of(job, "succeeded")] == list(range(10))
    work()
    job.refresh_from_db()
    assert lines_of(job, "unprocessed") == []


def test_unprocessed_records_come_back_to_the_byte(owner: Caller) -> None:
    job = push(owner, REFUSED)
    with calling(owner):
        cancel(job.pk)
    job.refresh_from_db()
    for line, sent in zip(ndjson(job, "unprocessed").splitlines(), REFUSED, strict=True):
        assert line.endswith(b',"data":' + sent + b"}")


def test_a_dry_run_has_results_too(owner: Caller) -> None:
    job = run(owner, [record("A"), bad_record("B")], kind="dry_run")
    assert [line["outcome"] for line in lines_of(job, "succeeded")] == ["created"]
    assert [line["record"] for line in lines_of(job, "failed")] == ["B"]


def test_results_whose_payload_is_gone_are_refused(owner: Caller) -> None:
    job = run(owner, records(15))
    ImportBatch.objects.filter(job=job, sequence=0).update(payload=None)
    with pytest.raises(Refusal) as caught:
        results.batches_of(job, "succeeded")
    assert caught.value.code == "results_expired"

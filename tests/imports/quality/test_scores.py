"""What is scored of a job, how often, and what leaves it alone."""

import json
import uuid
from collections import Counter
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imports import checking, ending, erasure, redriving, settling
from imports.envelope import CSV, NDJSON
from imports.models import ImportBatch, ImportJob, QualityScore
from imports.quality import report
from imports.refusal import Refusal
from imports.validating import Verdict, validate
from tests.imports.dry_runs import commit_of
from tests.imports.in_parts import begin, finish, put
from tests.imports.mappings import field, mapping, publish
from tests.imports.mishaps import retry_all
from tests.imports.pipeline import (
    METADATA,
    Caller,
    account_of,
    acting_as_command,
    bad_record,
    calling,
    enrol,
    push,
    record,
    records,
    run,
    submission,
    work,
)
from tests.imports.quality.recount import CUSTOMER, WAYS, product, recount, shares

pytestmark = pytest.mark.django_db(transaction=True)


def person(external_id: object = "A", record_type: str = "customer", **attributes: Any) -> dict[str, Any]:
    return {"id": external_id, "type": record_type, "attributes": attributes}


def scores_of(job: ImportJob) -> list[tuple[str, str, float | None, dict[str, Any]]]:
    rows = QualityScore.objects.filter(job=job).order_by("record_type", "position")
    return [(row.record_type, row.field, row.score, row.counts) for row in rows]


people = st.builds(
    lambda external_id, record_type, attributes: {"id": external_id, "type": record_type, "attributes": attributes},
    st.sampled_from(["A", "B", "C", "D", "E", "F", "G", "H", None, 7]),
    st.sampled_from(["customer", "customer", "customer", "order", "thing"]),
    st.one_of(
        st.just([]),
        st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["Ada", "Bob", 5, [1]]),
                "age": st.sampled_from([20, "30", 4, "old"]),
                "more": st.just(1),
            },
        ),
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.lists(people, min_size=1, max_size=25))
@pytest.mark.usefixtures("small_batches")
def test_scores_are_a_plain_recount_of_the_records(sent: list[dict[str, Any]]) -> None:
    caller = enrol(str(uuid.uuid4()))
    publish(caller, CUSTOMER)
    with calling(caller):
        verdict = validate(submission(caller, sent))
    found = report.of_job(run(caller, sent))
    expected = recount(sent)
    assert set(found["byType"]) == set(expected)
    for its_type, counts in expected.items():
        of_type = found["byType"][its_type]
        assert {way: of_type["counts"][way] for way in WAYS} == {way: counts[way] for way in WAYS}
        by_hand = shares(counts)
        told = {name: share for name, share in of_type["dimensions"].items() if name != "recordCount"}
        assert told == {
            name: None if share is None else pytest.approx(share, abs=2e-6) for name, share in by_hand.items()
        }
        assert of_type["score"] == pytest.approx(product(by_hand), abs=2e-6)
    whole: Counter[str] = sum(expected.values(), Counter())
    assert found["score"] == pytest.approx(product(shares(whole)), abs=2e-6)
    for line in found["fields"]:
        name = line["target"].removeprefix("attributes.")
        counts = expected["customer"]
        assert (line["records"], line["missing"], line["unfit"]) == (
            counts["mapped"],
            counts[f"missing {name}"],
            counts[f"unfit {name}"],
        )
    # Law 3 of the scores: what did not fall by the wayside was stored.
    assert sum(found["outcomes"].values()) == whole["records"] - sum(whole[way] for way in WAYS)
    assert isinstance(verdict, Verdict)
    of_verdict = verdict.body["quality"]
    assert {name: of_verdict[name] for name in ("score", "dimensions", "counts", "fields")} == {
        name: found[name] for name in ("score", "dimensions", "counts", "fields")
    }


SENT = [
    person("A", name="Ada", age=20),
    person("B", name="Bob"),
    person("C", age="old", name="C"),
    person("D", age=20),
    person("E", name="Eve", age=3),
    person("A", name="Ada", age=21),
    person(None, name="F"),
    record("O", "order"),
    bad_record("G"),
]


def test_reasons_are_counted_by_code_and_none_quotes_a_value(owner: Caller) -> None:
    publish(owner, CUSTOMER)
    found = report.of_job(run(owner, SENT))
    assert [(reason["type"], reason["code"], reason["records"]) for reason in found["reasons"]] == [
        ("customer", "custom_field_not_a_string", 1),
        ("customer", "field_missing", 1),
        ("customer", "id_not_a_string", 1),
        ("customer", "not_a_number", 1),
        ("customer", "of_age", 1),
    ]
    stored = json.dumps([row.counts for row in QualityScore.objects.all()]) + json.dumps(
        [batch.quality for batch in ImportBatch.objects.all()]
    )
    for value in ("Ada", "Bob", "Eve", "old", "tier"):
        assert value not in stored


def test_records_are_compared_with_what_the_metadata_announced(owner: Caller) -> None:
    metadata = {**METADATA, "recordCount": 4}
    body = json.dumps({"metadata": metadata, "records": records(3)}).encode()
    found = report.of_job(run(owner, body))
    assert (found["announced"], found["received"], found["dimensions"]["recordCount"]) == (4, 3, 0.75)
    assert found["score"] == 0.75
    lines = b"\n".join([json.dumps({"metadata": {**METADATA, "recordCount": 1}}).encode(), *map(_line, records(2))])
    assert report.of_job(run(owner, lines, media_type=NDJSON))["dimensions"]["recordCount"] == 0.5
    parameters = {**METADATA, "type": "order", "recordCount": "2"}
    rows = b"id,name\nA,Li\nB,Bo\n"
    assert report.of_job(run(owner, rows, media_type=CSV, parameters=parameters))["dimensions"]["recordCount"] == 1.0


def _line(one: dict[str, Any]) -> bytes:
    return json.dumps(one).encode()


@pytest.mark.parametrize("said", [None, -1, 1.5, True, "many", "99999999999", [3], 2**31, ""])
def test_what_is_no_number_announces_nothing_and_refuses_nothing(owner: Caller, said: object) -> None:
    body = json.dumps({"metadata": {**METADATA, "recordCount": said}, "records": records(2)}).encode()
    found = report.of_job(run(owner, body))
    assert (found["announced"], found["dimensions"]["recordCount"], found["score"]) == (None, None, 1.0)


@pytest.mark.parametrize(
    ("opening", "closing", "announced"),
    [
        ({}, {}, None),
        ({"expectedRecords": 3}, {}, 3),
        ({}, {"expected_records": 3}, 3),
        ({"metadata": {**METADATA, "recordCount": 4}}, {}, 4),
        ({"metadata": {**METADATA, "recordCount": 4}, "expectedRecords": 3}, {}, 3),
    ],
)
def test_a_job_in_parts_is_compared_with_what_was_announced(
    owner: Caller, opening: dict[str, Any], closing: dict[str, int], announced: int | None
) -> None:
    job = begin(owner, **opening)
    put(owner, job, 1, records(2))
    put(owner, job, 2, records(1, "B"))
    finish(owner, job, **closing)
    work()
    found = report.of_job(account_of(job))
    assert (found["announced"], found["received"]) == (announced, 3)
    assert found["dimensions"]["recordCount"] == (None if announced is None else 3 / max(3, announced))


def test_a_job_is_scored_when_it_ends_and_not_before(owner: Caller, small_batches: int) -> None:
    job = push(owner, records(3 * small_batches))
    work(batches=2)
    assert scores_of(job) == []
    with pytest.raises(Refusal) as refused:
        report.of_job(ImportJob.objects.get(pk=job.pk))
    assert refused.value.code == "wrong_state"
    work()
    assert [(record_type, field, score) for record_type, field, score, _ in scores_of(job)] == [
        ("", "", 1.0),
        ("customer", "", 1.0),
    ]


def test_a_later_retry_leaves_the_scores_alone(owner: Caller) -> None:
    publish(owner, CUSTOMER)
    job = run(owner, SENT)
    before, quality = scores_of(job), ImportBatch.objects.get(job=job).quality
    publish(owner, mapping(field("attributes.name"), unmapped="drop"))
    with calling(owner):
        redriving.retry_job(job)
    retry_all()
    assert account_of(job).failed < 5
    assert scores_of(job) == before
    assert ImportBatch.objects.get(job=job).quality == quality


def test_a_cancelled_job_is_scored_by_what_was_looked_at(owner: Caller, small_batches: int) -> None:
    body = json.dumps({"metadata": {**METADATA, "recordCount": 20}, "records": [bad_record(), *records(19)]}).encode()
    job = push(owner, body)
    work(batches=1)
    with calling(owner):
        ending.cancel(job.pk)
    found = report.of_job(account_of(job))
    assert (found["received"], found["counts"]["records"], found["counts"]["malformed"]) == (20, 10, 1)
    assert (found["dimensions"]["recordCount"], found["dimensions"]["typeValidity"]) == (1.0, 0.9)


def test_a_job_of_which_nothing_was_looked_at_has_no_score(owner: Caller) -> None:
    job = push(owner, records(3))
    with calling(owner):
        ending.cancel(job.pk)
    found = report.of_job(account_of(job))
    assert (found["score"], found["trend"], found["byType"], found["received"]) == (None, None, {}, 3)
    assert set(found["dimensions"].values()) == {None}
    assert report.history(owner.customer.pk)["jobs"] == []


def test_a_job_of_an_older_release_has_no_score(owner: Caller) -> None:
    job = push(owner, records(3))
    ImportBatch.objects.filter(job=job).update(state="done", outcomes=b"ccc", by_type={}, ended_at="2026-01-01T00:00Z")
    ImportJob.objects.filter(pk=job.pk).update(
        status="completed", processed=3, created=3, batches_ended=1, finished_at="2026-01-01T00:00Z"
    )
    assert report.of_job(ImportJob.objects.get(pk=job.pk))["score"] is None


def test_a_record_that_the_server_failed_on_is_not_judged(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    read = checking.read

    def broken(raw: bytes | memoryview) -> Any:
        if b"poison" in bytes(raw):
            raise RuntimeError("planted")
        return read(raw)

    monkeypatch.setattr(checking, "read", broken)
    monkeypatch.setattr(settling, "MAX_ERRORS", 1)
    job = run(owner, [*records(30), record("poison"), bad_record()])
    found = report.of_job(job)
    assert (job.failed, found["counts"]["records"], found["counts"]["unjudged"]) == (2, 32, 1)
    assert found["score"] == found["dimensions"]["typeValidity"] == int(30 / 31 * 10**6) / 10**6


def test_a_batch_in_pieces_scores_as_the_whole_does(owner: Caller, stranger: Caller) -> None:
    sent = [*SENT, *(person(f"N{number}", name="N", age=number) for number in range(40))]
    for caller in (owner, stranger):
        publish(caller, CUSTOMER)
    whole = run(stranger, sent)
    job = push(owner, sent)
    batch = ImportBatch.objects.get(job=job)
    with acting_as_command(), transaction.atomic():
        settling.take_apart(ImportBatch.objects.select_for_update().get(pk=batch.pk), code="internal_error")
    work()
    assert ImportBatch.objects.filter(job=job).count() > 10
    assert scores_of(job) == scores_of(whole)


def test_a_dry_run_is_scored_and_is_no_part_of_the_trend(owner: Caller) -> None:
    publish(owner, CUSTOMER)
    run(owner, records(4))
    job = run(owner, SENT, kind=ImportJob.Kind.DRY_RUN)
    found = report.of_job(job)
    assert found["counts"]["broken"] == 2
    assert found["trend"] == "worse"
    assert [line["score"] for line in report.history(owner.customer.pk)["jobs"]] == [0.5]


def test_a_committed_dry_run_scores_as_it_said(owner: Caller) -> None:
    publish(owner, CUSTOMER)
    body = json.dumps({"metadata": {**METADATA, "recordCount": 10}, "records": SENT}).encode()
    dry_run = run(owner, body, kind=ImportJob.Kind.DRY_RUN)
    job = commit_of(owner, dry_run)
    work()
    assert report.of_job(account_of(job))["announced"] == 10
    assert scores_of(job) == scores_of(dry_run)


def test_scores_stay_when_a_customer_is_erased(owner: Caller) -> None:
    publish(owner, CUSTOMER)
    job = run(owner, SENT)
    before = scores_of(job)
    open_job = push(owner, records(3))
    with acting_as_command():
        erasure.erase(owner.customer, now=job.created_at)
    assert scores_of(job) == before
    assert ImportJob.objects.get(pk=open_job.pk).is_finished


def test_a_place_is_scored_once_and_a_score_is_a_share(owner: Caller) -> None:
    job = run(owner, records(1))
    row = QualityScore.objects.filter(job=job).first()
    assert row is not None
    row.pk = None
    with pytest.raises(IntegrityError, match="quality_score_one_a_place"), transaction.atomic():
        row.save(force_insert=True)
    with pytest.raises(IntegrityError, match="quality_score_is_a_share"), transaction.atomic():
        QualityScore.objects.filter(job=job).update(score=1.01)


def test_a_batch_costs_no_statement_for_its_quality_and_an_end_three(owner: Caller, small_batches: int) -> None:
    publish(owner, CUSTOMER)
    push(owner, [person(f"A{number}", name="A") for number in range(3 * small_batches)])
    work(batches=1)

    def statements() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            work(batches=1)
        return [query["sql"] for query in captured if "quality" in query["sql"] or "fieldmapping" in query["sql"]]

    (written,) = (sql for sql in statements() if not sql.startswith("SELECT"))
    assert written.startswith('UPDATE "imports_importbatch"')
    assert len([sql for sql in statements() if "imports_importbatch" not in sql or "jsonb_each" in sql]) == 3
